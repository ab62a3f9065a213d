//! A device of one of the two, and what it shows.

use std::process::{Child, Command, Stdio};

use postroad_client::{Client, Message, Query};
use postroad_tests::Person;
use postroad_tests::programs::program;

/// A device of one of the two, and the program that writes from it.
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) person: Person,
    /// What the other one is called.
    pub(crate) contact: &'static str,
    /// Texts that it is to write.
    pub(crate) quota: usize,
    pub(crate) talker: Option<Child>,
    /// Events until it comes back.
    pub(crate) away: usize,
    pub(crate) revoked: bool,
}

impl Device {
    pub(crate) fn new(name: &str, person: Person, contact: &'static str) -> Self {
        let name = name.to_owned();
        Self { name, person, contact, quota: 0, talker: None, away: 0, revoked: false }
    }

    pub(crate) fn start(&mut self) {
        assert!(self.talker.is_none(), "{} writes already", self.name);
        self.away = 0;
        // The storm changes names.
        let contact = self.client().contacts().unwrap().remove(0).account;
        let child = Command::new(program("talker"))
            .arg(self.person.profile())
            .args([&contact.to_string(), &self.quota.to_string(), "--prefix", &self.name])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.talker = Some(child);
    }

    pub(crate) fn kill(&mut self) {
        let Some(mut talker) = self.talker.take() else { return };
        assert!(talker.try_wait().unwrap().is_none(), "the talker of {} ended", self.name);
        talker.kill().unwrap();
        talker.wait().unwrap();
    }

    pub(crate) fn client(&self) -> Client {
        Client::open(&self.person.profile()).unwrap()
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.client().messages(&Query { requests: true, ..Query::default() }).unwrap()
    }

    /// How many texts there are of those that a device was to write.
    pub(crate) fn has_of(&self, name: &str) -> usize {
        let begins = format!("{name} ");
        let is_its = |m: &&Message| m.text.as_deref().unwrap_or_default().starts_with(&begins);
        self.messages().iter().filter(is_its).count()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(mut talker) = self.talker.take() {
            let _ = talker.kill();
            let _ = talker.wait();
        }
    }
}
