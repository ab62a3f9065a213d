//! Sealing what waits, as far as keys and acquaintance allow.

use postroad_proto::blob::Blob;
use postroad_proto::codec;
use postroad_proto::content::{self, Card, Message, Sender, Text, kind};
use postroad_proto::envelope::{Class, Envelope, Parcel, Route};
use postroad_proto::ids::{AccountId, Hash, MessageId, Millis};
use postroad_proto::limits::MAX_REQUEST_BODY;
use postroad_proto::pair::{BODY_OVERHEAD, MAX_PLAINTEXT};
use postroad_proto::record::Device;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{NO_KEYS, NOT_ACCEPTED, reach};
use crate::contacts::{self, Contact, Phase};
use crate::conversations;
use crate::db::{blob, int, part, unsigned};
use crate::devices::copies;
use crate::e2e::{self, Letter, PeerSessions, store};
use crate::ephemeral;
use crate::error::{Error, Result, StorageError};
use crate::identity::Identity;
use crate::messages;
use crate::resend;
use crate::settings;
use crate::state::State;
use crate::steps::{self, Signer};
use crate::vault::Vault;

/// Messages sealed in one transaction.
const BATCH: usize = 64;
/// Plaintext bytes that fit the body of a request.
const MAX_REQUEST_PLAINTEXT: usize = MAX_REQUEST_BODY - BODY_OVERHEAD - 1;

/// A message that waits to be sealed.
struct Waiting {
    row: i64,
    id: MessageId,
    contact: AccountId,
    kind: u64,
    content: Vec<u8>,
    sent_at: Millis,
    deadline: u64,
    /// When it has its place already and is only to be sealed for other devices.
    plaintext: Option<Vec<u8>>,
}

/// Seals what can be sealed, in the order in which it was written. How many were.
pub(crate) fn seal_waiting(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    now: Millis,
) -> Result<usize> {
    reach::unseal_missing(tx, vault, own)?;
    let mut query = tx.prepare_cached(
        "SELECT row, id, contact, kind, content, sent_at, deadline, plaintext
         FROM outbox JOIN message ON row = message
         WHERE envelope IS NULL AND state NOT IN (3, 4) ORDER BY row",
    )?;
    let waiting = query
        .query_map([], |row| {
            Ok(Waiting {
                row: row.get("row")?,
                id: MessageId(blob(row, "id")?),
                contact: AccountId(blob(row, "contact")?),
                kind: unsigned(row, "kind")?,
                content: row.get("content")?,
                sent_at: unsigned(row, "sent_at")?,
                deadline: unsigned(row, "deadline")?,
                plaintext: row.get("plaintext")?,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut sealed = 0;
    for message in waiting {
        if sealed == BATCH {
            break;
        }
        match part(tx, || try_seal(tx, vault, own, &message, now))? {
            Ok(was_sealed) => sealed += usize::from(was_sealed),
            Err(error) => fail(tx, own, &message, &error, now)?,
        }
    }
    Ok(sealed)
}

/// What cannot be sealed for a reason that stays (keys that are weak, say) must not hold up others.
fn fail(
    tx: &Transaction<'_>,
    own: &Identity,
    message: &Waiting,
    error: &Error,
    now: Millis,
) -> Result<()> {
    let step = steps::plain(State::Failed, Signer::Device(own.account, own.device), now);
    messages::advance(tx, message.row, &step, &error.to_string(), now)?;
    super::settle::give_up(tx, message.row)
}

fn try_seal(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    waiting: &Waiting,
    now: Millis,
) -> Result<bool> {
    let contact = contacts::get(tx, &waiting.contact)?;
    if contact.blocked || contact.disputed {
        return Ok(false);
    }
    if let Some((code, detail)) = &contact.error {
        let step = steps::plain(State::Failed, Signer::Node(contact.home.node), now);
        let reason = if detail.is_empty() { code.to_string() } else { detail.clone() };
        messages::advance(tx, waiting.row, &step, &reason, now)?;
        super::settle::give_up(tx, waiting.row)?;
        tracing::debug!(%code, "a contact cannot be reached");
        return Ok(false);
    }
    let class = match contact.phase {
        Phase::Ready | Phase::Own => Class::Message,
        Phase::Stranger => Class::Request,
        Phase::Requested => return stay(tx, waiting, NOT_ACCEPTED),
        Phase::Linked | Phase::Asking => return stay(tx, waiting, NO_KEYS),
    };
    if contact.stale {
        return stay(tx, waiting, NO_KEYS);
    }
    // Our card must not name a token that the home does not know yet.
    if !contact.token_registered && contact.phase != Phase::Own {
        return stay(tx, waiting, NO_KEYS);
    }
    let devices = reach::left(tx, waiting.row, reach::recipients(own, &contact)?)?;
    let mut devices = ready_sessions(tx, vault, &contact.account, devices, now)?;
    if waiting.kind == kind::RESEND && awaits_session(tx, &contact.account, &devices)? {
        return stay(tx, waiting, NO_KEYS);
    }
    if !seal_into_outbox(tx, own, &contact, waiting, class, &mut devices, now)? {
        return stay(tx, waiting, NO_KEYS);
    }
    for (device, sessions) in &devices {
        store::save_sessions(tx, vault, (contact.account, device.number), sessions)?;
    }
    if class == Class::Request {
        contacts::set_phase(tx, &contact.account, Phase::Requested)?;
    }
    Ok(true)
}

fn stay(tx: &Transaction<'_>, waiting: &Waiting, reason: &str) -> Result<bool> {
    messages::set_reason(tx, waiting.row, reason)?;
    Ok(false)
}

/// Whether a device is to be asked on a new session for which no key has come yet.
fn awaits_session(
    tx: &Transaction<'_>,
    account: &AccountId,
    devices: &[(Device, PeerSessions)],
) -> Result<bool> {
    for (device, _) in devices {
        if resend::is_to_renew(tx, account, device.number)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The sessions with each device; where there is none that serves, one is started from a claimed
/// prekey.
fn ready_sessions(
    tx: &Transaction<'_>,
    vault: &Vault,
    account: &AccountId,
    devices: Vec<Device>,
    now: Millis,
) -> Result<Vec<(Device, PeerSessions)>> {
    let mut ready = Vec::with_capacity(devices.len());
    for device in devices {
        let mut sessions = store::load_sessions(tx, vault, (*account, device.number))?;
        let is_wanted = sessions.is_empty() || resend::is_to_renew(tx, account, device.number)?;
        if is_wanted && let Some(prekey) = take_prekey(tx, account, &device)? {
            let own = store::load_own(tx, vault)?;
            sessions.start(&own, &device.olm_identity, &prekey, now)?;
            resend::renewed(tx, account, device.number)?;
        }
        ready.push((device, sessions));
    }
    Ok(ready)
}

/// Takes a claimed prekey out of the store: its signature was verified when it came.
fn take_prekey(tx: &Transaction<'_>, account: &AccountId, device: &Device) -> Result<Option<Hash>> {
    let key: Option<Vec<u8>> = tx
        .prepare_cached("DELETE FROM prekey WHERE account = ?1 AND device = ?2 RETURNING key")?
        .query_row(params![account.0, device.number], |row| row.get(0))
        .optional()?;
    Ok(key.as_deref().and_then(Hash::from_slice))
}

/// Gives the message its place, seals it, and puts both into the outbox. False without a session.
fn seal_into_outbox(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    waiting: &Waiting,
    class: Class,
    devices: &mut [(Device, PeerSessions)],
    now: Millis,
) -> Result<bool> {
    let message = match &waiting.plaintext {
        Some(plaintext) => Message::decode(plaintext)?,
        None => compose(tx, own, contact, waiting)?,
    };
    let plaintext = message.encode()?;
    let deadline = waiting.deadline.min(now / 1000 + own.max_deadline);
    let letter = Letter {
        class,
        deadline,
        sender: own.address(),
        recipient: contact.account,
        message: &message,
        plaintext: &plaintext,
    };
    let Some(sealed) = e2e::seal(&letter, devices)? else { return Ok(false) };
    let parcel = Parcel {
        account: contact.account,
        token: None,
        tag: None,
        label: None,
        headers: sealed.headers,
    };
    let envelope = Envelope {
        version: sealed.attributes.version,
        flags: sealed.attributes.flags,
        class: sealed.attributes.class,
        mode: sealed.attributes.mode,
        deadline,
        body_hash: sealed.body_hash,
        body: sealed.body.into(),
        stamp: Blob::default(),
        routes: vec![Route { home: contact.home.node, backups: vec![], parcels: vec![parcel] }],
    };
    let parcel = &envelope.routes[0].parcels[0];
    let parcel_id = envelope.parcel_id(parcel, &own.network);
    if waiting.plaintext.is_none() {
        conversations::sent(tx, &contact.chat, message.seq, &plaintext)?;
        copies::note_copy(tx, waiting.row, waiting.kind, now)?;
    }
    reach::sealed(tx, waiting.row, &parcel.headers, devices.len())?;
    // Word of what was sealed before may come yet.
    tx.prepare_cached(
        "INSERT OR IGNORE INTO former_parcel
         SELECT parcel, row FROM message WHERE row = ?1 AND parcel NOT NULL",
    )?
    .execute([waiting.row])?;
    tx.prepare_cached(
        "UPDATE outbox SET plaintext = ?2, envelope = ?3, token = ?4, offer = 1 WHERE message = ?1",
    )?
    .execute(params![
        waiting.row,
        plaintext,
        codec::encode(&envelope)?,
        contact.token.as_ref().filter(|_| class == Class::Message).map(|token| token.0)
    ])?;
    tx.prepare_cached(
        "UPDATE message SET seq = ?2, parcel = ?3, deadline = ?4, reason = '' WHERE row = ?1",
    )?
    .execute(params![waiting.row, int(message.seq), parcel_id.0, int(deadline)])?;
    Ok(true)
}

fn compose(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    waiting: &Waiting,
) -> Result<Message> {
    let (seq, previous) = conversations::next_own(tx, &contact.chat)?;
    let lowest: Option<i64> = tx
        .prepare_cached(
            "SELECT min(seq) FROM outbox JOIN message ON row = message WHERE contact = ?1",
        )?
        .query_row([contact.account.0], |row| row.get(0))?;
    Ok(Message {
        id: waiting.id,
        conversation: contact.chat,
        seq,
        previous,
        lowest_kept: lowest.map_or(seq, i64::unsigned_abs).min(seq),
        sent_at: waiting.sent_at,
        sender: Sender {
            account: own.account,
            device: own.device,
            devices: content::shorten(&own.devices.hash()),
        },
        card: needs_card(contact).then(|| card(tx, own, contact)).transpose()?,
        kind: waiting.kind,
        content: waiting.content.clone().into(),
    })
}

/// Whether they may not have our card yet. Our own devices have it all.
fn needs_card(contact: &Contact) -> bool {
    !contact.card_known && contact.phase != Phase::Own
}

/// What a contact needs to answer us.
fn card(tx: &Transaction<'_>, own: &Identity, contact: &Contact) -> Result<Blob> {
    let card = Card {
        record: own.record.clone(),
        devices: own.devices.clone(),
        handle: own.handle.clone(),
        token: contact.given_token(own),
        ephemeral: ephemeral::is_wanted(tx)?.then(|| contact.given_secret(own)),
        sends_receipts: settings::is_on(tx, settings::RECEIPTS)?,
    };
    Ok(codec::encode(&card)?.into())
}

/// Bytes of text that fit a request to `contact`, beside our card.
pub(crate) fn request_limit(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
) -> Result<usize> {
    let empty = Waiting {
        row: 0,
        id: MessageId([0; 16]),
        contact: contact.account,
        kind: kind::TEXT,
        content: codec::encode(&Text::default())?,
        sent_at: u64::MAX,
        deadline: 0,
        plaintext: None,
    };
    let without = compose(tx, own, contact, &empty)?.encode()?.len();
    // Lengths of text and content take a few bytes more when they are not zero, numbers too.
    let limit = MAX_REQUEST_PLAINTEXT.min(MAX_PLAINTEXT).checked_sub(without + 16);
    limit.ok_or_else(|| Error::Storage(StorageError::Value("card that fits a request")))
}
