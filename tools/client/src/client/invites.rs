//! Links of one's own, which others add.

use postroad_proto::ids::Millis;
use postroad_proto::link::ContactLink;
use postroad_proto::token::InviteCode;

use super::{Client, contact_link, new_invite};
use crate::clock;
use crate::db::{blob, bool_of, unsigned};
use crate::error::{Error, Result};
use crate::identity::Identity;

/// An invite of ours.
#[derive(Debug, Clone)]
pub struct InviteView {
    /// The link to hand over.
    pub link: ContactLink,
    /// How often it may be used; 0 for any number.
    pub uses: u64,
    /// Seconds since the Unix epoch; 0 for never.
    pub expires: u64,
    /// When it was made.
    pub created_at: Millis,
    /// Whether the home knows it, so that it can be used.
    pub registered: bool,
}

impl Client {
    /// Makes a link of one's own for `uses` uses (0: any number) until `expires` (seconds, 0:
    /// never). The home learns of it with the next sync.
    ///
    /// # Errors
    /// [`Error::NotJoined`].
    pub fn create_invite(&mut self, uses: u64, expires: u64) -> Result<ContactLink> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            Ok(contact_link(&own, new_invite(tx, uses, expires, now)?))
        })
    }

    /// All links of one's own that were not revoked.
    ///
    /// # Errors
    /// [`Error::NotJoined`].
    pub fn invites(&mut self) -> Result<Vec<InviteView>> {
        let vault = &self.vault;
        self.db.read(|tx| {
            let own = Identity::load(tx, vault)?;
            let mut query =
                tx.prepare("SELECT * FROM invite WHERE revoked = 0 ORDER BY created_at")?;
            let rows = query.query_map([], |row| {
                Ok(InviteView {
                    link: contact_link(&own, InviteCode(blob(row, "code")?)),
                    uses: unsigned(row, "uses")?,
                    expires: unsigned(row, "expires")?,
                    created_at: unsigned(row, "created_at")?,
                    registered: bool_of(row, "registered")?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Takes a link of one's own back; the home learns of it with the next sync. False when that
    /// was done before.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is somebody else's.
    pub fn revoke_invite(&mut self, link: &ContactLink) -> Result<bool> {
        let vault = &self.vault;
        self.db.write(|tx| {
            if link.account != Identity::load(tx, vault)?.account {
                let name = "link".to_owned();
                return Err(Error::NotFound { what: "invite of that", name });
            }
            // Once the home knows, nothing of it is kept.
            let sql = "UPDATE invite SET revoked = 1 WHERE code = ?1 AND revoked = 0";
            Ok(tx.execute(sql, [link.code.0])? > 0)
        })
    }
}
