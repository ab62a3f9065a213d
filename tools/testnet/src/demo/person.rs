//! Someone with a messenger: every step is one run of `pouch`, as a person would type it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
};

use postroad_cli::CliError;
use serde_json::Value;

use super::command::{clean, output};

/// A person, by their profile's directory.
pub(super) struct Person {
    pub(super) name: &'static str,
    program: PathBuf,
    profile: PathBuf,
}

impl Person {
    pub(super) fn new(name: &'static str, program: &Path, people: &Path) -> Self {
        Person { name, program: program.to_owned(), profile: people.join(name) }
    }

    /// Runs `pouch` and reads its JSON answer.
    pub(super) fn pouch(&self, args: &[&str]) -> Result<Value, CliError> {
        self.run(args, Stdio::null())
    }

    /// The same with a file as standard input.
    pub(super) fn pouch_reading(&self, args: &[&str], file: &Path) -> Result<Value, CliError> {
        let input = File::open(file).map_err(|error| {
            CliError::io(format!("cannot read {}", file.display()), &error, "check the disk")
        })?;
        self.run(args, input.into())
    }

    fn run(&self, args: &[&str], input: Stdio) -> Result<Value, CliError> {
        let what = format!("{}'s pouch {}", self.name, args.first().unwrap_or(&""));
        let mut command = clean(&self.program);
        command.arg("--json").arg("--data-dir").arg(&self.profile).args(args);
        let stdout = output(&mut command, input, &what)?;
        serde_json::from_slice(&stdout).map_err(|error| {
            CliError::failed(
                "pouch_answer",
                format!("{what} printed no JSON: {error}"),
                "use pouch and postroad-testnet of one version",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, process::Command};

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
