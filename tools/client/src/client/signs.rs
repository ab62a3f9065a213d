//! Typing and presence, as whoever shows a conversation uses them.

use std::collections::BTreeMap;

use postroad_proto::ephemeral::{kind, presence, typing};
use postroad_proto::ids::AccountId;

use super::Client;
use crate::clock;
use crate::contacts;
use crate::ephemeral::{self, Signs};
use crate::error::Result;

impl Client {
    /// Tells a contact that the user is writing to them, or has stopped. To be called with every
    /// key, if that is convenient: it is said every four seconds at most. Nothing is said to those
    /// who do not want to know, and nothing while the setting is off.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`], [`crate::Error::Storage`].
    pub fn typing(&mut self, to: &AccountId, is_writing: bool) -> Result<()> {
        let value = if is_writing { typing::WRITING } else { typing::STOPPED };
        self.say(to, (kind::TYPING, value)).map(drop)
    }

    /// Tells a contact that the user has Postroad before them, with this conversation open; who else
    /// asks is told as well. To be called at least every half minute: it counts for a minute and a
    /// half.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`], [`crate::Error::Storage`].
    pub fn here(&mut self, with: &AccountId) -> Result<()> {
        let is_known = self.signs()?.get(with).is_some_and(|signs| signs.here);
        let value = if is_known { presence::HERE } else { presence::HERE_AND_ASKS };
        if self.say(with, (kind::PRESENCE, value))? {
            self.db.write(|tx| ephemeral::note_here(tx, clock::now()))?;
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

    /// Whether there was something to say. Most calls find that there is not, and write nothing.
    fn say(&mut self, to: &AccountId, what: (u64, u64)) -> Result<bool> {
        let now = clock::now();
        if !self.db.read(|tx| ephemeral::is_news(tx, to, what, now))? {
            return Ok(false);
        }
        self.db.write(|tx| ephemeral::say(tx, &contacts::get(tx, to)?, what, now))?;
        Ok(true)
    }
}
