//! One run of a program, watched to its end.

use std::{
    io::{self, Read},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use postroad_cli::{CliError, Exit};
use serde::Deserialize;

use crate::interrupt;

/// No command takes seconds on loopback; one that takes this long hangs.
const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);

/// An error as programs write it with `--json`.
#[derive(Deserialize)]
struct Told {
    message: String,
    #[serde(default)]
    hint: String,
}

/// A command without the settings of whoever runs the demo: they are for another account and
/// another node.
pub(super) fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("POSTROAD_") {
            command.env_remove(key);
        }
    }
    command
}

/// What it prints, when it ends well; `what` is how errors call it.
pub(super) fn output(command: &mut Command, stdin: Stdio, what: &str) -> Result<Vec<u8>, CliError> {
    let failed =
        |error: io::Error| CliError::io(format!("{what} cannot be run"), &error, "check the build");
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = finish(command.spawn().map_err(failed)?, what)?;
    if output.status.success() { Ok(output.stdout) } else { Err(refusal(what, &output)) }
}

/// Collects the output while the program runs, and ends one that hangs or is interrupted.
fn finish(mut child: Child, what: &str) -> Result<Output, CliError> {
    let failed = |error: io::Error| {
        CliError::io(format!("{what} cannot be waited for"), &error, "check the machine")
    };
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        let stop = interrupt::check().and_then(|()| match started.elapsed() < LIMIT {
            true => Ok(()),
            false => Err(CliError::new(
                Exit::TimedOut,
                "timeout",
                format!("{what} did not come to an end within {}s", LIMIT.as_secs()),
                "look at the node's log above",
            )),
        });
        if let Err(error) = stop {
            // It may just have ended by itself, which is as good.
            let _ = child.kill().and_then(|()| child.wait());
            return Err(error);
        }
        thread::sleep(POLL);
    };
    interrupt::check()?;
    let read = |reader: thread::JoinHandle<io::Result<Vec<u8>>>| match reader.join() {
        Ok(bytes) => bytes.map_err(failed),
        Err(_) => Err(failed(io::ErrorKind::Other.into())),
    };
    Ok(Output { status, stdout: read(stdout)?, stderr: read(stderr)? })
}

fn collect<R: Read + Send + 'static>(stream: Option<R>) -> thread::JoinHandle<io::Result<Vec<u8>>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            stream.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    })
}

/// What it said on standard error: its last line is the error.
fn refusal(what: &str, output: &Output) -> CliError {
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let told = serde_json::from_str(last)
        .unwrap_or_else(|_| Told { message: last.to_owned(), hint: String::new() });
    let message = format!("{what} failed with {}: {}", output.status, told.message);
    CliError::failed("command_failed", message, told.hint)
}
