//! Shell completions and man pages from the same clap definitions as the command line.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use crate::{CliError, Printer};

/// Arguments of `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell to write completions for
    pub shell: Shell,
}

impl CompletionsArgs {
    /// Writes the completions of `command` to standard output.
    pub fn write(&self, mut command: Command, printer: &Printer) -> Result<(), CliError> {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        printer.out(&String::from_utf8_lossy(&script))
    }
}

/// Arguments of `man`.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// Write one page per subcommand into this directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

impl ManArgs {
    /// Writes the main page of `command` to standard output, or all pages into the directory.
    pub fn write(&self, command: Command, printer: &Printer) -> Result<(), CliError> {
        let failed = |error: &std::io::Error| {
            CliError::io("cannot write the man pages", error, "name a directory you can write to")
        };
        match &self.dir {
            Some(dir) => {
                std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
                clap_mangen::generate_to(command, dir).map_err(|error| failed(&error))
            }
            None => {
                let mut page = Vec::new();
                let man = clap_mangen::Man::new(command);
                man.render(&mut page).map_err(|error| failed(&error))?;
                printer.out(&String::from_utf8_lossy(&page))
            }
        }
    }
}
