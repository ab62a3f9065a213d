//! Contacts, requests and invites, as commands use them.

use postroad_proto::ids::{AccountId, Millis};
use postroad_proto::link::{ContactLink, NodeLink};
use postroad_proto::token::DeliveryToken;
use rusqlite::{Transaction, params};

use super::Client;
use crate::clock;
use crate::contacts::{self, Contact, NewContact, Phase};
use crate::devices::{self, Due, entries};
use crate::entropy;
use crate::error::{Error, Result};
use crate::identity::Identity;
use crate::outbox::{NO_KEYS, TWO_RECORDS};
use crate::requests;
use crate::sync::Waits;
use crate::vault::Vault;

/// A contact as commands show it.
#[derive(Debug, Clone)]
pub struct ContactView {
    /// The account.
    pub account: AccountId,
    /// The name given to it here.
    pub name: String,
    /// Whether the account's id came by a link that was handed over.
    pub verified: bool,
    /// Whether nothing of theirs is taken.
    pub blocked: bool,
    /// How far acquaintance has come.
    pub phase: Phase,
    /// `handle@node`, or empty.
    pub handle: String,
    /// Whether the node in it is the one of that name. Else it is only what somebody says, and they
    /// may have taken another node's name.
    pub handle_proven: bool,
    /// The home.
    pub home: NodeLink,
    /// Seconds after which texts vanish; none for ever.
    pub vanish_after: Option<u64>,
    /// Why writing to them does not work yet; empty when it does.
    pub reason: String,
}

impl From<Contact> for ContactView {
    fn from(contact: Contact) -> Self {
        let reason = match (&contact.error, contact.phase) {
            (Some((_, detail)), _) => detail.clone(),
            _ if contact.disputed => TWO_RECORDS.to_owned(),
            (None, Phase::Linked) if contact.trouble.is_empty() => NO_KEYS.to_owned(),
            (None, Phase::Linked) => format!("{NO_KEYS}: {}", contact.trouble),
            _ => String::new(),
        };
        Self {
            account: contact.account,
            name: contact.name,
            verified: contact.verified,
            blocked: contact.blocked,
            phase: contact.phase,
            handle: contact.handle,
            handle_proven: contact.handle_proven,
            home: contact.home,
            vanish_after: contact.timer,
            reason,
        }
    }
}

impl Client {
    /// Runs `work` on the contact that `name` names, in one transaction.
    pub(super) fn with_contact<T>(
        &mut self,
        name: &str,
        work: impl FnOnce(&Transaction<'_>, &Vault, &Identity, Contact) -> Result<T>,
    ) -> Result<T> {
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            let contact = contacts::resolve(tx, &own, name)?;
            work(tx, vault, &own, contact)
        })
    }

    /// All contacts but those who merely ask.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn contacts(&mut self) -> Result<Vec<ContactView>> {
        self.list(|contact| contact.phase != Phase::Asking || contact.blocked)
    }

    /// Those who ask to write.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn requests(&mut self) -> Result<Vec<ContactView>> {
        self.list(|contact| contact.phase == Phase::Asking && !contact.blocked)
    }

    fn list(&mut self, wanted: impl Fn(&Contact) -> bool) -> Result<Vec<ContactView>> {
        let all = self.db.read(contacts::all)?;
        Ok(all.into_iter().filter(wanted).map(ContactView::from).collect())
    }

    /// The contact that a name, handle or id stands for.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Yourself`].
    pub fn contact(&mut self, name: &str) -> Result<ContactView> {
        let vault = &self.vault;
        self.db.read(|tx| {
            let own = Identity::load(tx, vault)?;
            Ok(contacts::resolve(tx, &own, name)?.into())
        })
    }

    /// Adds a contact from a link alone, without any connection; the next sync fetches their keys.
    ///
    /// # Errors
    /// [`Error::Yourself`], [`Error::NameTaken`], [`Error::WrongNetwork`].
    pub fn add_link(&mut self, link: &ContactLink, name: Option<&str>) -> Result<ContactView> {
        let now = clock::now();
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            if link.account == own.account {
                return Err(Error::Yourself);
            }
            if link.home.network != own.network {
                return Err(Error::WrongNetwork {
                    expected: own.network.to_string(),
                    got: link.home.network.to_string(),
                });
            }
            let contact = match contacts::find(tx, &link.account)? {
                Some(contact) => contact,
                None => insert(
                    tx,
                    &own,
                    link.account,
                    name,
                    Phase::Linked,
                    &link.home,
                    &link.handle,
                    now,
                )?,
            };
            if let Some(name) = name {
                contacts::rename(tx, &contact.account, name, now)?;
            }
            refresh(tx, vault, &own, &contact, link, now)?;
            devices::note(tx, Due::Person, link.account.0, now)?;
            Ok(contacts::get(tx, &link.account)?.into())
        })
    }

    /// Redeems a link that was just added, if there is a connection; with another process's
    /// connection, sees what became of it. A settled refusal removes a contact that nothing was
    /// exchanged with yet, and is the error.
    ///
    /// # Errors
    /// [`Error::Refused`] when the link cannot be used.
    pub async fn redeem_link(&mut self, account: &AccountId) -> Result<ContactView> {
        let contact = self.db.read(|tx| contacts::get(tx, account))?;
        if contact.phase != Phase::Linked {
            return Ok(contact.into());
        }
        if self.online.is_some() {
            self.fetch_keys().await?;
            self.flush(Waits::ForOthers).await?;
        }
        let contact = self.db.read(|tx| contacts::get(tx, account))?;
        let Some((code, detail)) = contact.error.clone() else { return Ok(contact.into()) };
        self.db.write(|tx| {
            tx.execute(
                "DELETE FROM contact WHERE account = ?1
                 AND NOT EXISTS (SELECT 1 FROM message WHERE message.chat = contact.chat)",
                [account.0],
            )?;
            Ok(())
        })?;
        let detail = detail.split_once(": ").map_or(String::new(), |(_, why)| why.to_owned());
        Err(Error::Refused { what: "the contact's link", code, detail, retry_after: 0 })
    }

    /// Gives a contact another name.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NameTaken`], [`Error::BadName`].
    pub fn rename(&mut self, contact: &str, name: &str) -> Result<ContactView> {
        self.with_contact(contact, |tx, _, _, contact| {
            contacts::rename(tx, &contact.account, name, clock::now())?;
            Ok(contacts::get(tx, &contact.account)?.into())
        })
    }

    /// Takes a contact's messages again and sends them a new card, with the next sync. One who was
    /// not blocked stays as they are.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn unblock(&mut self, contact: &str) -> Result<ContactView> {
        self.with_contact(contact, |tx, vault, own, contact| {
            let now = clock::now();
            entries::set(tx, entries::BLOCKED, &contact.account, entries::flag(false), now)?;
            requests::unblock(tx, vault, own, &contact, now)?;
            Ok(contacts::get(tx, &contact.account)?.into())
        })
    }

    /// Blocks a contact or somebody who asks. The home is told with the next sync. Messages that
    /// have not left this device have failed then; history stays.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn block(&mut self, contact: &str) -> Result<ContactView> {
        self.with_contact(contact, |tx, vault, own, contact| {
            let now = clock::now();
            entries::set(tx, entries::BLOCKED, &contact.account, entries::flag(true), now)?;
            requests::block(tx, vault, own, &contact, now)?;
            Ok(contacts::get(tx, &contact.account)?.into())
        })
    }

    /// Accepts a request.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none of that name.
    pub fn accept(&mut self, contact: &str) -> Result<ContactView> {
        self.with_contact(contact, |tx, vault, own, contact| {
            requests::accept(tx, vault, own, &contact, clock::now())?;
            devices::note(tx, Due::Person, contact.account.0, clock::now())?;
            Ok(contacts::get(tx, &contact.account)?.into())
        })
    }

    /// Forgets a request; nothing is said.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none of that name.
    pub fn ignore(&mut self, contact: &str) -> Result<ContactView> {
        self.with_contact(contact, |tx, _, _, contact| {
            requests::ignore(tx, &contact)?;
            let (who, now) = (&contact.account, clock::now());
            entries::set(tx, entries::IGNORED, who, entries::flag(true), now)?;
            Ok(contact.into())
        })
    }
}

#[allow(clippy::too_many_arguments, reason = "one column each")]
pub(super) fn insert(
    tx: &Transaction<'_>,
    own: &Identity,
    account: AccountId,
    name: Option<&str>,
    phase: Phase,
    home: &NodeLink,
    handle: &str,
    now: Millis,
) -> Result<Contact> {
    let name = match name {
        Some(name) => {
            contacts::check_name(tx, name, &account)?;
            name.to_owned()
        }
        None => contacts::free_name(tx, handle, &account)?,
    };
    let verified = phase == Phase::Linked;
    let new = NewContact { account, name: &name, phase, verified, home, handle };
    let contact = contacts::insert(tx, own, &new, now)?;
    entries::set(tx, entries::NAME, &account, name.as_bytes(), now)?;
    Ok(contact)
}

/// What a link means for a contact that is there: it is verified, unblocked, and if we cannot write
/// to them yet, the invite in it is to be redeemed.
fn refresh(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    contact: &Contact,
    link: &ContactLink,
    now: Millis,
) -> Result<()> {
    tx.execute("UPDATE contact SET verified = 1 WHERE account = ?1", [contact.account.0])?;
    entries::set(tx, entries::VERIFIED, &contact.account, entries::flag(true), now)?;
    if contact.blocked {
        entries::set(tx, entries::BLOCKED, &contact.account, entries::flag(false), now)?;
    }
    contacts::forget_failure(tx, &contact.account)?;
    contacts::settle_dispute(tx, &contact.account)?;
    requests::unblock(tx, vault, own, contact, now)?;
    let contact = &contacts::get(tx, &contact.account)?;
    if contact.phase == Phase::Asking {
        return requests::accept(tx, vault, own, contact, now);
    }
    if contact.phase != Phase::Ready {
        let token = DeliveryToken(entropy::bytes());
        let same = contact.invite.as_ref() == Some(&link.code);
        let token = contact.token.clone().filter(|_| same).unwrap_or(token);
        tx.execute(
            "UPDATE contact SET phase = ?2, invite = ?3, token = ?4, home = ?5 WHERE account = ?1",
            params![
                contact.account.0,
                Phase::Linked as i64,
                link.code.0,
                token.0,
                contacts::home_text(&link.home)?
            ],
        )?;
    }
    Ok(())
}
