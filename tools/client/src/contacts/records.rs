//! The signed records of a contact, and the nodes that they name.

use postroad_proto::codec;
use postroad_proto::ids::{AccountId, Millis, NodeId};
use postroad_proto::network::Network;
use postroad_proto::record::{AccountRecord, AccountRecordOrder, DeviceList, HandleRecord};
use postroad_proto::signed::Signed;
use rusqlite::{OptionalExtension, Transaction, params};

use super::handles::{is_released, store_handle};
use super::{Contact, home_text};
use crate::db::{int, unsigned};
use crate::error::{Error, Result};
use crate::events;
use crate::identity::Identity;
use crate::outbox;

/// Former homes of a contact that are remembered.
const MAX_FORMER: usize = 16;

/// In the column `stale`: nothing is written to them until the user has decided, or a higher record
/// has come.
pub(super) const DISPUTED: u64 = 2;

/// Records of a contact, verified to be `account`'s own and to belong together.
pub(crate) struct Verified<'a> {
    pub(crate) devices: &'a Signed<DeviceList>,
    record: &'a Signed<AccountRecord>,
    opened: AccountRecord,
    list: DeviceList,
    handle: Option<(&'a Signed<HandleRecord>, HandleRecord)>,
}

impl<'a> Verified<'a> {
    /// Checks all signatures and that nothing is somebody else's.
    pub(crate) fn check(
        account: &AccountId,
        network: &Network,
        record: &'a Signed<AccountRecord>,
        devices: &'a Signed<DeviceList>,
        handle: Option<&'a Signed<HandleRecord>>,
    ) -> Result<Self> {
        let opened = record.open(network)?;
        let list = devices.open(network)?;
        if opened.account != *account || list.account != *account {
            return Err(Error::untrusted("a contact's record", "it is another account's"));
        }
        if !opened.fits(devices, &list) {
            let why = "record and device list do not belong together";
            return Err(Error::untrusted("a contact's record", why));
        }
        let handle = match handle {
            Some(signed) => {
                let handle = signed.open(network)?;
                let is_theirs = handle.account == *account && !is_released(&handle);
                let fits = is_theirs && handle.node == opened.home;
                fits.then_some((signed, handle))
            }
            None => None,
        };
        Ok(Self { devices, record, opened, list, handle })
    }
}

/// How a record stands to what is held of a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// It was newer, and is held now.
    Newer,
    /// It is the one that is held.
    Held,
    /// A newer one is held.
    Older,
}

/// Stores records that are newer than what is held; older ones change nothing.
pub(crate) fn store_records(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    new: &Verified<'_>,
    now: Millis,
) -> Result<News> {
    let news = take_record(tx, own, contact, new.record, &new.opened, now)?;
    if news == News::Older {
        return Ok(news);
    }
    // Else a steward could bring devices back, or leave some out.
    let held = contact.device_list()?;
    if held.is_some_and(|held| new.list.is_older_than(&held)) {
        return Err(Error::untrusted(
            "a contact's record",
            "its device list is older than one before",
        ));
    }
    tx.execute(
        "UPDATE contact SET devices = ?2, stale = iif(stale = ?3, stale, 0) WHERE account = ?1",
        params![contact.account.0, codec::encode(new.devices)?, int(DISPUTED)],
    )?;
    if contact.devices.as_ref() != Some(new.devices) {
        outbox::reach::devices_changed(tx, own, &contact.account)?;
    }
    if let Some((signed, handle)) = &new.handle {
        store_handle(tx, own, contact, signed, handle, now)?;
    }
    Ok(news)
}

/// Stores a record that came without the device list: where the account is homed now.
pub(crate) fn store_moved(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    record: &Signed<AccountRecord>,
    now: Millis,
) -> Result<News> {
    let opened = record.open(&own.network)?;
    if opened.account != contact.account {
        return Err(Error::untrusted("a contact's record", "it is another account's"));
    }
    let news = take_record(tx, own, contact, record, &opened, now)?;
    let held = contact.devices.as_ref().map(Signed::hash);
    if news == News::Newer && held.is_some_and(|held| held != opened.devices) {
        mark_stale(tx, &contact.account)?;
    }
    Ok(news)
}

/// There is a newer device list: it is fetched before anything more is sealed.
pub(crate) fn mark_stale(tx: &Transaction<'_>, account: &AccountId) -> Result<()> {
    tx.execute(
        "UPDATE contact SET stale = max(stale, 1), next_try = 0 WHERE account = ?1",
        [account.0],
    )?;
    Ok(())
}

/// There may be a newer device list: it is asked for, and what is sealed goes by this one meanwhile.
pub(crate) fn ask_records(tx: &Transaction<'_>, account: &AccountId) -> Result<()> {
    let sql = "UPDATE contact SET ask_records = 1 WHERE account = ?1 AND ask_records = 0";
    tx.prepare_cached(sql)?.execute([account.0])?;
    Ok(())
}

/// They were asked for.
pub(crate) fn asked_records(tx: &Transaction<'_>, account: &AccountId) -> Result<()> {
    tx.prepare_cached(
        "UPDATE contact SET ask_records = 0, stale = iif(stale = 1, 0, stale) WHERE account = ?1",
    )?
    .execute([account.0])?;
    Ok(())
}

/// Whether there are two records of theirs with one number.
pub(crate) fn is_disputed(tx: &Transaction<'_>, account: &AccountId) -> Result<bool> {
    let mut query = tx.prepare_cached("SELECT 1 FROM contact WHERE account = ?1 AND stale = ?2")?;
    Ok(query.exists(params![account.0, int(DISPUTED)])?)
}

/// The user has decided that they are who they were, or a higher record has come.
pub(crate) fn settle_dispute(tx: &Transaction<'_>, account: &AccountId) -> Result<()> {
    let key = params![account.0, int(DISPUTED)];
    tx.execute("UPDATE contact SET stale = 0 WHERE account = ?1 AND stale = ?2", key)?;
    Ok(())
}

fn take_record(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    record: &Signed<AccountRecord>,
    opened: &AccountRecord,
    now: Millis,
) -> Result<News> {
    let held = contact.record.as_ref().map(|held| held.open(&own.network)).transpose()?;
    let order = contact.record.as_ref().map(|held| held.compare(record)).transpose()?;
    let news = match order {
        None | Some(AccountRecordOrder::Newer) => News::Newer,
        Some(AccountRecordOrder::Same) => News::Held,
        Some(AccountRecordOrder::Older) => return Ok(News::Older),
        Some(AccountRecordOrder::Conflict) => {
            // Somebody else may have the account's key: nothing of it is believed.
            let text = format!(
                "two records of {:?} with one number: their key is used twice. Nothing more is written to them \
                 until you have asked them and added their link again",
                contact.name
            );
            events::problem(tx, now, "two_records", &text)?;
            let key = params![contact.account.0, int(DISPUTED)];
            tx.execute("UPDATE contact SET stale = ?2 WHERE account = ?1", key)?;
            return Ok(News::Older);
        }
    };
    let mut home = contact.home.clone();
    let moves = home.node != opened.home;
    if moves {
        home.node = opened.home;
        home.name.clear();
        home.addresses.clear();
    }
    // Its hints stay in the record: only the home speaks to other nodes, and what others can make
    // longer and longer is not kept.
    tx.execute(
        "UPDATE contact SET record = ?2, home = ?3 WHERE account = ?1",
        params![contact.account.0, codec::encode(record)?, home_text(&home)?],
    )?;
    if news == News::Newer {
        settle_dispute(tx, &contact.account)?;
    }
    if moves {
        let backups = held.map(|held| held.backups).unwrap_or_default();
        note_former(tx, contact, &backups, now)?;
        // What lies at the old home may never be fetched from there: P5.
        outbox::reoffer_contact(tx, &contact.account)?;
    }
    Ok(news)
}

/// Nodes that had a part in a contact's mail have one no more, from now on.
pub(crate) fn note_former(
    tx: &Transaction<'_>,
    contact: &Contact,
    backups: &[NodeId],
    now: Millis,
) -> Result<()> {
    for node in backups.iter().chain([&contact.home.node]) {
        tx.execute(
            "INSERT OR REPLACE INTO former_home VALUES (?1, ?2, ?3)",
            params![contact.account.0, node.0, int(now)],
        )?;
    }
    tx.execute(
        "DELETE FROM former_home WHERE account = ?1 AND node NOT IN
         (SELECT node FROM former_home WHERE account = ?1 ORDER BY until DESC LIMIT ?2)",
        params![contact.account.0, MAX_FORMER as i64],
    )?;
    Ok(())
}

/// What a node's word that it has custody for a contact is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Custodian {
    /// Home or backup now.
    Now,
    /// It was, until the contact moved. It may well have taken what was sent before, and goes on
    /// handing it out; but the contact had a reason to move, so its word settles nothing.
    Before(Millis),
    /// It has no part in it.
    Never,
}

impl Contact {
    /// Whether `node` takes custody for them, or did.
    pub(crate) fn custodian(
        &self,
        tx: &Transaction<'_>,
        network: &Network,
        node: &NodeId,
    ) -> Result<Custodian> {
        let record = self.record.as_ref().map(|record| record.open(network)).transpose()?;
        let named = |record: AccountRecord| record.home == *node || record.backups.contains(node);
        if self.home.node == *node || record.is_some_and(named) {
            return Ok(Custodian::Now);
        }
        let until = tx
            .prepare_cached("SELECT until FROM former_home WHERE account = ?1 AND node = ?2")?
            .query_row(params![self.account.0, node.0], |row| unsigned(row, "until"))
            .optional()?;
        Ok(until.map_or(Custodian::Never, Custodian::Before))
    }
}

/// What a node is called: by its name, where it is our home or the contact's, else by its id. A name
/// is the node's own word; nobody else passes for our home by it.
pub(crate) fn node_name(own: &Identity, contact: Option<&Contact>, node: &NodeId) -> String {
    let home = &own.home;
    let theirs = contact.map(|contact| &contact.home).filter(|theirs| theirs.name != home.name);
    [Some(home), theirs]
        .into_iter()
        .flatten()
        .find(|link| link.node == *node && !link.name.is_empty())
        .map_or_else(|| node.to_string(), |link| link.name.clone())
}
