//! An account that goes to another home, and its devices with it. `proto/spec/recovery.md`, "Moving".
//!
//! This device goes first and then tells the home that it has left: whoever is sent after it finds an
//! account there that takes their mail. What the old home has is taken from there by [`leaving`].

mod leaving;

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Records, Register, Registered};
use postroad_proto::ids::Millis;
use postroad_proto::limits::MAX_FRAME;
use postroad_proto::link::{JoinLink, NodeLink};
use postroad_proto::record::{AccountRecord, Handle, NodeRecord};
use postroad_proto::signed::Signed;
use rusqlite::{OptionalExtension, Transaction};

use crate::client::{Client, Whoami};
use crate::clock;
use crate::contacts::{self, tokens};
use crate::deletion;
use crate::devices;
use crate::error::{ConnectionError, Error, Result};
use crate::identity::{self, Identity};
use crate::linking;
use crate::recovery::{Whom, tell_contacts, vault};
use crate::settings;
use crate::sync::{As, Online, RECOVER, Synced, refused};
use crate::vault::Vault;

pub(crate) use leaving::{homes_left, is_due, note_cursor, position, retry};

/// How often the new home may say that it holds another record.
const TRIES: usize = 2;

/// An account after it has moved.
#[derive(Debug, Clone)]
pub struct Moved {
    /// Who this is now.
    pub who: Whoami,
    /// Homes that do not know yet that the account has left, or have mail for this device yet. They are
    /// tried again with each connection.
    pub left: Vec<String>,
}

impl Client {
    /// Moves the account to the node that `link` names, under `handle` if one is wanted there. The present home must
    /// answer; but where another device has moved the account to that node already, this one goes
    /// after it whatever the old home does. May be repeated after any failure.
    ///
    /// # Errors
    /// [`Error::Connection`] with either node, [`Error::Refused`] by the new one, [`Error::WrongNetwork`],
    /// [`Error::NotRoot`], [`Error::NotNow`] while a device is being linked, or the account is to be deleted.
    pub async fn move_to(&mut self, link: &JoinLink, handle: Option<&Handle>) -> Result<Moved> {
        self.take_over().await?;
        let own = self.identity()?;
        if own.network != link.node.network {
            let (expected, got) = (own.network.to_string(), link.node.network.to_string());
            return Err(Error::WrongNetwork { expected, got });
        }
        let mut synced = self.sync().await;
        if self.db.read(deletion::end)?.is_some() {
            let text = "the account is to be deleted where it is: pouch account keep, then move";
            return Err(Error::NotNow(text));
        }
        if self.identity()?.home.node != link.node.node {
            match synced {
                Ok(Synced::Online) => self.register_at(link, handle).await?,
                Ok(Synced::Shared) => return Err(ConnectionError::Silent.into()),
                Ok(Synced::Offline(error)) => self.go_after(&link.node, error.into()).await?,
                Err(error @ Error::NoAccount) => self.go_after(&link.node, error).await?,
                Err(error) => return Err(error),
            }
            self.disconnect();
            synced = self.sync().await;
        }
        match synced? {
            Synced::Offline(error) => Err(error.into()),
            Synced::Online | Synced::Shared => {
                Ok(Moved { who: self.whoami()?, left: self.db.read(homes_left)? })
            }
        }
    }

    /// Makes the account at another node, by a record that says that it is its home from now on.
    async fn register_at(&mut self, link: &JoinLink, handle: Option<&Handle>) -> Result<()> {
        let there = self.identity()?.at(link.node.clone(), 0, 0);
        let vault = &self.vault;
        let now = clock::now();
        let (own, mut record) = self.db.write(|tx| {
            if linking::is_under_way(tx, now)? {
                let text = "a device is being linked: let that come to an end, then move";
                return Err(Error::NotNow(text));
            }
            let own = Identity::load(tx, vault)?;
            let record = next_record(tx, vault, &own, &link.node, now)?;
            Ok((own, record))
        })?;
        let (mut online, node, _) = Online::open(&there, As::Stranger, Vec::new(), RECOVER).await?;
        for _ in 0..TRIES {
            let done = online
                .request(|request| {
                    Register {
                        request,
                        invite: link.code.clone(),
                        handle: handle.cloned(),
                        record: record.clone(),
                        devices: own.devices.clone(),
                        proof: None,
                    }
                    .into()
                })
                .await?;
            let result = done.result.as_deref().unwrap_or_default();
            match done.code {
                None => {
                    let registered: Registered = codec::decode(result, MAX_FRAME)?;
                    return self.db.write(|tx| {
                        own.store_records(tx, &record, &own.devices)?;
                        relocate(tx, &own, &there.home, now)?;
                        let own = arrive(tx, vault, &node, now)?;
                        own.set_handle(tx, registered.handle.as_ref())
                    });
                }
                // It was here before, and left under a higher number than the present home has seen.
                Some(ErrorCode::Conflict) => {
                    let held: Records = codec::decode(result, MAX_FRAME)?;
                    let held = held.record.open(&own.network)?;
                    if held.account != own.account {
                        return Err(Error::untrusted("the new home", "it names another account"));
                    }
                    record = self.db.write(|tx| {
                        let signed = own.sign_next(tx, vault, &link.node, held.seq, now)?;
                        keep(tx, &signed)?;
                        Ok(signed)
                    })?;
                }
                Some(_) => return Err(refused("the account", &done)),
            }
        }
        Err(Error::untrusted(
            "the new home",
            "it says again and again that it holds another record",
        ))
    }

    /// Another device may have moved the account there while this one was away for too long, or the
    /// old home is gone. Otherwise it is as `error` says.
    async fn go_after(&mut self, home: &NodeLink, error: Error) -> Result<()> {
        let own = self.identity()?;
        let there = self.identity()?.at(home.clone(), 0, 0);
        let opened = Online::open(&there, As::Device, Vec::new(), RECOVER).await;
        let Ok((_, node, welcome)) = opened else { return Err(error) };
        let is_ours = welcome.record.is_some_and(|record| {
            record
                .open(&own.network)
                .is_ok_and(|opened| opened.account == own.account && opened.home == home.node)
        });
        if !is_ours {
            return Err(error);
        }
        let vault = &self.vault;
        self.db.write(|tx| {
            let now = clock::now();
            relocate(tx, &own, home, now)?;
            arrive(tx, vault, &node, now).map(drop)
        })
    }
}

/// This device is at a home that its user chose: the others, and contacts, are told.
fn arrive(tx: &Transaction<'_>, vault: &Vault, node: &NodeRecord, now: Millis) -> Result<Identity> {
    let mut own = Identity::load(tx, vault)?;
    own.learn_home(tx, &node.name, &node.client)?;
    devices::note(tx, devices::Due::Records, 0, now)?;
    // Contacts follow whoever has not written to them in a long time, too.
    tokens::renew_all(tx, now)?;
    tell_contacts(tx, vault, &own, Whom::All, now)?;
    Ok(own)
}

/// The record that moves the account there: the one that was signed before, if it still is the next, since
/// somebody may have seen it.
fn next_record(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    home: &NodeLink,
    now: Millis,
) -> Result<Signed<AccountRecord>> {
    let begun = begun(tx)?.map(|begun| Ok::<_, Error>((begun.open(&own.network)?, begun)));
    let begun = begun.transpose()?.filter(|(record, _)| record.home == home.node);
    if let Some((record, begun)) = begun
        && record.previous == Some(own.record.hash())
        && record.devices == own.devices.hash()
    {
        return Ok(begun);
    }
    let signed = own.sign_next(tx, vault, home, 0, now)?;
    keep(tx, &signed)?;
    Ok(signed)
}

fn keep(tx: &Transaction<'_>, record: &Signed<AccountRecord>) -> Result<()> {
    tx.execute("INSERT OR REPLACE INTO moving VALUES (1, ?1)", [codec::encode(record)?])?;
    Ok(())
}

/// The account's newest record, which is stored, may name another home than the one that this device goes
/// by: then it goes there. But a home that was left a moment ago may have been given a record by somebody
/// who did not know: against that the next one is to speak, which [`set_right`] signs.
pub(crate) fn follow(
    tx: &Transaction<'_>,
    own: &Identity,
    record: &AccountRecord,
    now: Millis,
) -> Result<()> {
    if record.home == own.home.node || !own.registered {
        return Ok(());
    }
    let knew_ours = record.previous == Some(own.record.hash());
    if leaving::is_untold(tx, &record.home)? && !knew_ours {
        tx.execute("UPDATE identity SET record_dirty = 1", [])?;
        return Ok(());
    }
    relocate(tx, own, &home_of(own, record), now)
}

/// Signs a record for the home that this device goes by, if the newest one names another; see [`follow`].
/// A device that may not sign goes where it says.
pub(crate) fn set_right(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    now: Millis,
) -> Result<()> {
    let record = own.record.open(&own.network)?;
    if record.home == own.home.node {
        return Ok(());
    }
    match own.issue(tx, vault, &own.home, now) {
        Err(Error::NotRoot) => relocate(tx, own, &home_of(own, &record), now),
        issued => issued,
    }
}

/// The home that a record of the account names.
pub(crate) fn home_of(own: &Identity, record: &AccountRecord) -> NodeLink {
    NodeLink {
        network: own.network.clone(),
        node: record.home,
        addresses: record.hints.iter().take(identity::MAX_ADDRESSES).cloned().collect(),
        name: String::new(),
        p2p: Vec::new(),
    }
}

/// The record that was signed last for a move.
fn begun(tx: &Transaction<'_>) -> Result<Option<Signed<AccountRecord>>> {
    let found = tx
        .prepare_cached("SELECT record FROM moving")?
        .query_row([], |row| Ok(identity::signed(row, "record")))
        .optional()?;
    Ok(found.transpose()?.flatten())
}

/// The highest number that was signed for a move: somebody may have seen it, whatever became of that.
pub(crate) fn last_number(tx: &Transaction<'_>, own: &Identity) -> Result<u64> {
    begun(tx)?.map_or(Ok(0), |begun| Ok(begun.open(&own.network)?.seq))
}

/// From now on this device goes by another home, which has nothing of it yet. The old one is to be told,
/// and emptied.
pub(crate) fn relocate(
    tx: &Transaction<'_>,
    own: &Identity,
    home: &NodeLink,
    now: Millis,
) -> Result<()> {
    if own.home.node == home.node {
        return Ok(());
    }
    leaving::leave(tx, own, &home.node, now)?;
    if let Some(contact) = devices::own_contact(tx)? {
        contacts::note_former(tx, &contact, &[], now)?;
    }
    let text = contacts::home_text(home)?;
    tx.execute("UPDATE contact SET home = ?1 WHERE phase = 5", [&text])?;
    tx.execute(
        "UPDATE identity SET home = ?1, generation = 0, cursor = 0, handle = NULL, join_code = NULL,
         handle_wanted = NULL",
        [&text],
    )?;
    // What was under way with the old one is of no use at the new one.
    tx.execute_batch("DELETE FROM device_link; DELETE FROM settle;")?;
    settings::set_text(tx, settings::VAULT_VERSION, "0")?;
    vault::note_urgent(tx)
}
