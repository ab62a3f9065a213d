//! A file that is there as a whole or not at all, and its owner's alone.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use postroad_cli::{CliError, Printer};

/// Written beside its place, and put there by [`Self::publish`]; else it leaves nothing behind.
pub(super) struct Draft {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    /// Whether it was agreed that a file that is there is replaced.
    replaces: bool,
}

impl Draft {
    /// Begins a file at `path`. One that is there is replaced only if the user agrees.
    pub(super) fn begin(path: &Path, printer: &Printer) -> Result<Self, CliError> {
        let (target, replaces) = match fs::metadata(path) {
            Ok(found) if !found.is_file() => return Err(no_file(path)),
            Ok(_) => {
                agree(path, printer)?;
                // A link stays one: what it leads to is replaced.
                (fs::canonicalize(path).map_err(|error| failed(path, &error))?, true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), false),
            Err(error) => return Err(failed(path, &error)),
        };
        let name = target.file_name().ok_or_else(|| no_file(path))?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.part", std::process::id()));
        let temporary = target.with_file_name(hidden);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&temporary);
        let file = file.map_err(|error| failed(&temporary, &error))?;
        Ok(Self { file, temporary, target, replaces })
    }

    pub(super) fn write(&mut self, text: &str) -> Result<(), CliError> {
        self.file.write_all(text.as_bytes()).map_err(|error| failed(&self.target, &error))
    }

    /// Puts it in its place.
    pub(super) fn publish(self) -> Result<(), CliError> {
        self.file.sync_all().map_err(|error| failed(&self.target, &error))?;
        if !self.replaces && self.target.symlink_metadata().is_ok() {
            let message = format!("{} has come to be there meanwhile", self.target.display());
            return Err(CliError::failed("exists", message, "name another file"));
        }
        fs::rename(&self.temporary, &self.target).map_err(|error| failed(&self.target, &error))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Once it is in its place there is none of this name.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn agree(path: &Path, printer: &Printer) -> Result<(), CliError> {
    let question = format!("{} is there. Replace it?", path.display());
    printer.confirm(&question).map_err(|error| match error.code {
        "needs_yes" => {
            CliError { hint: "add --yes to replace it, or name another file".to_owned(), ..error }
        }
        _ => error,
    })
}

fn no_file(path: &Path) -> CliError {
    let message = format!("{} is no place for a file", path.display());
    CliError::usage(message, "name a file, or - for standard output")
}

fn failed(path: &Path, error: &io::Error) -> CliError {
    let what = format!("cannot write {}", path.display());
    CliError::io(what, error, "name a place with room that you can write to; nothing is left there")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use postroad_cli::GlobalArgs;

    use super::*;

    fn printer(yes: bool) -> Printer {
        GlobalArgs { yes, json: true, ..GlobalArgs::default() }.printer()
    }

    /// A folder that goes with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("pouch-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = Folder::new("draft");
        let path = folder.0.join("bob.html");
        let mut draft = Draft::begin(&path, &printer(false)).unwrap();
        draft.write("half").unwrap();
        assert!(!path.exists());
        drop(draft);
        assert!(folder.names().is_empty(), "{:?}", folder.names());
        let mut draft = Draft::begin(&path, &printer(false)).unwrap();
        draft.write("whole").unwrap();
        draft.publish().unwrap();
        assert_eq!(folder.names(), ["bob.html"]);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn nothing_is_replaced_unless_asked_for() {
        let folder = Folder::new("replace");
        let path = folder.0.join("bob.html");
        let early = Draft::begin(&path, &printer(true)).unwrap();
        fs::write(&path, "old").unwrap();
        assert_eq!(early.publish().err().map(|error| error.code), Some("exists"));
        let refused = Draft::begin(&path, &printer(false)).err().unwrap();
        assert_eq!(refused.code, "needs_yes");
        assert!(refused.hint.contains("another file"), "{refused:?}");
        let link = folder.0.join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut draft = Draft::begin(&link, &printer(true)).unwrap();
        draft.write("new").unwrap();
        draft.publish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(link.symlink_metadata().unwrap().is_symlink());
        for place in [&folder.0, Path::new("/dev/null"), Path::new("/no/such/folder/x")] {
            assert!(Draft::begin(place, &printer(true)).is_err(), "{}", place.display());
        }
    }
}
