//! Stories of two profiles, with the test in the part of their home.

mod changes;
mod delivery;
mod ephemeral;
mod gaps;
mod handles;
mod home;
mod hostile;
mod lost;
mod moving;
mod own_devices;
mod pages;
mod receiving;
mod roads;
mod search;
mod tokens;
mod vaults;

use postroad_proto::codec;
use postroad_proto::content::{Text, kind};
use postroad_proto::envelope::Envelope;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::Push;
use postroad_proto::ids::{AccountId, MessageId, NodeId};
use postroad_proto::link::JoinLink;
use postroad_proto::prekey::ClaimedPrekey;
use postroad_proto::receipt::{Receipt, ReceiptItem, ReceiptKind, ReceiptRoot, role};
use postroad_proto::signed::Signed;
use postroad_proto::token::{DeliveryToken, redeemed_label};
use postroad_proto::{SigningKey, merkle};
use rusqlite::Transaction;
use serde::Serialize;
use serde_bytes::ByteArray;

use crate::clock;
use crate::contacts::{self, Contact, NewContact, Phase, Verified};
use crate::db::Db;
use crate::devices;
use crate::e2e::store;
use crate::error::Result;
use crate::identity::Identity;
use crate::messages::{self, Message, Query};
use crate::outbox::{self, Offer, Refusal};
use crate::receipts;
use crate::receive;
use crate::resend;
use crate::state::State;
use crate::steps::{self, CheckedStep};
use crate::sync::keep_prekeys;
use crate::testing;
use crate::vault::Vault;

const NOW: u64 = 1_800_000_000_000;
/// The token that a redeemed link stands for.
const REDEEMED: DeliveryToken = DeliveryToken([0x77; 16]);

struct Person {
    db: Db,
    vault: Vault,
    account: AccountId,
    pushed: u64,
}

impl Person {
    fn new() -> Self {
        Self::at(&testing::join_link())
    }

    /// At the node that `link` names.
    fn at(link: &JoinLink) -> Self {
        let (mut db, vault) = testing::database();
        let account = db
            .write(|tx| {
                let own = Identity::create(tx, &vault, link, None, NOW)?;
                tx.execute("UPDATE identity SET registered = 1", [])?;
                Ok(own.account)
            })
            .unwrap();
        Self { db, vault, account, pushed: 0 }
    }

    fn own(&mut self) -> Identity {
        let vault = &self.vault;
        self.db.read(|tx| Identity::load(tx, vault)).unwrap()
    }

    /// As if `other`'s link had been added, redeemed, and a prekey claimed.
    fn befriend(&mut self, other: &mut Self, name: &str) {
        let their = other.own();
        let prekey = other.prekey();
        let vault = &self.vault;
        self.db
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                meet(tx, &own, &their, prekey, name)?;
                Ok(())
            })
            .unwrap();
        self.tokens_registered();
    }

    fn prekey(&mut self) -> ClaimedPrekey {
        let vault = &self.vault;
        self.db
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                let mut device = store::load_own(tx, vault)?;
                let prekey = device.one_time_keys(1, own.address(), &own.network)?.remove(0);
                device.published();
                store::save_own(tx, vault, &device)?;
                Ok(ClaimedPrekey { device: own.device, prekey })
            })
            .unwrap()
    }

    fn tokens_registered(&mut self) {
        self.execute("UPDATE contact SET token_registered = 1");
    }

    fn execute(&mut self, sql: &str) {
        self.db.write(|tx| Ok(tx.execute(sql, [])?)).unwrap();
    }

    /// Stores a text for somebody.
    fn writes(&mut self, to: &str, text: &str) -> Result<(i64, MessageId)> {
        let vault = &self.vault;
        self.db.write(|tx| {
            let own = Identity::load(tx, vault)?;
            let contact = contacts::resolve(tx, &own, to)?;
            outbox::check_text(tx, &own, &contact, text)?;
            let content = codec::encode(&Text::plain(text))?;
            outbox::queue(tx, vault, &own, &contact, kind::TEXT, &content, NOW)
        })
    }

    /// Stores something else than a text.
    fn sends(&mut self, to: &str, number: u64, content: &impl Serialize) -> (i64, MessageId) {
        self.sends_at(to, number, content, NOW)
    }

    fn sends_at(
        &mut self,
        to: &str,
        number: u64,
        content: &impl Serialize,
        at: u64,
    ) -> (i64, MessageId) {
        let vault = &self.vault;
        self.db
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                let contact = contacts::resolve(tx, &own, to)?;
                let content = codec::encode(content)?;
                outbox::queue(tx, vault, &own, &contact, number, &content, at)
            })
            .unwrap()
    }

    /// Seals what waits and takes what is to be offered.
    fn offers(&mut self, now: u64) -> Vec<Offer> {
        let vault = &self.vault;
        self.db
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                outbox::expire(tx, &own, now)?;
                receipts::queue_due(tx, vault, &own, now)?;
                resend::queue_due(tx, vault, &own, now)?;
                receive::retry_later(tx, vault, &own, now)?;
                outbox::seal_waiting(tx, vault, &own, now)?;
                if devices::queue_due(tx, vault, &own, now)? {
                    outbox::seal_waiting(tx, vault, &own, now)?;
                }
                // As if the home took each at once: else one of each conversation is offered.
                let mut all = Vec::new();
                loop {
                    let offers = outbox::offers(tx, &[], 64, now)?;
                    if offers.is_empty() {
                        break;
                    }
                    for offer in &offers {
                        tx.execute("UPDATE outbox SET offer = 0 WHERE message = ?1", [offer.row])?;
                    }
                    all.extend(offers);
                }
                for offer in &all {
                    tx.execute("UPDATE outbox SET offer = 1 WHERE message = ?1", [offer.row])?;
                }
                all.sort_by_key(|offer| offer.row);
                Ok(all)
            })
            .unwrap()
    }

    /// The home pushes an envelope.
    fn gets(&mut self, envelope: &Envelope) {
        let push = self.push_of(envelope);
        self.takes(&push);
    }

    fn push_of(&mut self, envelope: &Envelope) -> Push {
        self.pushed += 1;
        let parcel = &envelope.routes[0].parcels[0];
        assert_eq!(parcel.account, self.account);
        envelope.validate().unwrap();
        let device = self.own().device;
        let header = parcel.headers.iter().find(|header| header.device == device).unwrap();
        let label = parcel.token.as_ref().map(|t| ByteArray::new(redeemed_label(&t.hash())));
        let label = label.or(parcel.label);
        Push {
            seq: self.pushed,
            attributes: envelope.attributes(),
            label,
            origin: None,
            tag: None,
            body_hash: envelope.body_hash,
            header: Some(header.sealed.clone()),
            body: envelope.body.clone(),
        }
    }

    fn takes(&mut self, push: &Push) {
        let vault = &self.vault;
        self.db
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                receive::push(tx, vault, &own, push, NOW)
            })
            .unwrap();
        self.tokens_registered();
    }

    /// The home, or through it another node, refuses a message.
    fn refused(&mut self, row: i64, refusal: &Refusal<'_>) {
        let vault = &self.vault;
        self.db
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                outbox::refuse(tx, &own, row, refusal, NOW)
            })
            .unwrap();
    }

    /// All steps of a message, checked again.
    fn steps(&mut self, row: i64) -> Vec<CheckedStep> {
        let vault = &self.vault;
        self.db
            .read(|tx| {
                let own = Identity::load(tx, vault)?;
                let with = messages::at(tx, row)?.unwrap().contact;
                steps::check(tx, &own, row, &with)
            })
            .unwrap()
    }

    fn contact(&mut self, account: AccountId) -> Contact {
        self.db.read(|tx| contacts::get(tx, &account)).unwrap()
    }

    fn receipt(&mut self, receipt: &Receipt) {
        let vault = &self.vault;
        self.db
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                outbox::apply_receipt(tx, &own, receipt, NOW)
            })
            .unwrap();
    }

    fn inbox(&mut self) -> Vec<Message> {
        let query = Query { unshown: true, ..Query::default() };
        self.db.read(|tx| messages::list(tx, &query)).unwrap()
    }

    fn texts(&mut self) -> Vec<String> {
        self.inbox().into_iter().filter_map(|message| message.text).collect()
    }

    fn message(&mut self, row: i64) -> Message {
        self.db.read(|tx| messages::at(tx, row)).unwrap().unwrap()
    }

    fn state(&mut self, row: i64) -> State {
        self.message(row).state
    }

    fn problems(&mut self) -> Vec<String> {
        self.db
            .read(|tx| {
                let mut query = tx.prepare("SELECT code FROM problem ORDER BY id")?;
                let rows = query.query_map([], |row| row.get(0))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .unwrap()
    }
}

/// As if somebody's link had been added, redeemed, and a prekey claimed.
fn meet(
    tx: &Transaction<'_>,
    own: &Identity,
    their: &Identity,
    prekey: ClaimedPrekey,
    name: &str,
) -> Result<()> {
    let new = NewContact {
        account: their.account,
        name,
        phase: Phase::Ready,
        verified: true,
        home: &their.home,
        handle: "",
    };
    let contact = contacts::insert(tx, own, &new, NOW)?;
    let (record, devices) = (&their.record, &their.devices);
    let verified = Verified::check(&their.account, &own.network, record, devices, None)?;
    contacts::store_records(tx, own, &contact, &verified, NOW)?;
    contacts::store_token(tx, &their.account, &REDEEMED)?;
    let list = devices.open(&own.network)?;
    keep_prekeys(tx, &own.network, &their.account, &list, &[prekey], clock::now())?;
    Ok(())
}

/// What a node signs for an envelope.
fn receipt_for(envelope: &Envelope, kind: ReceiptKind, key: &SigningKey) -> Receipt {
    receipt_of(envelope, kind, key, (1, 1))
}

/// The same in a certain generation and commit.
fn receipt_of(
    envelope: &Envelope,
    kind: ReceiptKind,
    key: &SigningKey,
    (generation, commit): (u64, u64),
) -> Receipt {
    let network = testing::join_link().node.network;
    let item = ReceiptItem {
        parcel: envelope.parcel_id(&envelope.routes[0].parcels[0], &network),
        kind: kind.number(),
        role: if kind == ReceiptKind::Accepted { role::ORIGIN } else { role::HOME },
        copies: 1,
        until: envelope.deadline,
        devices: None,
    };
    let root = ReceiptRoot {
        version: 1,
        flags: 0,
        node: NodeId(key.verifying_key().to_bytes()),
        generation,
        run: [1; 8],
        commit,
        at: NOW + 1,
        merkle_root: merkle::root(&[item.leaf().unwrap()]),
    };
    let root = Signed::new(&root, key, &network).unwrap();
    Receipt { item, path: vec![], root }
}

/// Two people, the first of whom has the second's link redeemed.
fn friends() -> (Person, Person) {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    alice.befriend(&mut bob, "bob");
    (alice, bob)
}

fn only(mut offers: Vec<Offer>) -> Offer {
    assert_eq!(offers.len(), 1);
    offers.remove(0)
}

/// A refusal at once, as its code stands in the table.
fn refusal(by: NodeId, code: ErrorCode) -> Refusal<'static> {
    Refusal {
        by,
        code,
        retriable: code.retriable(),
        retry_after: 0,
        detail: "",
        record: None,
        records: None,
        is_late: false,
    }
}
