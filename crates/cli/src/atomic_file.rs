//! Files that get their name when they are whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// A file that grows as `NAME.part`, which one program at a time writes. What had its name before
/// stays until it is whole. What is no file, such as a device, is written to as it is.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    name: PathBuf,
    part: Option<PathBuf>,
    file: File,
    /// What there is stays for another try, should it not become whole.
    keeps: bool,
}

impl AtomicFile {
    /// Begins an empty one; dropped before it is whole, it leaves nothing.
    pub(crate) fn create(name: &Path) -> anyhow::Result<Self> {
        let mut this = Self::resume(name)?;
        this.begin_anew().with_context(|| format!("cannot write {}", this.at().display()))?;
        this.keeps = false;
        Ok(this)
    }

    /// Goes on with what an earlier try has left, which can be read first. Dropped before it is
    /// whole, it leaves that, and what was added.
    pub(crate) fn resume(name: &Path) -> anyhow::Result<Self> {
        let is_special = fs::metadata(name).is_ok_and(|status| !status.is_file());
        let part = (!is_special).then(|| {
            let mut part = name.to_owned().into_os_string();
            part.push(".part");
            PathBuf::from(part)
        });
        let file = match &part {
            Some(part) => open(part),
            None => OpenOptions::new().write(true).open(name),
        };
        let at = part.as_deref().unwrap_or(name);
        let file = file.with_context(|| format!("cannot write {}", at.display()))?;
        Ok(Self { name: name.into(), part, file, keeps: true })
    }

    /// Forgets what there is.
    pub(crate) fn begin_anew(&mut self) -> io::Result<()> {
        if self.part.is_some() {
            self.file.set_len(0)?;
            self.file.rewind()?;
        }
        Ok(())
    }

    /// What there is, is of no use for another try.
    pub(crate) fn spoil(&mut self) {
        self.keeps = false;
    }

    /// Where something stays for another try.
    pub(crate) fn kept(&self) -> Option<&Path> {
        let has_some = || self.file.metadata().is_ok_and(|status| status.len() > 0);
        self.part.as_deref().filter(|_| self.keeps && has_some())
    }

    /// Gives it its name.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        let Some(part) = &self.part else {
            return Ok(());
        };
        // A full disk may say so only now.
        let named = self.file.sync_all().and_then(|()| fs::rename(part, &self.name));
        if named.is_err() {
            self.spoil();
        }
        named.with_context(|| format!("cannot write {}", self.name.display()))?;
        self.part = None;
        Ok(())
    }

    fn at(&self) -> &Path {
        self.part.as_deref().unwrap_or(&self.name)
    }
}

/// Opens a file that nobody else writes.
fn open(at: &Path) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(at)?;
        // Not all file systems have locks.
        if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another program writes it"));
        }
        // Who had it before may have given it its name, or removed it, in between.
        let opened = file.metadata()?;
        match fs::metadata(at) {
            Ok(there) if (there.dev(), there.ino()) == (opened.dev(), opened.ino()) => {
                return Ok(file);
            }
            _ => {}
        }
    }
}

impl Read for AtomicFile {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        // A device has nothing that belongs to the file.
        if self.part.is_some() { self.file.read(octets) } else { Ok(0) }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.file.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(part) = self.part.as_deref().filter(|_| self.kept().is_none()) {
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
        let mut file = AtomicFile::create(&name).unwrap();
        file.write_all(b"abc").unwrap();
        assert!(!name.exists());
        file.finish().unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"abc");
        drop(AtomicFile::create(&name).unwrap());
        assert_eq!(fs::read(&name).unwrap(), b"abc");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_try_goes_on_where_the_last_one_was() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("file");
        for (before, more) in [("", "ab"), ("ab", "c")] {
            let mut file = AtomicFile::resume(&name).unwrap();
            assert_eq!(io::read_to_string(&mut file).unwrap(), before);
            file.write_all(more.as_bytes()).unwrap();
            assert!(file.kept().is_some());
        }
        let mut file = AtomicFile::resume(&name).unwrap();
        assert!(AtomicFile::resume(&name).is_err(), "one at a time");
        assert!(AtomicFile::create(&name).is_err(), "one at a time");
        file.begin_anew().unwrap();
        assert_eq!(file.kept(), None);
        file.write_all(b"new").unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"new");
        let mut file = AtomicFile::resume(&name).unwrap();
        file.write_all(b"not it").unwrap();
        file.spoil();
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_written_to_as_it_is() {
        let mut file = AtomicFile::create(Path::new("/dev/full")).unwrap();
        assert_eq!(file.write_all(b"abc").unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
