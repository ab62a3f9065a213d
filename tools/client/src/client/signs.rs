//! Typing and presence, as whoever shows a conversation uses them.

use std::collections::BTreeMap;

use postroad_proto::ephemeral::{kind, presence, typing};
use postroad_proto::ids::AccountId;

use super::Client;
use crate::clock;
use crate::ephemeral::{self, Signs};
use crate::error::Result;

impl Client {
    /// Tells a contact that the user is writing to them, or has stopped. To be called with every
    /// key, if that is convenient: it is said every four seconds at most. Nothing is said to those
    /// who do not want to know, and nothing while the setting is off.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn typing(&mut self, to: &AccountId, is_writing: bool) -> Result<()> {
        let value = if is_writing { typing::WRITING } else { typing::STOPPED };
        self.say(to, (kind::TYPING, value))
    }

    /// Tells a contact that the user has Postroad before them, with this conversation open; who else
    /// asks is told as well. To be called at least every half minute: it counts for a minute and a
    /// half.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn here(&mut self, with: &AccountId) -> Result<()> {
        let now = clock::now();
        let is_known = self.signs()?.get(with).is_some_and(|signs| signs.here);
        let value = if is_known { presence::HERE } else { presence::HERE_AND_ASKS };
        self.say(with, (kind::PRESENCE, value))?;
        // For those who ask, whose chat is another.
        if self.db.read(|tx| ephemeral::is_here_due(tx, now))? {
            self.db.write(|tx| ephemeral::note_here(tx, now))?;
        }
        Ok(())
    }

    /// The user has gone: those who were told otherwise learn it.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn gone(&mut self) -> Result<()> {
        self.db.write(|tx| ephemeral::note_gone(tx, clock::now()))
    }

    /// What contacts do now; those of whom nothing is known are left out. It changes without an
    /// event, and ends by itself.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn signs(&mut self) -> Result<BTreeMap<AccountId, Signs>> {
        self.db.read(|tx| ephemeral::signs(tx, clock::now()))
    }

    /// Whether nothing waits to be told any more: for whoever is about to end with its connection.
    ///
    /// # Errors
    /// [`crate::Error::Storage`].
    pub fn is_told(&mut self) -> Result<bool> {
        self.db.read(|tx| Ok(!ephemeral::is_due(tx)?))
    }

    /// Most calls find that there is nothing to say, or nobody to hear it, and write nothing.
    fn say(&mut self, to: &AccountId, what: (u64, u64)) -> Result<()> {
        let now = clock::now();
        let is_of_use = self.db.read(|tx| {
            Ok(ephemeral::is_news(tx, to, what, now)? && ephemeral::is_heard(tx, to, what.0)?)
        })?;
        match is_of_use {
            true => self.db.write(|tx| ephemeral::say(tx, to, what, now)),
            false => Ok(()),
        }
    }
}
