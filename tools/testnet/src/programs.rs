//! Where the other programs are: next to this one, or in POSTROAD_BIN.

use std::path::PathBuf;

use postroad_cli::CliError;

/// The directory of all programs, and this one.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) dir: PathBuf,
    pub(crate) this: PathBuf,
}

impl Programs {
    pub(crate) fn find() -> Result<Self, CliError> {
        let this = std::env::current_exe().map_err(|error| {
            CliError::io("cannot find out where this program is", &error, "set POSTROAD_BIN")
        })?;
        let dir = match std::env::var_os("POSTROAD_BIN").filter(|dir| !dir.is_empty()) {
            Some(dir) => std::path::absolute(dir).map_err(|error| {
                CliError::io("POSTROAD_BIN is no directory", &error, "name the directory")
            })?,
            None => this.parent().map(PathBuf::from).unwrap_or_default(),
        };
        Ok(Programs { dir, this })
    }

    /// The path of a program that must be there.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf, CliError> {
        let path = self.dir.join(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(CliError::failed(
            "no_program",
            format!("there is no {name} in {}", self.dir.display()),
            "build it with 'cargo build', or name its directory in POSTROAD_BIN",
        ))
    }
}
