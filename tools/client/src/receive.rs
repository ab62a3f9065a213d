//! Taking mail that the home pushed: everything that it changes is in one transaction with it, and
//! only after that it is acked. Nothing that comes in can wedge what comes behind it: what does not
//! open is noted and passed over.

use postroad_proto::codec;
use postroad_proto::content::{self, Message, ReceiptContent, kind};
use postroad_proto::envelope::Class;
use postroad_proto::frame::{Push, settle};
use postroad_proto::ids::{AccountId, Hash, Millis};
use postroad_proto::limits::{CLOCK_ALLOWANCE_SECONDS, MAX_BODY, MAX_FRAME};
use postroad_proto::link::NodeLink;
use postroad_proto::pair::HeaderContent;
use rusqlite::{Transaction, params};

use crate::amend;
use crate::contacts::{self, Contact, NewContact, News, Phase, Verified, tokens};
use crate::conversations::{self, Place};
use crate::db::{blob, int, unsigned};
use crate::deletion;
use crate::devices::{self, entries};
use crate::e2e::{self, DeviceAddress, Incoming, Introduced, OpenError, Opened, store};
use crate::ephemeral;
use crate::error::Result;
use crate::events::{self, Event};
use crate::identity::{Identity, full_handle};
use crate::linking;
use crate::messages::{self, NewMessage};
use crate::outbox::DEADLINE;
use crate::receipts;
use crate::requests;
use crate::resend;
use crate::state::State;
use crate::vault::Vault;

/// What is kept from unknown devices of one account, and for how long.
const MAX_LATER: i64 = 256;
const LATER: Millis = 7 * 86_400_000;
/// Ids of what was received are kept this long after its deadline, seconds: P2.
const REMEMBERED: u64 = 7 * 86_400;

/// Takes one mailbox item.
pub(crate) fn push(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    push: &Push,
    now: Millis,
) -> Result<()> {
    let Some(header) = push.header.as_deref() else {
        return unopened(tx, now, "it has no header for this device");
    };
    let until = remember_until(push.attributes.deadline, now);
    let hash = Hash::of(header);
    let incoming = Incoming {
        attributes: push.attributes,
        body_hash: push.body_hash,
        header,
        body: &push.body,
    };
    let content = match e2e::header(&incoming, own.seal(), own.address()) {
        Ok(content) => content,
        Err(error) => return unopened(tx, now, &error.to_string()),
    };
    let contact = contacts::find(tx, &content.sender)?;
    if contact.as_ref().is_some_and(|contact| contact.blocked) {
        return Ok(());
    }
    if was_seen(tx, &hash)? {
        // Whoever offers it again has no receipt for it.
        return match contact {
            Some(contact) => receipts::owe(tx, (contact.account, content.device)),
            None => Ok(()),
        };
    }
    let opened = match open(tx, vault, own, &incoming, &content, contact.as_ref(), now)? {
        Ok(opened) => opened,
        Err(error) => {
            let sender = (content.sender, content.device);
            if error == OpenError::Session && contact.is_some() {
                resend::note_broken(tx, sender, now)?;
            }
            let is_new = contact.as_ref().is_none_or(|contact| contact.may_have(sender.1));
            let is_held = error == OpenError::UnknownDevice && is_new;
            if is_held && hold(tx, sender, push, now)? {
                return contacts::ask_records(tx, &sender.0);
            }
            return unopened(tx, now, &error.to_string());
        }
    };
    tx.prepare_cached("INSERT INTO seen_header VALUES (?1, ?2)")?
        .execute(params![hash.0, int(until)])?;
    let mail = Mail { push, sender: (content.sender, content.device), opened: &opened, until };
    keep(tx, vault, own, &mail, contact, now)
}

/// Keeps what came from a device that is not known yet. False when too much is kept already.
fn hold(tx: &Transaction<'_>, from: DeviceAddress, push: &Push, now: Millis) -> Result<bool> {
    let held: i64 = tx
        .prepare_cached("SELECT count(*) FROM later WHERE account = ?1")?
        .query_row([from.0.0], |row| row.get(0))?;
    if held >= MAX_LATER {
        return Ok(false);
    }
    tx.prepare_cached("INSERT INTO later (account, device, push, at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![from.0.0, from.1, codec::encode(push)?, int(now)])?;
    Ok(true)
}

/// Takes what was kept of devices that are known by now, and gives up on what nobody knows.
pub(crate) fn retry_later(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    now: Millis,
) -> Result<()> {
    let mut query = tx.prepare_cached("SELECT id, account, device, at FROM later ORDER BY id")?;
    let held = query
        .query_map([], |row| {
            let from = (AccountId(blob(row, "account")?), row.get("device")?);
            Ok((row.get("id")?, from, unsigned(row, "at")?))
        })?
        .collect::<rusqlite::Result<Vec<(i64, DeviceAddress, Millis)>>>()?;
    for (id, (account, device), at) in held {
        let list =
            contacts::find(tx, &account)?.map(|contact| contact.device_list()).transpose()?;
        let is_known = list.flatten().is_some_and(|list| list.device(device).is_some());
        if !is_known && now < at + LATER {
            continue;
        }
        let taken: Vec<u8> = tx
            .prepare_cached("DELETE FROM later WHERE id = ?1 RETURNING push")?
            .query_row([id], |row| row.get(0))?;
        if is_known {
            let mail: Push = codec::decode(&taken, MAX_FRAME)?;
            push(tx, vault, own, &mail, now)?;
        } else {
            unopened(tx, now, &OpenError::UnknownDevice.to_string())?;
        }
    }
    Ok(())
}

/// A mailbox item that opened.
struct Mail<'a> {
    push: &'a Push,
    sender: DeviceAddress,
    opened: &'a Opened,
    until: u64,
}

fn unopened(tx: &Transaction<'_>, now: Millis, why: &str) -> Result<()> {
    let text = format!("something came in that could not be opened: {why}");
    events::problem(tx, now, "unopened", &text)
}

/// Seconds. What others write as a deadline is not believed beyond what nodes take.
fn remember_until(deadline: u64, now: Millis) -> u64 {
    deadline.min(now / 1000 + DEADLINE + CLOCK_ALLOWANCE_SECONDS) + REMEMBERED
}

fn was_seen(tx: &Transaction<'_>, header: &Hash) -> Result<bool> {
    let mut query = tx.prepare_cached("SELECT 1 FROM seen_header WHERE hash = ?1")?;
    Ok(query.exists([header.0])?)
}

/// Forgets what is long past its deadline.
pub(crate) fn forget_seen(tx: &Transaction<'_>, now: Millis) -> Result<()> {
    let seconds = int(now / 1000);
    tx.execute("DELETE FROM seen_header WHERE until < ?1", [seconds])?;
    tx.execute("DELETE FROM seen_message WHERE until < ?1", [seconds])?;
    Ok(())
}

/// Opens it and stores the ratchets' new state.
fn open(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    incoming: &Incoming<'_>,
    header: &HeaderContent,
    contact: Option<&Contact>,
    now: Millis,
) -> Result<Result<Opened, OpenError>> {
    let known = match contact {
        Some(contact) => contact.device_list()?,
        None => None,
    };
    let sender = (header.sender, header.device);
    let mut sessions = store::load_sessions(tx, vault, sender)?;
    let device = e2e::may_start_session(header).then(|| store::load_own(tx, vault)).transpose()?;
    let opened = e2e::open(
        incoming,
        header,
        (device.as_ref(), own.address()),
        known.as_ref(),
        &mut sessions,
        &own.network,
        now,
    );
    if let Ok(opened) = &opened {
        store::save_sessions(tx, vault, sender, &sessions)?;
        if let Some(device) = &opened.own {
            store::save_own(tx, vault, device)?;
        }
    }
    Ok(opened)
}

fn keep(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    mail: &Mail<'_>,
    contact: Option<Contact>,
    now: Millis,
) -> Result<()> {
    let message = &mail.opened.message;
    let Some(contact) = acquaint(tx, vault, own, mail, contact, now)? else {
        return unopened(tx, now, "the sender is unknown and sent no card");
    };
    if message.kind != kind::RECEIPT {
        receipts::owe(tx, mail.sender)?;
    }
    let new = tx
        .prepare_cached("INSERT OR IGNORE INTO seen_message VALUES (?1, ?2, ?3)")?
        .execute(params![mail.sender.0.0, message.id.0, int(mail.until)])?;
    if new == 0 {
        return Ok(());
    }
    note_list(tx, mail, &contact)?;
    take_place(tx, mail, &contact, now)?;
    resend::note_gap(tx, &contact, (mail.sender, message.seq), now)?;
    match message.kind {
        kind::RECEIPT => {
            let content: Result<ReceiptContent, _> = codec::decode(&message.content, MAX_BODY);
            let Ok(content) = content else {
                return unopened(tx, now, "a receipt that cannot be read");
            };
            let times = (message.sent_at, now);
            receipts::apply(tx, own, &contact, mail.sender, message.id, &content, times)
        }
        kind::RESEND => {
            let asked = (mail.sender.1, message.content.as_ref());
            resend::answer(tx, vault, own, &contact, asked, now)
        }
        kind::ABSENT => {
            let said = (message.content.as_ref(), message.seq);
            resend::absent(tx, &contact, mail.sender, said, now)
        }
        kind::SYNC if contact.phase == Phase::Own => {
            linking::has_written(tx, mail.sender.1)?;
            devices::told(tx, vault, own, &message.content, now)
        }
        kind::EDIT | kind::DELETE | kind::REACTION => change(tx, mail, &contact, now),
        kind::FAREWELL if !deletion::is_of(own, &mail.sender.0, &message.content) => {
            unopened(tx, now, "a farewell that does not hold")
        }
        hidden if messages::is_hidden(hidden) => Ok(()),
        kind::TIMER => {
            let said = (message.sent_at, message.id);
            amend::set_timer(tx, &contact, &message.content, said, now)?;
            show(tx, mail, &contact, now)
        }
        _ => show(tx, mail, &contact, now),
    }
}

/// What changes another message is kept beside it. One that cannot be read is of no use.
fn change(tx: &Transaction<'_>, mail: &Mail<'_>, contact: &Contact, now: Millis) -> Result<()> {
    let message = &mail.opened.message;
    if amend::target_of(message.kind, &message.content, &mail.sender.0).is_none() {
        return unopened(tx, now, "a change of a message that cannot be read");
    }
    match store(tx, mail, contact, now)? {
        Some(row) => amend::arrived(tx, row, now),
        None => Ok(()),
    }
}

/// Whoever goes by another list of its own devices than we do has changed it, or is behind.
fn note_list(tx: &Transaction<'_>, mail: &Mail<'_>, contact: &Contact) -> Result<()> {
    let held = contact.devices.as_ref().map(|devices| content::shorten(&devices.hash()));
    match held == Some(mail.opened.message.sender.devices) {
        true => Ok(()),
        false => contacts::ask_records(tx, &contact.account),
    }
}

fn take_place(tx: &Transaction<'_>, mail: &Mail<'_>, contact: &Contact, now: Millis) -> Result<()> {
    let Opened { message, plaintext, .. } = mail.opened;
    let place = conversations::received(tx, &contact.chat, mail.sender, message, plaintext)?;
    let what = match place {
        Place::Fits => return Ok(()),
        Place::Taken => "used a number twice",
        Place::Broken => "does not follow the one before it",
    };
    let text =
        format!("a message of {:?} {what}: their device may have been restored", contact.name);
    events::problem(tx, now, "broken_chain", &text)
}

fn show(tx: &Transaction<'_>, mail: &Mail<'_>, contact: &Contact, now: Millis) -> Result<()> {
    let Some(row) = store(tx, mail, contact, now)? else { return Ok(()) };
    amend::arrived(tx, row, now)?;
    ephemeral::wrote(tx, mail.sender)?;
    if contact.phase != Phase::Asking {
        events::record(tx, now, &Event::Message { row })?;
    }
    Ok(())
}

/// Stores a message, unless it is there; its row.
fn store(
    tx: &Transaction<'_>,
    mail: &Mail<'_>,
    contact: &Contact,
    now: Millis,
) -> Result<Option<i64>> {
    let message: &Message = &mail.opened.message;
    // Ids are remembered for a time, messages as long as the user keeps them.
    if messages::exists(tx, &mail.sender.0, &message.id)? {
        return Ok(None);
    }
    let row = messages::insert(
        tx,
        &NewMessage {
            id: message.id,
            chat: contact.chat,
            outgoing: false,
            sender: mail.sender,
            seq: Some(message.seq),
            kind: message.kind,
            content: &message.content,
            sent_at: message.sent_at,
            received_at: Some(now),
            deadline: mail.push.attributes.deadline,
            state: State::Delivered,
        },
    )?;
    if entries::is_seen(tx, mail.sender, message.seq)? {
        messages::show(tx, row, now)?;
    }
    Ok(Some(row))
}

/// Gets to know the sender from what came along. `None` when nothing says who that is.
fn acquaint(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    mail: &Mail<'_>,
    contact: Option<Contact>,
    now: Millis,
) -> Result<Option<Contact>> {
    if let Some(contact) = contact.as_ref().filter(|contact| contact.phase == Phase::Own) {
        return Ok(Some(contact.clone()));
    }
    let is_request = mail.push.attributes.class == Class::Request.number();
    let contact = match (contact, &mail.opened.introduced) {
        (Some(contact), Some(card)) => {
            take_card(tx, own, &contact, mail, card, now)?;
            if contacts::get(tx, &contact.account)?.phase != contact.phase {
                events::record(tx, now, &Event::Contact { account: contact.account })?;
            }
            contact
        }
        (Some(contact), None) => contact,
        (None, Some(card)) => meet(tx, own, mail, card, is_request, now)?,
        (None, None) => return Ok(None),
    };
    if let Some(label) = mail.push.label {
        tokens::used(tx, own, &contact, label.into_array(), now)?;
    }
    let contact = contacts::get(tx, &contact.account)?;
    let request = mail.push.origin.zip(mail.push.tag);
    if let (true, Some((origin, tag))) = (is_request, request) {
        if contact.phase == Phase::Asking {
            requests::note(tx, &contact.account, origin, tag.into_array())?;
        } else {
            // We added them ourselves: that answers their question.
            requests::settle(tx, origin, tag.into_array(), settle::ACCEPTED)?;
            requests::introduce(tx, vault, own, &contact, now)?;
        }
    }
    contacts::find(tx, &contact.account)
}

/// A sender whom we did not know: a contact at once when they hold a token of ours, else a request.
fn meet(
    tx: &Transaction<'_>,
    own: &Identity,
    mail: &Mail<'_>,
    card: &Introduced,
    is_request: bool,
    now: Millis,
) -> Result<Contact> {
    // A token that our card gave to somebody else was passed on or stolen: it is no invitation.
    let label = mail.push.label.map(|label| label.into_array());
    let passed_on = match label {
        Some(label) => tokens::holder_of(tx, own, &label)?.is_some(),
        None => true,
    };
    let asks = is_request || passed_on;
    let handle = card.handle.as_ref().map(full_handle).unwrap_or_default();
    let home = NodeLink {
        network: own.network.clone(),
        node: card.record.home,
        addresses: Vec::new(),
        name: card.handle.as_ref().map(|handle| handle.node_name.clone()).unwrap_or_default(),
        p2p: Vec::new(),
    };
    let contact = contacts::insert(
        tx,
        own,
        &NewContact {
            account: mail.sender.0,
            name: &contacts::free_name(tx, &handle, &mail.sender.0)?,
            phase: if asks { Phase::Asking } else { Phase::Ready },
            verified: false,
            home: &home,
            handle: &handle,
        },
        now,
    )?;
    take_card(tx, own, &contact, mail, card, now)?;
    if asks {
        events::record(tx, now, &Event::Request { account: contact.account })?;
    }
    contacts::get(tx, &contact.account)
}

/// Keeps a contact's card, and with it the way to write to them.
fn take_card(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    mail: &Mail<'_>,
    introduced: &Introduced,
    now: Millis,
) -> Result<()> {
    let card = &introduced.card;
    let handle = introduced.handle.as_ref().and(card.handle.as_ref());
    let verified =
        Verified::check(&contact.account, &own.network, &card.record, &card.devices, handle)?;
    if contacts::store_records(tx, own, contact, &verified, now)? == News::Older {
        return Ok(());
    }
    contacts::store_card(tx, &contact.account, card, (mail.sender.1, mail.opened.message.seq))?;
    if matches!(contact.phase, Phase::Linked | Phase::Stranger | Phase::Requested) {
        contacts::set_phase(tx, &contact.account, Phase::Ready)?;
    }
    Ok(())
}
