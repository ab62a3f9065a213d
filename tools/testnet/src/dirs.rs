//! The directory of a network: where it is, that it is private, and who may change it now.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use postroad_cli::CliError;
use rustix::process::getuid;

/// The directory of the one network that needs no `--dir`.
pub(crate) fn default_dir() -> PathBuf {
    place("postroad-testnet")
}

/// A place that nobody will name.
pub(crate) fn unnamed(purpose: &str) -> PathBuf {
    place(&format!("postroad-{purpose}-{}", std::process::id()))
}

/// A place that is the same each time.
pub(crate) fn lasting(purpose: &str) -> PathBuf {
    place(&format!("postroad-{purpose}"))
}

fn place(name: &str) -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(runtime) if runtime.is_absolute() && runtime.is_dir() => runtime.join(name),
        // /tmp is shared by all users of the machine.
        _ => Path::new("/tmp").join(format!("{name}-{}", getuid().as_raw())),
    }
}

/// The named directory or the default one, absolute: nodes have a working directory of their own.
pub(crate) fn resolve(given: Option<&Path>) -> Result<PathBuf, CliError> {
    let Some(given) = given else { return Ok(default_dir()) };
    std::path::absolute(given)
        .map_err(|error| failed("cannot use", given, &error, "name another with --dir"))
}

/// Makes the directory, private to this user; false when it was there already.
pub(crate) fn make(dir: &Path) -> Result<bool, CliError> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)
            .map_err(|error| failed("cannot make", parent, &error, "name another with --dir"))?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            check_private(dir)?;
            Ok(false)
        }
        Err(error) => Err(failed("cannot make", dir, &error, "name another with --dir")),
    }
}

/// Keys and tokens will lie in it. In /tmp anyone may have put something there under our name.
fn check_private(dir: &Path) -> Result<(), CliError> {
    let metadata = fs::symlink_metadata(dir)
        .map_err(|error| failed("cannot look at", dir, &error, "name another with --dir"))?;
    let wrong = if metadata.is_symlink() && fs::metadata(dir).is_ok_and(|to| to.is_dir()) {
        // A link in a directory of ours is our own choice; in /tmp it need not be.
        (metadata.uid() != getuid().as_raw()).then_some("is a link that another user made")
    } else if !metadata.is_dir() {
        Some("is not a directory")
    } else if metadata.uid() != getuid().as_raw() {
        Some("belongs to another user")
    } else if metadata.permissions().mode() & 0o002 != 0 {
        Some("can be written by other users")
    } else {
        None
    };
    match wrong {
        None => Ok(()),
        Some(wrong) => Err(CliError::failed(
            "dir",
            format!("{} {wrong}", dir.display()),
            "name another directory with --dir",
        )),
    }
}

/// Held while a network is changed; others wait.
#[derive(Debug)]
pub(crate) struct Lock {
    _dir: File,
}

/// Waits for the right to change the network in this directory. The directory itself is locked: a
/// file for that would be one more in a directory that may be somebody's own.
pub(crate) fn lock(dir: &Path) -> Result<Lock, CliError> {
    File::open(dir)
        .and_then(|dir| dir.lock().map(|()| Lock { _dir: dir }))
        .map_err(|error| failed("cannot lock", dir, &error, "name one on a local disk with --dir"))
}

fn failed(what: &str, path: &Path, error: &io::Error, hint: &str) -> CliError {
    CliError::io(format!("{what} {}", path.display()), error, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_is_private_and_an_open_one_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a/b");
        assert!(make(&dir).unwrap());
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!make(&dir).unwrap());
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(make(&dir).unwrap_err().message.contains("other users"));
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(make(&file).unwrap_err().message.contains("not a directory"));
    }
}
