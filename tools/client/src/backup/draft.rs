//! A file that is there as a whole or not at all, and its owner's alone.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::BackupError;

/// A backup that is being written, beside its place: it is there with [`Self::publish`], and dropped
/// before that it leaves nothing behind.
#[derive(Debug)]
pub struct BackupDraft {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    replaces: bool,
}

impl BackupDraft {
    /// Begins a file for `path`, of mode 0600. One that is there is replaced only if `replace` says so; where
    /// a link leads, that is replaced.
    ///
    /// # Errors
    /// [`BackupError::Exists`], [`BackupError::Io`].
    pub fn begin(path: &Path, replace: bool) -> Result<Self, BackupError> {
        let target = match fs::metadata(path) {
            Ok(found) if !replace || !found.is_file() => {
                return Err(BackupError::Exists(path.to_owned()));
            }
            Ok(_) => fs::canonicalize(path).map_err(|error| failed(path, error))?,
            Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(failed(path, error)),
        };
        let mut hidden = OsString::from(".");
        hidden.push(target.file_name().ok_or_else(|| BackupError::Exists(path.to_owned()))?);
        hidden.push(format!(".{}.part", std::process::id()));
        let temporary = target.with_file_name(hidden);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&temporary);
        let file = file.map_err(|error| failed(&temporary, error))?;
        Ok(Self { file, temporary, target, replaces: replace })
    }

    /// What is written to.
    ///
    /// # Errors
    /// [`BackupError::Io`].
    pub fn file(&self) -> Result<File, BackupError> {
        self.file.try_clone().map_err(|error| failed(&self.temporary, error))
    }

    /// Puts it in its place, durably.
    ///
    /// # Errors
    /// [`BackupError::Exists`] when something has come to be there meanwhile, [`BackupError::Io`].
    pub fn publish(self) -> Result<(), BackupError> {
        let target = &self.target;
        self.file.sync_all().map_err(|error| failed(target, error))?;
        if !self.replaces && target.symlink_metadata().is_ok() {
            return Err(BackupError::Exists(target.clone()));
        }
        fs::rename(&self.temporary, target).map_err(|error| failed(target, error))?;
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| failed(directory, error))
    }
}

impl Drop for BackupDraft {
    fn drop(&mut self) {
        // Once it is in its place there is none of this name.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn failed(path: &Path, source: std::io::Error) -> BackupError {
    BackupError::io(format!("write {}", path.display()), source)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_backup_is_there_whole_or_not_at_all_and_replaces_nothing_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.age");
        let names = || fs::read_dir(folder.path()).unwrap().count();
        let write = |draft: &BackupDraft, text: &str| {
            draft.file().unwrap().write_all(text.as_bytes()).unwrap();
        };
        let draft = BackupDraft::begin(&path, false).unwrap();
        write(&draft, "half");
        assert!(!path.exists() && names() == 1);
        drop(draft);
        assert_eq!(names(), 0);
        let (one, two) = (BackupDraft::begin(&path, false).unwrap(), folder.path().join("b.age"));
        write(&one, "whole");
        one.publish().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(BackupDraft::begin(&path, false), Err(BackupError::Exists(_))));
        assert!(matches!(BackupDraft::begin(folder.path(), true), Err(BackupError::Exists(_))));
        let early = BackupDraft::begin(&two, false).unwrap();
        fs::write(&two, "other").unwrap();
        assert!(matches!(early.publish(), Err(BackupError::Exists(_))));
        let again = BackupDraft::begin(&path, true).unwrap();
        write(&again, "new");
        again.publish().unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), names()), ("new", 2));
    }
}
