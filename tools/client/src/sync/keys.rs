//! Getting what it takes to write to a contact: redeeming an invite, claiming prekeys, newer records.
//!
//! The home asks other nodes for us, which may take long or come to nothing. So the questions are all
//! asked at once, and each answer is taken when it comes.

use std::time::Duration;

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{
    Claimed, Done, Frame, PrekeysClaim, Records, RecordsGet, TokensRedeem,
};
use postroad_proto::ids::{AccountId, DeviceNumber, Millis, NodeId};
use postroad_proto::limits::MAX_FRAME;
use postroad_proto::network::Network;
use postroad_proto::prekey::ClaimedPrekey;
use postroad_proto::record::{AccountRecord, DeviceList, Handle};
use postroad_proto::signed::{Signable, Signed};
use postroad_proto::token::{DeliveryToken, InviteCode, Proof};
use rusqlite::{Transaction, params};
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::clock;
use crate::connection::retry_at;
use crate::contacts::{self, Contact, News, Phase, Verified};
use crate::db::{int, part};
use crate::devices;
use crate::e2e::store;
use crate::error::{ConnectionError, Error, Result};
use crate::events::{self, Event};
use crate::identity::Identity;
use crate::outbox;
use crate::resend;
use crate::vault::Vault;

/// Fallback keys are replaced every week and the one before is kept: a fetched prekey that was not
/// used for longer than this may no longer open anything.
const PREKEY_AGE: Duration = Duration::from_secs(3 * 86_400);
/// How long a command waits for the answer, and for that of a node that failed the last time. What
/// comes later is taken by whoever has the connection then.
const PATIENCE: Duration = Duration::from_millis(2500);
const LITTLE_PATIENCE: Duration = Duration::from_secs(1);
/// When to ask again for what did not hold.
const DISTRUSTED: Millis = 90_000;

/// Something that a node is asked about a contact.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// Whom it is about.
    pub(crate) contact: AccountId,
    /// Who knows.
    pub(crate) node: NodeId,
    /// How long a command waits for the answer.
    pub(crate) patience: Duration,
    pub(crate) wish: Wish,
}

/// What is wanted.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    /// The link's invite turned into this token, and the contact's records.
    Redeem { invite: InviteCode, token: DeliveryToken },
    /// A newer device list. Of our own account without a token.
    Records { token: Option<DeliveryToken> },
    /// Records and fallback keys of somebody who was found by handle.
    Stranger { handle: Handle },
    /// A prekey of each of these devices. Of our own account without a token.
    Claim { token: Option<DeliveryToken>, devices: Vec<DeviceNumber> },
}

impl Question {
    /// As it is asked.
    pub(crate) fn frame(&self, request: u64) -> Frame {
        let (node, account) = (self.node, self.contact);
        match &self.wish {
            Wish::Redeem { invite, token } => {
                let (invite, token) = (invite.clone(), token.hash());
                TokensRedeem { request, node, account, invite, token }.into()
            }
            Wish::Records { token } => {
                let proof = Proof { token: token.clone(), ..Proof::default() };
                RecordsGet { request, node, account: Some(account), handle: None, proof }.into()
            }
            Wish::Stranger { handle } => by_handle(request, node, handle),
            Wish::Claim { token, devices } => {
                let proof = Proof { token: token.clone(), ..Proof::default() };
                PrekeysClaim { request, node, account, devices: devices.clone(), proof }.into()
            }
        }
    }

    /// The token that it was asked with, which may not be the contact's any more.
    fn token(&self) -> Option<&DeliveryToken> {
        match &self.wish {
            Wish::Redeem { token, .. } => Some(token),
            Wish::Records { token } | Wish::Claim { token, .. } => token.as_ref(),
            Wish::Stranger { .. } => None,
        }
    }
}

fn by_handle(request: u64, node: NodeId, handle: &Handle) -> Frame {
    let proof = Proof { handle: Some(handle.clone()), ..Proof::default() };
    RecordsGet { request, node, account: None, handle: Some(handle.clone()), proof }.into()
}

impl Client {
    /// Asks for what is missing for the contacts that mail waits for, and redeems new links.
    pub(crate) async fn fetch_keys(&mut self) -> Result<()> {
        let vault = &self.vault;
        let now = clock::now();
        let questions = self.db.read(|tx| {
            let own = Identity::load(tx, vault)?;
            let mut questions = Vec::new();
            for contact in contacts::all(tx)?.into_iter().chain(devices::own_contact(tx)?) {
                if !contact.blocked && contact.next_try <= now {
                    questions.extend(question(tx, vault, &own, &contact)?);
                }
            }
            Ok(questions)
        })?;
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        for question in questions {
            if online.may_ask(&question.contact) {
                online.question(question).await?;
            }
        }
        Ok(())
    }

    /// Looks a handle up at its node.
    pub(crate) async fn look_up(&mut self, node: NodeId, handle: &Handle) -> Result<Records> {
        let Some(online) = self.online.as_mut() else { return Err(ConnectionError::Closed.into()) };
        let get = |request| by_handle(request, node, handle);
        let records = online.ask_others("to look up the handle", get).await?;
        let nothing = || ConnectionError::Protocol("a look-up without records".into());
        Ok(records.ok_or_else(nothing)?)
    }

    /// Notes of which contacts nothing was heard: their nodes are slow, or away.
    pub(super) fn note_overdue(&mut self) -> Result<()> {
        let Some(online) = self.online.as_mut() else { return Ok(()) };
        let overdue = online.overdue();
        if overdue.is_empty() {
            return Ok(());
        }
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            for (account, node) in &overdue {
                let Some(contact) = contacts::find(tx, account)? else { continue };
                let name = contacts::node_name(&own, Some(&contact), node);
                let text = format!("{name} has not answered yet");
                let code = ErrorCode::Unroutable;
                let next = retry_at(clock::now(), contact.tries, code, 0);
                contacts::note_failure(tx, account, code, &text, false, next)?;
            }
            Ok(())
        })
    }
}

/// What is to be asked about a contact, if anything.
fn question(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    contact: &Contact,
) -> Result<Option<Question>> {
    // Nothing that they could say settles it but a higher record, which comes with their mail.
    if contact.disputed {
        return Ok(None);
    }
    let wish = match (contact.phase, &contact.token, &contact.invite) {
        (Phase::Linked, Some(token), Some(invite)) if contact.error.is_none() => {
            Some(Wish::Redeem { invite: invite.clone(), token: token.clone() })
        }
        (Phase::Ready | Phase::Own, ..) if !contact.is_ready() => None,
        (Phase::Ready | Phase::Own, token, _)
            if contact.ask_records || contact.stale && waits(tx, contact)? =>
        {
            Some(Wish::Records { token: token.clone() })
        }
        (Phase::Ready | Phase::Own, token, _) => {
            let devices = without_keys(tx, vault, own, contact)?;
            (!devices.is_empty()).then(|| Wish::Claim { token: token.clone(), devices })
        }
        // Somebody who was found by handle some time ago may have other devices and keys now.
        (Phase::Stranger, ..) => {
            let is_due = contact.stale && waits(tx, contact)?
                || !without_keys(tx, vault, own, contact)?.is_empty();
            let handle = contact.handle.split('@').next().and_then(|handle| handle.parse().ok());
            handle.filter(|_| is_due).map(|handle| Wish::Stranger { handle })
        }
        _ => None,
    };
    let (account, node) = (contact.account, contact.home.node);
    let patience = if contact.tries == 0 { PATIENCE } else { LITTLE_PATIENCE };
    Ok(wish.map(|wish| Question { contact: account, node, patience, wish }))
}

/// Takes an answer.
pub(crate) fn answered(
    tx: &Transaction<'_>,
    own: &Identity,
    question: &Question,
    done: &Done,
    now: Millis,
) -> Result<()> {
    let Some(contact) = contacts::find(tx, &question.contact)? else { return Ok(()) };
    // A card came meanwhile, or another link: it is asked again with what that says.
    if question.token().is_some_and(|token| contact.token.as_ref() != Some(token)) {
        return Ok(());
    }
    if let Some(code) = done.code {
        return refused(tx, own, &contact, question, (code, done), now);
    }
    let taken = part(tx, || match &question.wish {
        Wish::Redeem { token, .. } => redeemed(tx, own, &contact, token, &result(done)?, now),
        Wish::Records { .. } => {
            take_records(tx, own, &contact, &result(done)?, now)?;
            contacts::asked_records(tx, &contact.account)?;
            contacts::forget_failure(tx, &contact.account)
        }
        Wish::Stranger { .. } => {
            let records: Records = result(done)?;
            let list = listed(tx, own, &contact, &records, now)?;
            keep_some(tx, own, &contact, question, (&list, &records.fallback), now)
        }
        Wish::Claim { .. } => claimed(tx, own, &contact, question, &result(done)?, now),
    })?;
    match taken {
        Ok(()) => Ok(()),
        Err(error) => distrust(tx, &contact.account, &error, now),
    }
}

fn result<T: DeserializeOwned>(done: &Done) -> Result<T> {
    let wrong = |why: &str| Error::untrusted("the answer of the contact's node", why);
    let bytes = done.result.as_ref().ok_or_else(|| wrong("it is empty"))?;
    codec::decode(bytes, MAX_FRAME).map_err(|error| wrong(&error.to_string()))
}

fn redeemed(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    token: &DeliveryToken,
    records: &Records,
    now: Millis,
) -> Result<()> {
    // A card may have come first.
    if contact.phase != Phase::Linked {
        return Ok(());
    }
    listed(tx, own, contact, records, now)?;
    contacts::store_token(tx, &contact.account, token)?;
    contacts::set_phase(tx, &contact.account, Phase::Ready)?;
    devices::note(tx, devices::Due::Person, contact.account.0, now)?;
    events::record(tx, now, &Event::Contact { account: contact.account })
}

/// Stores a contact's records; their device list.
fn listed(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    records: &Records,
    now: Millis,
) -> Result<DeviceList> {
    if take_records(tx, own, contact, records, now)? == News::Older {
        let why = "they are older than what is known already";
        return Err(Error::untrusted("a contact's records", why));
    }
    Ok(records.devices.open(&own.network)?)
}

/// Stores records of a contact, or of our own account, unless newer ones are known.
fn take_records(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    records: &Records,
    now: Millis,
) -> Result<News> {
    let (record, list, handle) = (&records.record, &records.devices, records.handle.as_ref());
    if contact.phase == Phase::Own {
        return devices::take_records(tx, own, record, list, now);
    }
    let verified = Verified::check(&contact.account, &own.network, record, list, handle)?;
    contacts::store_records(tx, own, contact, &verified, now)
}

fn claimed(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    question: &Question,
    claimed: &Claimed,
    now: Millis,
) -> Result<()> {
    let Some(list) = contact.device_list()? else { return Ok(()) };
    keep_some(tx, own, contact, question, (&list, &claimed.prekeys), now)
}

/// Stores prekeys. An answer without any is a failure, or it would be asked again at once.
fn keep_some(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    question: &Question,
    (list, prekeys): (&DeviceList, &[ClaimedPrekey]),
    now: Millis,
) -> Result<()> {
    if keep(tx, &own.network, &contact.account, list, prekeys, now)? > 0 {
        return Ok(());
    }
    let name = contacts::node_name(own, Some(contact), &question.node);
    let text = format!("the contact's devices have no keys left at {name}");
    let next = retry_at(now, contact.tries, ErrorCode::Busy, 0);
    contacts::note_failure(tx, &contact.account, ErrorCode::Busy, &text, false, next)
}

/// Notes that a contact could not be reached: for good, or until the next try.
fn refused(
    tx: &Transaction<'_>,
    own: &Identity,
    contact: &Contact,
    question: &Question,
    (code, done): (ErrorCode, &Done),
    now: Millis,
) -> Result<()> {
    let account = &contact.account;
    let mut settled = !code.retriable();
    if code == ErrorCode::Moved {
        let limit = AccountRecord::LIMIT + 128;
        let record: Option<Signed<AccountRecord>> =
            done.result.as_ref().and_then(|bytes| codec::decode(bytes, limit).ok());
        if let Some(record) = record {
            match part(tx, || contacts::store_moved(tx, own, contact, &record, now))? {
                // The new home is asked at once.
                Ok(News::Newer) => return Ok(()),
                Ok(News::Held | News::Older) => settled = false,
                Err(error) => return distrust(tx, account, &error, now),
            }
        }
    }
    let name = contacts::node_name(own, Some(contact), &question.node);
    // What the home says of another node names it. What that says of itself need not.
    let names_it = question.node == own.home.node
        || done.detail.contains(&name)
        || done.detail.contains(&question.node.to_string());
    let detail = if names_it { done.detail.clone() } else { format!("{name}: {}", done.detail) };
    let next = retry_at(now, contact.tries, code, done.retry_after);
    contacts::note_failure(tx, account, code, &detail, settled, next)
}

/// A node gave us records that do not hold: tried again later, and shown.
fn distrust(tx: &Transaction<'_>, account: &AccountId, error: &Error, now: Millis) -> Result<()> {
    events::problem(tx, now, "bad_record", &error.to_string())?;
    let (code, next) = (ErrorCode::BadSignature, now + DISTRUSTED);
    contacts::note_failure(tx, account, code, &error.to_string(), false, next)
}

/// Whether mail waits for a contact's keys.
fn waits(tx: &Transaction<'_>, contact: &Contact) -> Result<bool> {
    outbox::reach::awaits_keys(tx, &contact.account)
}

/// Devices of a contact that mail waits for and that cannot be sealed to yet.
fn without_keys(
    tx: &Transaction<'_>,
    vault: &Vault,
    own: &Identity,
    contact: &Contact,
) -> Result<Vec<DeviceNumber>> {
    if !waits(tx, contact)? {
        return Ok(Vec::new());
    }
    let oldest = clock::now().saturating_sub(PREKEY_AGE.as_millis() as Millis);
    let mut missing = Vec::new();
    for device in outbox::reach::recipients(own, contact)? {
        let address = (contact.account, device.number);
        let has_prekey = tx
            .prepare_cached("SELECT 1 FROM prekey WHERE account = ?1 AND device = ?2 AND at > ?3")?
            .exists(params![contact.account.0, device.number, int(oldest)])?;
        let is_wanted = store::load_sessions(tx, vault, address)?.is_empty()
            || resend::is_to_renew(tx, &contact.account, device.number)?;
        if !has_prekey && is_wanted {
            missing.push(device.number);
        }
    }
    Ok(missing)
}

/// Stores prekeys whose signature is that of the device they claim to be of. How many were.
pub(crate) fn keep(
    tx: &Transaction<'_>,
    network: &Network,
    account: &AccountId,
    list: &DeviceList,
    claimed: &[ClaimedPrekey],
    now: Millis,
) -> Result<usize> {
    let mut kept = 0;
    // One of each device is all that is of use.
    for ClaimedPrekey { device, prekey } in claimed.iter().take(list.devices.len()) {
        let Some(listed) = list.device(*device) else { continue };
        if let Err(error) = prekey.verify(*account, *device, &listed.olm_signing, network) {
            let text = format!("a prekey of {account}/{device} does not hold: {error}");
            events::problem(tx, now, "bad_prekey", &text)?;
            continue;
        }
        tx.prepare_cached("INSERT OR REPLACE INTO prekey VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![account.0, device, prekey.key.0, int(now)])?;
        kept += 1;
    }
    if kept > 0 {
        contacts::forget_failure(tx, account)?;
    }
    Ok(kept)
}
