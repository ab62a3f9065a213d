//! Somebody who types `pouch` commands.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::node::Node;
use crate::programs::program;
use crate::wait_for;

/// How far a message can get, in order.
const STATES: [&str; 5] = ["queued", "accepted", "at-node", "delivered", "read"];

/// A person with a profile of their own.
pub struct Person {
    name: String,
    dir: PathBuf,
    _temporary: Option<TempDir>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// Its standard output, parsed.
    pub json: Value,
    /// Its error line, parsed.
    pub error: Value,
    /// Its standard error.
    pub stderr: String,
}

/// A `watch` that runs; it is ended with this.
pub struct Watch {
    child: Child,
    output: NamedTempFile,
}

impl Watch {
    /// Waits until a line was printed that is as wanted.
    ///
    /// # Panics
    /// When none is in time.
    pub fn wait_for(&self, what: &str, is_wanted: impl Fn(&Value) -> bool) {
        wait_for(what, || {
            let printed = std::fs::read_to_string(self.output.path()).unwrap();
            let mut lines = printed.lines().filter_map(|line| serde_json::from_str(line).ok());
            lines.any(|line| is_wanted(&line)).then_some(())
        });
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Person {
    /// Somebody new without an account.
    ///
    /// # Panics
    /// When there is no room for a profile.
    pub fn new(name: &str) -> Self {
        let temporary = TempDir::new().unwrap();
        let dir = temporary.path().join("profile");
        Self { name: name.to_owned(), dir, _temporary: Some(temporary) }
    }

    /// Somebody whose profile lies in `dir`.
    pub fn in_dir(name: &str, dir: &Path) -> Self {
        Self { name: name.to_owned(), dir: dir.to_owned(), _temporary: None }
    }

    /// What `--data-dir` is given.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the profile itself lies, for the SDK.
    pub fn profile(&self) -> PathBuf {
        self.dir.join("default")
    }

    /// Joins a node with a fresh invite.
    ///
    /// # Panics
    /// When that fails.
    pub fn join(name: &str, node: &Node) -> Self {
        let person = Self::new(name);
        person.ok(&["join", &node.invite(), "--name", name]);
        person
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("pouch"));
        command.arg("--json").arg("--data-dir").arg(&self.dir).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command.
    ///
    /// # Panics
    /// When the program cannot be run.
    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    /// Runs a command with `input` on its standard input.
    ///
    /// # Panics
    /// When the program cannot be run.
    pub fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // A program that refuses early does not read; that is not this test's matter.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Ran::from(child.wait_with_output().unwrap())
    }

    /// Starts a command without waiting; what it prints is lost.
    ///
    /// # Panics
    /// When the program cannot be run.
    pub fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Starts `watch` with these arguments more.
    ///
    /// # Panics
    /// When the program cannot be run.
    pub fn watch(&self, args: &[&str]) -> Watch {
        let output = NamedTempFile::new().unwrap();
        let mut command = self.command(&[&["watch"], args].concat());
        let child = command.stdout(output.reopen().unwrap()).stderr(Stdio::null()).spawn();
        Watch { child: child.unwrap(), output }
    }

    /// Runs a command that must succeed; returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ok(&self, args: &[&str]) -> Value {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{}: pouch {args:?}: {}", self.name, ran.stderr);
        ran.json
    }

    /// Her contact link.
    ///
    /// # Panics
    /// When she has none.
    pub fn link(&self) -> String {
        self.ok(&["whoami"])["link"].as_str().unwrap().to_owned()
    }

    /// Adds another person by their link under their name.
    ///
    /// # Panics
    /// When that fails.
    pub fn add(&self, other: &Person) {
        self.ok(&["contact", "add", &other.link(), "--name", &other.name]);
    }

    /// Sends a text and returns the message's id and state.
    ///
    /// # Panics
    /// When that fails.
    pub fn send(&self, to: &str, text: &str) -> (String, String) {
        let sent = self.ok(&["send", to, text]);
        let word = |key: &str| sent[key].as_str().unwrap().to_owned();
        (word("id"), word("state"))
    }

    /// The texts that were not shown before.
    ///
    /// # Panics
    /// When that fails.
    pub fn inbox(&self) -> Vec<String> {
        texts(&self.ok(&["inbox"]))
    }

    /// Takes what comes until it is `count` texts in all, and returns them.
    ///
    /// # Panics
    /// When they do not come in time.
    pub fn receives(&self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        wait_for("texts to arrive", || {
            texts.extend(self.inbox());
            (texts.len() >= count).then_some(())
        });
        texts
    }

    /// Waits until a message that she sent got as far as `state`, and returns what `why` tells.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn wait_until(&self, id: &str, state: &str) -> Value {
        let rank = |state: &str| STATES.iter().position(|known| *known == state);
        assert!(rank(state).is_some(), "{state}");
        wait_for(&format!("{id} to be {state}"), || {
            let why = self.ok(&["why", id]);
            (rank(why["state"].as_str().unwrap()) >= rank(state)).then_some(why)
        })
    }

    /// The state that `why` tells.
    ///
    /// # Panics
    /// When that fails.
    pub fn state_of(&self, id: &str) -> String {
        self.ok(&["why", id])["state"].as_str().unwrap().to_owned()
    }
}

/// The texts of a list of messages.
///
/// # Panics
/// When it is no such list.
pub fn texts(messages: &Value) -> Vec<String> {
    let list = messages.as_array().expect("a list of messages");
    list.iter().map(|m| m["text"].as_str().unwrap_or_default().to_owned()).collect()
}

impl From<std::process::Output> for Ran {
    fn from(output: std::process::Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let error = stderr.lines().rev().find_map(|line| serde_json::from_str(line).ok());
        Self {
            code: output.status.code().unwrap_or(-1),
            json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
            error: error.unwrap_or(Value::Null),
            stderr,
        }
    }
}
