//! Files that get their name when they are whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A file that grows as `NAME.part`. What had its name before stays until it is whole; dropped
/// before, it leaves nothing. What is no file, such as a device, is written to as it is.
#[derive(Debug)]
pub(crate) struct WholeFile {
    name: PathBuf,
    part: Option<PathBuf>,
    file: File,
}

impl WholeFile {
    /// Begins an empty one.
    pub(crate) fn create(name: &Path) -> anyhow::Result<Self> {
        let is_special = fs::metadata(name).is_ok_and(|status| !status.is_file());
        let part = (!is_special).then(|| {
            let mut part = name.to_owned().into_os_string();
            part.push(".part");
            PathBuf::from(part)
        });
        let at = part.as_deref().unwrap_or(name);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(at);
        let file = file.with_context(|| format!("cannot write {}", at.display()))?;
        Ok(Self { name: name.into(), part, file })
    }

    /// Gives it its name.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        let Some(part) = &self.part else {
            return Ok(());
        };
        // A full disk may say so only now.
        let named = self.file.sync_all().and_then(|()| fs::rename(part, &self.name));
        named.with_context(|| format!("cannot write {}", self.name.display()))?;
        self.part = None;
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.file.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            // It may be gone already.
            let _ = fs::remove_file(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_no_name_before_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("file");
        let mut file = WholeFile::create(&name).unwrap();
        file.write_all(b"abc").unwrap();
        assert!(!name.exists());
        file.finish().unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"abc");
        drop(WholeFile::create(&name).unwrap());
        assert_eq!(fs::read(&name).unwrap(), b"abc");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_written_to_as_it_is() {
        let mut file = WholeFile::create(Path::new("/dev/full")).unwrap();
        assert_eq!(file.write_all(b"abc").unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
