//! Verifying a contact: what two people compare, and that they did.

use postroad_proto::link::VerifyLink;
use postroad_proto::safety;

use super::{Client, ContactView};
use crate::clock;
use crate::contacts;
use crate::devices::entries;
use crate::error::Result;
use crate::events::{self, Event};

/// What two people compare to know that nobody is in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Safety {
    /// Twelve words, the same on both sides.
    pub words: Vec<String>,
    /// What the other side can read in, as a QR code say.
    pub code: VerifyLink,
    /// What the code of the other side must be.
    pub expected: VerifyLink,
    /// Whether the user has said that it was compared, or the contact came by a link.
    pub verified: bool,
}

impl Client {
    /// What is to be compared with a contact.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`].
    pub fn safety(&mut self, contact: &str) -> Result<Safety> {
        let own = self.identity()?.account;
        let contact = self.contact(contact)?;
        let words = safety::words(&own, &contact.account);
        Ok(Safety {
            words: words.map(str::to_owned).to_vec(),
            code: VerifyLink { mine: own, yours: contact.account },
            expected: VerifyLink { mine: contact.account, yours: own },
            verified: contact.verified,
        })
    }

    /// The user has compared, or takes that back.
    ///
    /// # Errors
    /// [`crate::Error::NotFound`].
    pub fn set_verified(&mut self, contact: &str, verified: bool) -> Result<ContactView> {
        self.with_contact(contact, |tx, _, _, contact| {
            let mut update = tx.prepare_cached(
                "UPDATE contact SET verified = ?2 WHERE account = ?1 AND verified <> ?2",
            )?;
            if update.execute(rusqlite::params![contact.account.0, verified])? > 0 {
                let (account, now) = (contact.account, clock::now());
                entries::set(tx, entries::VERIFIED, &account, entries::flag(verified), now)?;
                events::record(tx, now, &Event::Contact { account })?;
            }
            Ok(contacts::get(tx, &contact.account)?.into())
        })
    }
}
