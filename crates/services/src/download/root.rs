//! The files below a directory, and no others.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open, openat};

/// A directory whose files may be had.
///
/// A path is walked one name at a time from the directory that was opened at the start. No name may
/// be `..`, and no symbolic link is followed: whatever changes on the disk meanwhile, what is opened
/// was below.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

impl Root {
    /// Opens the directory.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty())?))
    }

    /// Opens a regular file by its path below the directory, and says how long it is.
    pub(crate) fn file(&self, path: &str) -> io::Result<(File, u64)> {
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        if path.starts_with('/') || names.iter().any(|name| matches!(*name, "." | "..")) {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        let Some((last, folders)) = names.split_last() else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        // Who opens a pipe without NONBLOCK waits for its other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let mut folder: Option<OwnedFd> = None;
        for name in folders {
            let parent = folder.as_ref().unwrap_or(&self.0);
            folder = Some(openat(parent, *name, flags | OFlags::DIRECTORY, Mode::empty())?);
        }
        let file = openat(folder.as_ref().unwrap_or(&self.0), *last, flags, Mode::empty())?;
        let status = fstat(&file)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        Ok((File::from(file), u64::try_from(status.st_size).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn content(root: &Root, path: &str) -> io::Result<String> {
        let (mut file, size) = root.file(path)?;
        let mut content = String::new();
        file.read_to_string(&mut content)?;
        assert_eq!(content.len() as u64, size);
        Ok(content)
    }

    #[test]
    fn files_below_the_root_are_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("top"), "top").unwrap();
        fs::write(folder.path().join("a/b/deep"), "deep").unwrap();
        let root = Root::open(folder.path()).unwrap();
        assert_eq!(content(&root, "top").unwrap(), "top");
        assert_eq!(content(&root, "a/b/deep").unwrap(), "deep");
        assert_eq!(content(&root, "a//b/deep").unwrap(), "deep");
    }

    #[test]
    fn no_path_leads_out_of_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let root_path = folder.path().join("root");
        fs::create_dir_all(root_path.join("inside")).unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        fs::write(root_path.join("file"), "file").unwrap();
        symlink("../secret", root_path.join("link")).unwrap();
        symlink("..", root_path.join("up")).unwrap();
        symlink("file", root_path.join("within")).unwrap();
        let root = Root::open(&root_path).unwrap();
        let absolute = folder.path().join("secret").display().to_string();
        for path in [
            "../secret",
            "inside/../../secret",
            "./file",
            "link",
            "up/secret",
            "within",
            "up",
            "inside",
            "",
            "/",
            "file/x",
            "none",
            "a\0b",
            absolute.as_str(),
        ] {
            assert!(content(&root, path).is_err(), "{path}");
        }
    }

    #[test]
    fn what_is_no_file_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.path().join("pipe"),
            FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        let root = Root::open(folder.path()).unwrap();
        let error = root.file("pipe").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
