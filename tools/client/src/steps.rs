//! The steps of a message's way and the evidence for each, which `why` checks again.

use postroad_proto::codec;
use postroad_proto::content::{Queued, ReceiptContent, receipt};
use postroad_proto::ids::{AccountId, DeviceNumber, MessageId, Millis, NodeId, ParcelId};
use postroad_proto::network::Network;
use postroad_proto::receipt::{Receipt, ReceiptKind};
use postroad_proto::record::DeviceList;
use postroad_proto::signed::{self, Purpose};
use rusqlite::{OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::contacts::{self, Contact, Custodian};
use crate::db::{blob, int, unsigned};
use crate::e2e::{DeviceAddress, OwnDevice};
use crate::error::{Result, StorageError};
use crate::identity::Identity;
use crate::messages;
use crate::state::State;

/// Bytes of evidence at most: a receipt with the deepest path.
const MAX_EVIDENCE: usize = 64 * 1024;

/// Who vouches for a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// A node.
    Node(NodeId),
    /// A device of an account.
    Device(AccountId, DeviceNumber),
}

impl core::fmt::Display for Signer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Node(node) => write!(f, "{node}"),
            Self::Device(account, number) => write!(f, "{account}/{number}"),
        }
    }
}

/// A step that was taken.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) state: State,
    pub(crate) signer: Signer,
    pub(crate) at: Millis,
    pub(crate) evidence: Vec<u8>,
}

/// A step, checked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedStep {
    /// Where it led.
    pub state: State,
    /// Who vouches for it.
    pub by: Signer,
    /// When, by the clock of whoever vouches.
    pub at: Millis,
    /// Whether the evidence holds, and whoever vouches has a say in it.
    pub verified: bool,
    /// What to call whoever vouches.
    pub name: String,
}

/// A signed [`Queued`].
#[derive(Serialize, Deserialize)]
struct QueuedEvidence {
    #[serde(with = "serde_bytes")]
    payload: Vec<u8>,
    #[serde(with = "serde_bytes")]
    signature: [u8; 64],
}

/// The end-to-end receipt that named the message.
#[derive(Serialize, Deserialize)]
struct ReceiptEvidence {
    receipt: MessageId,
    content: ReceiptContent,
}

/// This device has the message.
pub(crate) fn queued(
    own: &OwnDevice,
    address: DeviceAddress,
    network: &Network,
    message: MessageId,
    now: Millis,
) -> Result<Step> {
    let statement = Queued { message, account: address.0, device: address.1, at: now };
    let payload = codec::encode(&statement)?;
    let signature = own.sign(Purpose::Queued, network, &payload);
    let evidence = codec::encode(&QueuedEvidence { payload, signature })?;
    Ok(Step {
        state: State::Queued,
        signer: Signer::Device(address.0, address.1),
        at: now,
        evidence,
    })
}

/// The evidence that the sending device had a message, as it is handed to other devices.
pub(crate) fn queued_evidence(tx: &Transaction<'_>, row: i64) -> Result<Option<Vec<u8>>> {
    let mut query =
        tx.prepare_cached("SELECT evidence FROM step WHERE message = ?1 AND state = ?2")?;
    let key = params![row, State::Queued.number()];
    Ok(query.query_row(key, |row| row.get(0)).optional()?)
}

/// Another device of ours had the message, as its evidence says.
pub(crate) fn queued_elsewhere(by: DeviceAddress, sent_at: Millis, evidence: &[u8]) -> Step {
    let claim = codec::decode::<QueuedEvidence>(evidence, MAX_EVIDENCE);
    let queued = claim.and_then(|claim| codec::decode::<Queued>(&claim.payload, MAX_EVIDENCE));
    let at = queued.map_or(sent_at, |queued| queued.at);
    let signer = Signer::Device(by.0, by.1);
    Step { state: State::Queued, signer, at, evidence: evidence.to_vec() }
}

/// A node's receipt, which the caller has verified.
pub(crate) fn custody(state: State, node: NodeId, at: Millis, receipt: &Receipt) -> Result<Step> {
    Ok(Step { state, signer: Signer::Node(node), at, evidence: codec::encode(receipt)? })
}

/// The recipient's device said so.
pub(crate) fn end_to_end(
    state: State,
    by: DeviceAddress,
    receipt: MessageId,
    content: &ReceiptContent,
    at: Millis,
) -> Result<Step> {
    let evidence = codec::encode(&ReceiptEvidence { receipt, content: content.clone() })?;
    Ok(Step { state, signer: Signer::Device(by.0, by.1), at, evidence })
}

/// A node's refusal, which nobody signed, or this device's own word at the deadline.
pub(crate) fn plain(state: State, signer: Signer, at: Millis) -> Step {
    Step { state, signer, at, evidence: Vec::new() }
}

/// Stores a step, unless the message has one like it.
pub(crate) fn save(tx: &Transaction<'_>, row: i64, step: &Step) -> Result<()> {
    let (signer, device) = match &step.signer {
        Signer::Node(node) => (node.0, None),
        Signer::Device(account, device) => (account.0, Some(*device)),
    };
    tx.prepare_cached("INSERT OR IGNORE INTO step VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![row, step.state.number(), signer, device, int(step.at), step.evidence])?;
    Ok(())
}

/// All steps of a message, in order.
pub(crate) fn of(tx: &Transaction<'_>, row: i64) -> Result<Vec<Step>> {
    let mut query =
        tx.prepare_cached("SELECT * FROM step WHERE message = ?1 ORDER BY state, at")?;
    let rows = query.query_map([row], |row| {
        let device: Option<DeviceNumber> = row.get("device")?;
        let signer: [u8; 32] = blob(row, "signer")?;
        let signer = match device {
            Some(device) => Signer::Device(AccountId(signer), device),
            None => Signer::Node(NodeId(signer)),
        };
        let state: i64 = row.get("state")?;
        Ok((state, signer, unsigned(row, "at")?, row.get("evidence")?))
    })?;
    let mut steps = Vec::new();
    for row in rows {
        let (state, signer, at, evidence) = row?;
        let state = State::from_number(state).ok_or(StorageError::Value("state"))?;
        steps.push(Step { state, signer, at, evidence });
    }
    Ok(steps)
}

/// What a message of ours is checked against.
struct Subject<'a> {
    own: &'a Identity,
    contact: Contact,
    id: MessageId,
    device: DeviceNumber,
    seq: Option<u64>,
    deadline: u64,
    /// As nodes know it or knew it.
    parcels: Vec<ParcelId>,
}

/// All steps of a message, each checked again from its evidence.
pub(crate) fn check(
    tx: &Transaction<'_>,
    own: &Identity,
    row: i64,
    contact: &AccountId,
) -> Result<Vec<CheckedStep>> {
    let found = tx
        .prepare_cached("SELECT id, device, seq, deadline FROM message WHERE row = ?1")?
        .query_row([row], |row| {
            let seq: Option<i64> = row.get("seq")?;
            let id = MessageId(blob(row, "id")?);
            Ok((id, row.get("device")?, seq, unsigned(row, "deadline")?))
        })
        .optional()?;
    let Some((id, device, seq, deadline)) = found else { return Ok(Vec::new()) };
    let subject = Subject {
        own,
        contact: contacts::get(tx, contact)?,
        id,
        device,
        seq: seq.map(i64::unsigned_abs),
        deadline,
        parcels: messages::parcels(tx, row)?,
    };
    let steps = of(tx, row)?.into_iter();
    let checked = steps.map(|step| {
        Ok(CheckedStep {
            state: step.state,
            by: step.signer,
            at: step.at,
            verified: holds(&subject, &step).unwrap_or(false) && has_say(tx, &subject, &step)?,
            name: name(&subject, &step.signer),
        })
    });
    checked.collect()
}

/// What to call somebody who vouches.
fn name(subject: &Subject<'_>, signer: &Signer) -> String {
    match signer {
        Signer::Node(node) => contacts::node_name(subject.own, Some(&subject.contact), node),
        Signer::Device(account, device) if *account == subject.own.account => {
            format!("your device {device}")
        }
        Signer::Device(_, device) => format!("{}, device {device}", subject.contact.name),
    }
}

/// Whether a node may say that it took custody. What it says, [`holds`] has checked.
fn has_say(tx: &Transaction<'_>, subject: &Subject<'_>, step: &Step) -> Result<bool> {
    let Signer::Node(node) = step.signer else { return Ok(true) };
    let is_home = node == subject.own.home.node;
    let theirs = || subject.contact.custodian(tx, &subject.own.network, &node);
    Ok(match step.state {
        State::Accepted => is_home,
        State::AtNode => theirs()? != Custodian::Never,
        _ => is_home || theirs()? != Custodian::Never,
    })
}

/// Whether a step's evidence shows what the step says. `None` when it cannot even be read.
fn holds(subject: &Subject<'_>, step: &Step) -> Option<bool> {
    let own = subject.own;
    match (step.state, step.signer) {
        (State::Queued, Signer::Device(account, device)) => {
            let list = own.devices.open(&own.network).ok()?;
            let claim: QueuedEvidence = codec::decode(&step.evidence, MAX_EVIDENCE).ok()?;
            let queued: Queued = codec::decode(&claim.payload, MAX_EVIDENCE).ok()?;
            let key = signing_key(&list, device)?;
            let signed = signed::verify(
                &key,
                Purpose::Queued,
                &own.network,
                &claim.payload,
                &claim.signature,
            );
            let same = queued.message == subject.id
                && (queued.account, queued.device, queued.at) == (account, device, step.at)
                && account == own.account;
            Some(same && signed.is_ok())
        }
        (State::Accepted | State::AtNode | State::Expired, Signer::Node(node)) => {
            let receipt: Receipt = codec::decode(&step.evidence, MAX_EVIDENCE).ok()?;
            let root = receipt.verify(&own.network).ok()?;
            let kind = ReceiptKind::from_number(receipt.item.kind)?;
            let fits = match step.state {
                // What the recipient's own node took, our home took as well if it is the same.
                State::Accepted => kind != ReceiptKind::Expired,
                State::AtNode => kind == ReceiptKind::AtNode,
                _ => kind == ReceiptKind::Expired,
            };
            let same = root.node == node && root.at == step.at;
            Some(fits && same && subject.parcels.contains(&receipt.item.parcel))
        }
        (State::Delivered | State::Read, Signer::Device(account, device)) => {
            let evidence: ReceiptEvidence = codec::decode(&step.evidence, MAX_EVIDENCE).ok()?;
            let wanted = if step.state == State::Read { receipt::READ } else { receipt::DELIVERED };
            let seq = subject.seq?;
            let named = evidence.content.ranges.iter().any(|(a, b)| (*a..=*b).contains(&seq));
            let list = subject.contact.device_list().ok()??;
            let theirs = account == subject.contact.account && list.device(device).is_some();
            let ours = evidence.content.device == subject.device;
            Some(theirs && ours && named && evidence.content.how >= wanted)
        }
        // This device's own word: the deadline can be compared again.
        (State::Expired, Signer::Device(account, _)) => {
            Some(account == own.account && step.at / 1000 >= subject.deadline)
        }
        _ => Some(false),
    }
}

fn signing_key(list: &DeviceList, device: DeviceNumber) -> Option<[u8; 32]> {
    list.device(device).map(|device| device.olm_signing.0)
}
