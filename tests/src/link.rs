//! Linking another device to an account.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::person::Person;
use crate::programs::program;

/// A `device link` that runs, until it is dropped.
pub struct Shown {
    child: Child,
    /// What it printed last.
    last: Option<JoinHandle<Option<String>>>,
    /// To be read on the other device.
    pub link: String,
}

impl Shown {
    /// Shows a link: the one that was shown before, if it is not over.
    ///
    /// # Panics
    /// When there is none.
    pub fn new(person: &Person) -> Self {
        Self::show(person, &[])
    }

    /// Shows a link for another device than the one that used the last.
    ///
    /// # Panics
    /// When there is none.
    pub fn anew(person: &Person) -> Self {
        Self::show(person, &["--anew"])
    }

    fn show(person: &Person, more: &[&str]) -> Self {
        let mut command = Command::new(program("pouch"));
        command.arg("--json").arg("--data-dir").arg(person.dir());
        command.args(["device", "link"]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let offer: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert!(offer["expires_at"].is_string(), "{offer}");
        let last = Some(thread::spawn(move || lines.map_while(Result::ok).last()));
        Self { child, last, link: offer["link"].as_str().unwrap().to_owned() }
    }

    /// The number of the device that was linked, once it has all.
    ///
    /// # Panics
    /// When none was.
    pub fn device(mut self) -> u64 {
        let last = self.last.take().unwrap().join().unwrap().unwrap();
        let last: Value = serde_json::from_str(&last).unwrap();
        assert!(self.child.wait().unwrap().success());
        last["device"].as_u64().unwrap()
    }

    /// Of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Another device of somebody's account.
///
/// # Panics
/// When it does not come to be one.
pub fn linked(person: &Person, name: &str) -> Person {
    let shown = Shown::new(person);
    let device = Person::new(name);
    let joined = device.ok(&["device", "join", &shown.link, "--name", name]);
    let number = shown.device();
    let account = person.ok(&["whoami"])["account"].as_str().unwrap().to_owned();
    assert_eq!(joined["account"], account.as_str());
    assert_eq!(joined["device"], format!("{account}/{number}"));
    device
}
