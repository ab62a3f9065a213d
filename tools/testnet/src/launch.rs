//! The moment between this program and a node: leave the caller's session, then become the node.
//!
//! The process keeps its number, so the caller knows the node's before it runs. A session of its
//! own means that neither Ctrl-C nor a closing terminal reaches the node.

use std::{os::unix::process::CommandExt, process::Command};

use postroad_cli::CliError;

use crate::args::LaunchArgs;

pub(crate) fn run(args: &LaunchArgs) -> Result<(), CliError> {
    let Some((program, rest)) = args.command.split_first() else {
        return Err(CliError::usage("launch needs a program", "postroad-testnet up"));
    };
    rustix::process::setsid().map_err(|error| {
        CliError::io("cannot leave the session", &error.into(), "start it by 'up', not by hand")
    })?;
    let error = Command::new(program).args(rest).exec();
    Err(CliError::io(
        format!("cannot start {}", program.to_string_lossy()),
        &error,
        "is it built for this machine?",
    ))
}
