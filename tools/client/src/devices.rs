//! The account's other devices: what they are told, and what they tell. `proto/spec/sync.md`.
//!
//! Whatever they are to know is noted as due, and told from the state that there is when it is told:
//! what changes often is told once. Our own account is a contact of a kind of its own while it has
//! other devices, so that what goes to them is sealed, offered, kept and asked for like all else.

pub(crate) mod copies;
pub(crate) mod entries;
mod people;

pub(crate) use people::item as person_item;
use postroad_proto::codec;
use postroad_proto::content::{self, kind};
use postroad_proto::ids::{AccountId, Millis};
use postroad_proto::limits::MAX_BODY;
use postroad_proto::record::{AccountRecord, AccountRecordOrder, DeviceList};
use postroad_proto::signed::{Signable, Signed};
use postroad_proto::sync::{Item, OwnRecords, Sync, item};
use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::{OptionalExtension, ToSql, Transaction, params};

use crate::contacts::{self, Contact, News, Phase};
use crate::db::{blob, int, part};
use crate::deletion;
use crate::error::{Error, Result};
use crate::events;
use crate::identity::Identity;
use crate::moving;
use crate::outbox;
use crate::recovery::vault;
use crate::vault::Vault;

/// Bytes of items in one message, unless one item alone has more.
const PACKED: usize = 32 * 1024;
/// What is told in one round.
const TOLD_AT_ONCE: usize = 512;
/// How long the progress of messages is gathered.
const GATHERED: Millis = 1_000;

/// What the other devices are to be told of. The number in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// An entry, by its key.
    Entry = 1,
    /// A contact, by its account.
    Person = 2,
    /// A message, by its row.
    Copy = 3,
    /// How far a message of ours has come, by its row.
    Progress = 4,
    /// What was seen of somebody's device, by the entry's key.
    Seen = 5,
    /// The account's own records; 0.
    Records = 6,
    /// What is missing of somebody's device, by [`entries::device_key`].
    Want = 7,
    /// What came of a range that another device lacks: see [`copies::answer`].
    Place = 8,
    /// The account's last word on its end; 0.
    Deletion = 9,
}

impl Due {
    const ALL: [Self; 9] = [
        Self::Entry,
        Self::Person,
        Self::Copy,
        Self::Progress,
        Self::Seen,
        Self::Records,
        Self::Want,
        Self::Place,
        Self::Deletion,
    ];

    fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|due| *due as i64 == number)
    }
}

impl ToSql for Due {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok((*self as i64).into())
    }
}

/// Our own account as a contact; none while it has one device only.
pub(crate) fn own_contact(tx: &Transaction<'_>) -> Result<Option<Contact>> {
    let account = tx
        .prepare_cached("SELECT account FROM contact WHERE phase = 5")?
        .query_row([], |row| blob(row, "account"))
        .optional()?;
    account.map(|account| contacts::get(tx, &AccountId(account))).transpose()
}

/// The other devices are to be told, if there are any.
pub(crate) fn note(tx: &Transaction<'_>, what: Due, key: impl ToSql, now: Millis) -> Result<()> {
    if what == Due::Person {
        vault::note(tx)?;
    }
    tx.prepare_cached(
        "INSERT INTO due SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM contact WHERE phase = 5)
         ON CONFLICT DO NOTHING",
    )?
    .execute(params![what, key, int(now)])?;
    Ok(())
}

/// Whether [`queue_due`] has something to do.
pub(crate) fn is_due(tx: &Transaction<'_>, now: Millis) -> Result<bool> {
    let mut query =
        tx.prepare_cached("SELECT EXISTS (SELECT 1 FROM due WHERE kind <> ?1 OR at <= ?2)")?;
    let before = int(now.saturating_sub(GATHERED));
    Ok(query.query_row(params![Due::Progress, before], |row| row.get(0))?)
}

/// Turns what is due into messages to the other devices. Whether there were any.
pub(crate) fn queue_due(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    now: Millis,
) -> Result<bool> {
    if !is_due(tx, now)? {
        return Ok(false);
    }
    let Some(contact) = own_contact(tx)? else {
        tx.execute("DELETE FROM due", [])?;
        return Ok(false);
    };
    let mut query = tx.prepare_cached("SELECT kind, key FROM due ORDER BY kind, key LIMIT ?1")?;
    let due = query
        .query_map([TOLD_AT_ONCE as i64], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, Value)>>>()?;
    let mut items = Vec::with_capacity(due.len());
    for (number, key) in &due {
        if let Some(what) = Due::from_number(*number) {
            items.extend(build(tx, own, what, key, now)?);
        }
        tx.prepare_cached("DELETE FROM due WHERE kind = ?1 AND key = ?2")?
            .execute(params![number, key])?;
    }
    for sync in packed(items) {
        let content = codec::encode(&sync)?;
        outbox::queue(tx, vault, own, &contact, kind::SYNC, &content, now)?;
    }
    Ok(!due.is_empty())
}

fn build(
    tx: &Transaction<'_>,
    own: &Identity,
    what: Due,
    key: &Value,
    now: Millis,
) -> Result<Option<Item>> {
    let text = || if let Value::Text(text) = key { text.as_str() } else { "" };
    let row = || if let Value::Integer(row) = key { *row } else { 0 };
    match what {
        Due::Entry => entries::item(tx, text()),
        Due::Seen => entries::seen_item(tx, own, text(), now),
        Due::Person => match key {
            Value::Blob(account) => AccountId::from_slice(account)
                .map_or(Ok(None), |account| people::item(tx, &account)),
            _ => Ok(None),
        },
        Due::Copy => copies::item(tx, row()),
        Due::Progress => copies::progress(tx, row()),
        Due::Records => {
            let (record, devices) = (own.record.clone(), own.devices.clone());
            let stewards: Vec<_> = own.certify(now)?.into_iter().map(|(_, cert)| cert).collect();
            let stewards = Some(stewards).filter(|stewards| !stewards.is_empty());
            // Only whoever can make it says what it is.
            let vault = if own.is_root() { own.vault_key()? } else { None };
            Ok(Some(Item::new(&OwnRecords { record, devices, vault, stewards })?))
        }
        Due::Want => copies::want(tx, text()),
        Due::Place => copies::answer(tx, text()),
        Due::Deletion => deletion::item(tx),
    }
}

/// Items in as few messages as they fit.
pub(crate) fn packed(items: Vec<Item>) -> Vec<Sync> {
    let mut all: Vec<Sync> = Vec::new();
    let mut bytes = PACKED;
    for item in items {
        let size = item.body.len() + 8;
        if bytes + size > PACKED {
            all.push(Sync::default());
            bytes = 0;
        }
        bytes += size;
        if let Some(last) = all.last_mut() {
            last.items.push(item);
        }
    }
    all
}

/// Another device of ours tells something.
pub(crate) fn told(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    content: &[u8],
    now: Millis,
) -> Result<()> {
    let sync: Sync = match codec::decode(content, MAX_BODY) {
        Ok(sync) => sync,
        Err(error) => return events::problem(tx, now, "sync", &error.to_string()),
    };
    take_items(tx, vault, own, &sync.items, now)
}

/// Takes what another device of ours tells. What cannot be taken is noted and passed over.
pub(crate) fn take_items(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    items: &[Item],
    now: Millis,
) -> Result<()> {
    for item in items {
        if let Err(error) = part(tx, || apply(tx, vault, own, item, now))? {
            let text = format!("something that another device of yours says: {error}");
            events::problem(tx, now, "sync", &text)?;
        }
    }
    Ok(())
}

/// Takes one item.
fn apply(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    item: &Item,
    now: Millis,
) -> Result<()> {
    match item.kind {
        item::ENTRY => entries::apply(tx, vault, own, &item.open()?, now),
        item::PERSON => people::apply(tx, vault, own, &item.open()?, now),
        item::COPY => copies::apply(tx, own, &item.open()?, now),
        item::PROGRESS => copies::apply_progress(tx, own, &item.open()?, now),
        item::PLACE => copies::apply_place(tx, own, &item.open()?),
        item::RECORDS => {
            let told: OwnRecords = item.open()?;
            take_records(tx, own, &told.record, &told.devices, now)?;
            // What was given in an earlier epoch is of no use in this one.
            let own = Identity::load(tx, vault)?;
            let (told_in, now_in) =
                (told.record.open(&own.network)?, own.record.open(&own.network)?);
            if told_in.epoch != now_in.epoch {
                return Ok(());
            }
            let stewards = told.stewards.unwrap_or_default();
            own.store_office(tx, vault, told.vault.as_ref(), &stewards)
        }
        item::WANT => copies::wanted(tx, own, &item.open()?, now),
        item::DELETION => deletion::told(tx, own, &item.open()?),
        _ => Ok(()),
    }
}

/// Takes records of our own account that another device, or the home, has.
pub(crate) fn take_records(
    tx: &Transaction<'_>,
    own: &Identity,
    record: &Signed<AccountRecord>,
    devices: &Signed<DeviceList>,
    now: Millis,
) -> Result<News> {
    let (new, list) = (record.open(&own.network)?, devices.open(&own.network)?);
    if new.account != own.account || !new.fits(devices, &list) {
        let why = "they do not belong together, or to this account";
        return Err(Error::untrusted("the account's own records", why));
    }
    match own.record.compare(record)? {
        AccountRecordOrder::Newer => {}
        AccountRecordOrder::Same => return Ok(News::Held),
        AccountRecordOrder::Older => return Ok(News::Older),
        AccountRecordOrder::Conflict => {
            let text = "two of your devices signed records with one number; the home's counts";
            events::problem(tx, now, "two_records", text)?;
        }
    }
    own.store_records(tx, record, devices)?;
    arrange(tx, own, devices, now)?;
    moving::follow(tx, own, &new, now)?;
    Ok(News::Newer)
}

/// Our own account is a contact as long as it has other devices. `devices` is its newest list.
pub(crate) fn arrange(
    tx: &Transaction<'_>,
    own: &Identity,
    devices: &Signed<DeviceList>,
    now: Millis,
) -> Result<()> {
    let list: DeviceList = codec::decode(&devices.payload, DeviceList::LIMIT)?;
    if list.devices.iter().all(|device| device.number == own.device) {
        tx.execute(
            "DELETE FROM message WHERE chat IN (SELECT chat FROM contact WHERE phase = 5)",
            [],
        )?;
        tx.execute("DELETE FROM contact WHERE phase = 5", [])?;
        tx.execute("DELETE FROM due", [])?;
        return Ok(());
    }
    tx.execute(
        "INSERT INTO contact (account, chat, name, phase, verified, home, devices, card_known,
         created_at)
         VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, 1, ?7)
         ON CONFLICT (account) DO UPDATE SET devices = ?6, home = ?5",
        params![
            own.account.0,
            content::conversation(&own.account, &own.account).0,
            // Nobody else can be called that.
            contacts::RESERVED_NAME,
            Phase::Own as i64,
            contacts::home_text(&own.home)?,
            codec::encode(devices)?,
            int(now)
        ],
    )?;
    outbox::reach::devices_changed(tx, own, &own.account)
}
