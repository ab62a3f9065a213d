//! Processes that outlive the command that starts them.
//!
//! Between this program and the other lies a moment in which the process leaves the caller's
//! session. It keeps its number, so the caller knows the number before the program runs; a
//! session of its own means that neither Ctrl-C nor a closing terminal reaches it.

use std::{
    fs::OpenOptions,
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use postroad_cli::CliError;

use crate::{args::LaunchArgs, programs::Programs};

/// The one setting of the caller's that reaches the nodes: how much they log. Others are for the
/// caller's own node, and would change addresses and links here.
const PASSED_ON: &str = "POSTROAD_LOG";

/// A command that becomes `program`, to which arguments can be added; what it says goes to the
/// end of the log.
pub(crate) fn detached(
    programs: &Programs,
    program: &Path,
    log: &Path,
) -> Result<Command, CliError> {
    let failed = |error: std::io::Error| {
        CliError::io(format!("cannot open {}", log.display()), &error, "check the disk")
    };
    let out = OpenOptions::new().create(true).append(true).mode(0o600).open(log).map_err(failed)?;
    let err = out.try_clone().map_err(failed)?;
    let mut command = Command::new(&programs.this);
    command.args(["launch", "--"]).arg(program);
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("POSTROAD_") && key != PASSED_ON {
            command.env_remove(key);
        }
    }
    Ok(command)
}

/// Becomes the program.
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
