//! Contacts: who they are, how they are reached, and how far acquaintance has come.

mod handles;
mod names;
mod records;
pub(crate) mod tokens;

use postroad_proto::codec;
use postroad_proto::content::{self, Card};
use postroad_proto::ephemeral::EphemeralSecret;
use postroad_proto::error::ErrorCode;
use postroad_proto::ids::{AccountId, ConversationId, DeviceNumber, Millis, NodeId};
use postroad_proto::link::NodeLink;
use postroad_proto::network::Network;
use postroad_proto::record::{AccountRecord, DeviceList, HandleRecord};
use postroad_proto::signed::{Signable, Signed};
use postroad_proto::token::{DeliveryToken, InviteCode};
use rusqlite::{OptionalExtension, Row, Transaction, params};

pub(crate) use handles::{check_handle, check_node, is_released, prove_handle};
pub(crate) use names::{
    RESERVED_NAME, check_form, check_name, free_name, holder_of_name, is_name, numbered_name,
    rename, resolve, set_name,
};
pub(crate) use records::{
    Custodian, News, Verified, ask_records, asked_records, is_disputed, mark_stale, node_name,
    note_former, settle_dispute, store_moved, store_records,
};

use crate::db::{blob, bool_of, int, unsigned};
use crate::devices::entries;
use crate::error::{Error, Result, StorageError};
use crate::events::{self, Event};
use crate::identity::{self, Identity};
use crate::outbox::NOT_TAKEN;

/// How far acquaintance has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Added from a link that is not redeemed yet.
    Linked,
    /// Found by handle; nothing was sent yet.
    Stranger,
    /// Our request is on its way and not accepted yet.
    Requested,
    /// Both can write.
    Ready,
    /// Asks to write to us.
    Asking,
    /// Our own account: what its other devices are told is sent to it like to anybody.
    Own,
}

impl Phase {
    const ALL: [Self; 6] =
        [Self::Linked, Self::Stranger, Self::Requested, Self::Ready, Self::Asking, Self::Own];

    /// As commands print it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::Stranger => "stranger",
            Self::Requested => "requested",
            Self::Ready => "ready",
            Self::Asking => "asking",
            Self::Own => "own",
        }
    }
}

/// A contact as stored.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    pub(crate) account: AccountId,
    pub(crate) chat: ConversationId,
    pub(crate) name: String,
    pub(crate) phase: Phase,
    pub(crate) verified: bool,
    pub(crate) blocked: bool,
    pub(crate) home: NodeLink,
    pub(crate) handle: String,
    /// The node's name in it was looked up, or is our own home's.
    pub(crate) handle_proven: bool,
    pub(crate) invite: Option<InviteCode>,
    pub(crate) token: Option<DeliveryToken>,
    pub(crate) token_label: Option<[u8; 8]>,
    /// Of the token that they chose by a link, whether they still use it or not.
    pub(crate) chosen_label: Option<[u8; 8]>,
    /// What they gave us to seal typing and presence under.
    pub(crate) ephemeral: Option<EphemeralSecret>,
    pub(crate) record: Option<Signed<AccountRecord>>,
    pub(crate) devices: Option<Signed<DeviceList>>,
    pub(crate) handle_record: Option<Signed<HandleRecord>>,
    /// There is a newer device list than that.
    pub(crate) stale: bool,
    /// There may be one.
    pub(crate) ask_records: bool,
    /// There are two records of theirs with one number: somebody else may have their key.
    pub(crate) disputed: bool,
    pub(crate) sends_receipts: bool,
    /// They have used the token in our card, so they have it.
    pub(crate) card_known: bool,
    pub(crate) token_number: u32,
    /// The lowest number that they may still be using.
    pub(crate) token_floor: u32,
    pub(crate) token_registered: bool,
    pub(crate) request: Option<(NodeId, [u8; 16])>,
    /// What ended the attempt to reach them.
    pub(crate) error: Option<(ErrorCode, String)>,
    /// Why it did not work the last time, whether that was for good or not.
    pub(crate) trouble: String,
    pub(crate) tries: u32,
    pub(crate) next_try: Millis,
    /// Seconds that texts are kept; none for ever.
    pub(crate) timer: Option<u64>,
}

impl Contact {
    fn from_row(row: &Row<'_>) -> Result<Self> {
        let home: String = row.get("home")?;
        let phase: u8 = row.get("phase")?;
        let secret = |column| -> Result<Option<[u8; 16]>> {
            let bytes: Option<Vec<u8>> = row.get(column)?;
            let wrong = |_| StorageError::Value("token");
            Ok(bytes.map(TryInto::try_into).transpose().map_err(wrong)?)
        };
        let label = |column| -> Result<Option<[u8; 8]>> {
            let bytes: Option<Vec<u8>> = row.get(column)?;
            Ok(bytes.and_then(|bytes| bytes.try_into().ok()))
        };
        let ephemeral: Option<Vec<u8>> = row.get("ephemeral")?;
        let ephemeral = ephemeral.and_then(|bytes| bytes.try_into().ok());
        let origin: Option<Vec<u8>> = row.get("origin")?;
        let origin = origin.and_then(|bytes| NodeId::from_slice(&bytes));
        let error: Option<i64> = row.get("error")?;
        let error = error.map(|n| ErrorCode::from_number(n.unsigned_abs()));
        let detail: String = row.get("error_detail")?;
        let record: Option<Signed<AccountRecord>> = identity::signed(row, "record")?;
        Ok(Self {
            account: AccountId(blob(row, "account")?),
            chat: ConversationId(blob(row, "chat")?),
            name: row.get("name")?,
            phase: *Phase::ALL.get(usize::from(phase)).ok_or(StorageError::Value("contact"))?,
            verified: bool_of(row, "verified")?,
            blocked: bool_of(row, "blocked")?,
            home: home.parse().unwrap_or_else(|_| home_of(record.as_ref())),
            handle: row.get("handle")?,
            handle_proven: bool_of(row, "handle_proven")?,
            invite: secret("invite")?.map(InviteCode),
            token: secret("token")?.map(DeliveryToken),
            token_label: label("token_label")?,
            chosen_label: label("chosen_label")?,
            ephemeral: ephemeral.map(EphemeralSecret),
            record,
            devices: identity::signed(row, "devices")?,
            handle_record: identity::signed(row, "handle_record")?,
            stale: bool_of(row, "stale")?,
            ask_records: bool_of(row, "ask_records")?,
            disputed: unsigned(row, "stale")? == records::DISPUTED,
            sends_receipts: bool_of(row, "sends_receipts")?,
            card_known: bool_of(row, "card_known")?,
            token_number: row.get("token_number")?,
            token_floor: row.get("token_floor")?,
            token_registered: bool_of(row, "token_registered")?,
            request: origin.zip(secret("tag")?),
            error: error.map(|code| (code, detail.clone())),
            trouble: detail,
            tries: row.get("tries")?,
            next_try: unsigned(row, "next_try")?,
            timer: Some(unsigned(row, "timer")?).filter(|seconds| *seconds > 0),
        })
    }

    /// Their devices; verified when they were stored.
    pub(crate) fn device_list(&self) -> Result<Option<DeviceList>> {
        let read = |signed: &Signed<DeviceList>| codec::decode(&signed.payload, DeviceList::LIMIT);
        Ok(self.devices.as_ref().map(read).transpose()?)
    }

    /// Whether there may be a device of that number which is not in the list that we know: numbers rise,
    /// and one that is lower than others was taken off.
    pub(crate) fn may_have(&self, device: DeviceNumber) -> bool {
        let list = self.device_list().ok().flatten().map(|list| list.devices).unwrap_or_default();
        list.iter().all(|known| known.number < device)
    }

    /// Whether mail to them can be sealed as an ordinary message.
    pub(crate) fn is_ready(&self) -> bool {
        let may_write =
            self.phase == Phase::Own || self.phase == Phase::Ready && self.token.is_some();
        may_write && self.devices.is_some()
    }
}

/// A contact to be stored.
pub(crate) struct NewContact<'a> {
    pub(crate) account: AccountId,
    pub(crate) name: &'a str,
    pub(crate) phase: Phase,
    pub(crate) verified: bool,
    pub(crate) home: &'a NodeLink,
    pub(crate) handle: &'a str,
}

/// Stores a new contact, whom the other devices of the account may come to know by themselves.
pub(crate) fn insert(
    tx: &Transaction<'_>,
    own: &Identity,
    new: &NewContact<'_>,
    now: Millis,
) -> Result<Contact> {
    insert_quietly(tx, own, new, now)?;
    // They are to be called the same everywhere.
    entries::propose(tx, entries::NAME, &new.account, new.name.as_bytes(), now)?;
    events::record(tx, now, &Event::Contact { account: new.account })?;
    get(tx, &new.account)
}

/// Stores a new contact, and nothing else.
pub(crate) fn insert_quietly(
    tx: &Transaction<'_>,
    own: &Identity,
    new: &NewContact<'_>,
    now: Millis,
) -> Result<()> {
    tx.execute(
        "INSERT INTO contact (account, chat, name, phase, verified, home, handle, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            new.account.0,
            content::conversation(&own.account, &new.account).0,
            new.name,
            new.phase as i64,
            new.verified,
            home_text(new.home)?,
            new.handle,
            int(now)
        ],
    )?;
    Ok(())
}

/// A home as it is stored: only what can be read again.
pub(crate) fn home_text(home: &NodeLink) -> Result<String> {
    let text = home.to_string();
    text.parse::<NodeLink>()?;
    Ok(text)
}

/// The home in a record that was verified when it was stored: one link that is damaged must not
/// take all contacts with it.
fn home_of(record: Option<&Signed<AccountRecord>>) -> NodeLink {
    let opened = record.and_then(|record| {
        codec::decode::<AccountRecord>(&record.payload, AccountRecord::LIMIT).ok()
    });
    NodeLink {
        network: Network::default(),
        node: opened.map_or(NodeId([0; 32]), |record| record.home),
        addresses: Vec::new(),
        name: String::new(),
        p2p: Vec::new(),
    }
}

pub(crate) fn find(tx: &Transaction<'_>, account: &AccountId) -> Result<Option<Contact>> {
    tx.prepare_cached("SELECT * FROM contact WHERE account = ?1")?
        .query_row([account.0], |row| Ok(Contact::from_row(row)))
        .optional()?
        .transpose()
}

pub(crate) fn get(tx: &Transaction<'_>, account: &AccountId) -> Result<Contact> {
    find(tx, account)?.ok_or_else(|| Error::NotFound { what: "contact", name: account.to_string() })
}

/// All, by name; without our own account.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<Contact>> {
    let mut query = tx.prepare_cached("SELECT * FROM contact WHERE phase <> 5 ORDER BY name")?;
    let rows = query.query_map([], |row| Ok(Contact::from_row(row)))?;
    rows.map(|row| row?).collect()
}

pub(crate) fn set_phase(tx: &Transaction<'_>, account: &AccountId, phase: Phase) -> Result<()> {
    let mut update = tx.prepare_cached("UPDATE contact SET phase = ?2 WHERE account = ?1")?;
    update.execute(params![account.0, phase as i64])?;
    Ok(())
}

/// Notes that reaching them failed: for good with `settled`, else until `next_try`.
pub(crate) fn note_failure(
    tx: &Transaction<'_>,
    account: &AccountId,
    code: ErrorCode,
    detail: &str,
    settled: bool,
    next_try: Millis,
) -> Result<()> {
    tx.execute(
        "UPDATE contact SET error = ?2, error_detail = ?3, tries = tries + 1, next_try = ?4
         WHERE account = ?1",
        params![
            account.0,
            settled.then_some(int(code.number())),
            match code {
                ErrorCode::Denied => format!("{code}: {NOT_TAKEN}"),
                _ => format!("{code}: {detail}"),
            },
            int(next_try)
        ],
    )?;
    Ok(())
}

/// Reaching them works: whatever kept from it is over.
pub(crate) fn forget_failure(tx: &Transaction<'_>, account: &AccountId) -> Result<()> {
    tx.prepare_cached(
        "UPDATE contact SET error = NULL, error_detail = '', tries = 0, next_try = 0
         WHERE account = ?1",
    )?
    .execute([account.0])?;
    Ok(())
}

/// Stores the token for writing to them.
pub(crate) fn store_token(
    tx: &Transaction<'_>,
    account: &AccountId,
    token: &DeliveryToken,
) -> Result<()> {
    tx.execute("UPDATE contact SET token = ?2 WHERE account = ?1", params![account.0, token.0])?;
    forget_failure(tx, account)
}

/// Stores how their card wants to be written to, unless a later message of the same device brought
/// another: what is sent again carries the card of its time.
pub(crate) fn store_card(
    tx: &Transaction<'_>,
    account: &AccountId,
    card: &Card,
    (device, seq): (DeviceNumber, u64),
) -> Result<()> {
    let stored = tx.execute(
        "UPDATE contact SET sends_receipts = ?2, ephemeral = ?3, card_device = ?4, card_seq = ?5
         WHERE account = ?1 AND (card_device <> ?4 OR card_seq <= ?5)",
        params![
            account.0,
            card.sends_receipts,
            card.ephemeral.as_ref().map(|secret| secret.0),
            device,
            int(seq)
        ],
    )?;
    if stored > 0 { store_token(tx, account, &card.token) } else { Ok(()) }
}
