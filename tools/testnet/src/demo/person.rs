//! Someone with a messenger: every step is one run of `pouch`, as a person would type it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use postroad_cli::{CliError, Exit};
use serde::Deserialize;
use serde_json::Value;

use crate::interrupt;

/// No command takes seconds on loopback; one that takes this long hangs.
const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);

/// A person, by their profile's directory.
pub(super) struct Person {
    pub(super) name: &'static str,
    program: PathBuf,
    profile: PathBuf,
}

/// An error as `pouch --json` writes it.
#[derive(Deserialize)]
struct Told {
    message: String,
    #[serde(default)]
    hint: String,
}

impl Person {
    pub(super) fn new(name: &'static str, program: &Path, people: &Path) -> Self {
        Person { name, program: program.to_owned(), profile: people.join(name) }
    }

    /// Runs `pouch` and reads its JSON answer.
    pub(super) fn pouch(&self, args: &[&str]) -> Result<Value, CliError> {
        self.run(args, None)
    }

    /// The same with a file as standard input.
    pub(super) fn pouch_reading(&self, args: &[&str], file: &Path) -> Result<Value, CliError> {
        self.run(args, Some(file))
    }

    fn run(&self, args: &[&str], input: Option<&Path>) -> Result<Value, CliError> {
        let what = format!("{}'s pouch {}", self.name, args.first().unwrap_or(&""));
        let failed = |error: io::Error| {
            CliError::io(format!("{what} cannot be run"), &error, "check the build")
        };
        let stdin = match input {
            Some(file) => Stdio::from(File::open(file).map_err(failed)?),
            None => Stdio::null(),
        };
        let mut command = Command::new(&self.program);
        // The settings of whoever runs the demo are for another account.
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("POSTROAD_") {
                command.env_remove(key);
            }
        }
        command.arg("--json").arg("--data-dir").arg(&self.profile).args(args);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = finish(command.spawn().map_err(failed)?, &what)?;
        if !output.status.success() {
            return Err(refusal(&what, &output));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| {
            CliError::failed(
                "pouch_answer",
                format!("{what} printed no JSON: {error}"),
                "use pouch and postroad-testnet of one version",
            )
        })
    }
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

/// What `pouch` said on standard error: its last line is the error.
fn refusal(what: &str, output: &Output) -> CliError {
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let told = serde_json::from_str(last)
        .unwrap_or_else(|_| Told { message: last.to_owned(), hint: String::new() });
    let message = format!("{what} failed with {}: {}", output.status, told.message);
    CliError::failed("pouch_failed", message, told.hint)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn person(dir: &Path, script: &str) -> Person {
        let (draft, program) = (dir.join("draft"), dir.join("pouch"));
        std::fs::write(&draft, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o700)).unwrap();
        // Copied by another process: a file that this one wrote may still be open in a process
        // that another test is starting, and cannot be run then.
        let copied = Command::new("cp").arg("-p").arg(&draft).arg(&program).status().unwrap();
        assert!(copied.success());
        Person::new("alice", &program, dir)
    }

    #[test]
    fn an_answer_is_json_and_a_failure_keeps_its_words() {
        let dir = tempfile::tempdir().unwrap();
        let alice = person(dir.path(), r#"printf '{"args":"%s"}' "$*""#);
        let answer = alice.pouch(&["whoami"]).unwrap();
        let profile = dir.path().join("alice");
        assert_eq!(answer["args"], format!("--json --data-dir {} whoami", profile.display()));

        let alice = person(
            dir.path(),
            r#"echo warning >&2; echo '{"message":"no node","hint":"start one"}' >&2; exit 3"#,
        );
        let error = alice.pouch(&["inbox"]).unwrap_err();
        assert!(error.message.ends_with("no node") && error.message.contains('3'), "{error:?}");
        assert_eq!(error.hint, "start one");

        let alice = person(dir.path(), "echo not json");
        assert_eq!(alice.pouch(&["inbox"]).unwrap_err().code, "pouch_answer");
    }

    #[test]
    fn a_file_is_read_whole_and_much_output_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("long");
        std::fs::write(&file, format!("\"{}\"", "x".repeat(1 << 20))).unwrap();
        let answer = person(dir.path(), "cat").pouch_reading(&["send"], &file).unwrap();
        assert_eq!(answer.as_str().unwrap().len(), 1 << 20);
    }
}
