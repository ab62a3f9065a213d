//! One of everything, with fixed keys: what the vectors are made of.

use postroad_proto::blob::Blob;
use postroad_proto::content::{
    Absent, Card, Delete, Edit, Farewell, Introduction, Mention, Message, Queued, Reaction,
    ReceiptContent, Reference, Resend, Sender, Text, Timer, conversation, kind, receipt, shorten,
};
use postroad_proto::envelope::{Attributes, Envelope, Header, Parcel, Route, mode};
use postroad_proto::ephemeral::{self, Ephemeral, EphemeralSecret, presence, typing};
use postroad_proto::frame::{Accepted, Records};
use postroad_proto::ids::{AccountId, Hash, MessageId, NodeId, ParcelId};
use postroad_proto::merkle;
use postroad_proto::network::Network;
use postroad_proto::noise::{NoiseSecret, public_key};
use postroad_proto::pair::{SealSecret, seal_public};
use postroad_proto::prekey::{ClaimedPrekey, Prekey};
use postroad_proto::receipt::{
    Receipt, ReceiptEntry, ReceiptItem, ReceiptKind, ReceiptRoot, Receipts, role,
};
use postroad_proto::record::digest::{self, Entry};
use postroad_proto::record::{
    AccountRecord, Deletion, Device, DeviceList, HandleRecord, NodeRecord, StewardCert,
};
use postroad_proto::signed::{Purpose, Signed, sign};
use postroad_proto::token::{DeliveryToken, InviteCode, TokenEntry, TokenSecret};
use postroad_proto::{Signer as _, SigningKey};
use serde_bytes::ByteArray;

/// 2026-01-01T00:00:00Z.
pub(crate) const NOW: u64 = 1_767_225_600;
pub(crate) const DAY: u64 = 86_400;

pub(crate) const NODE_SEED: [u8; 32] = [0x01; 32];
pub(crate) const ALICE_SEED: [u8; 32] = [0x02; 32];
pub(crate) const BOB_SEED: [u8; 32] = [0x03; 32];
pub(crate) const OLM_SEED: [u8; 32] = [0x04; 32];
pub(crate) const OTHER_NODE_SEED: [u8; 32] = [0x05; 32];
pub(crate) const NODE_NOISE: [u8; 32] = [0x21; 32];
pub(crate) const ALICE_NOISE: [u8; 32] = [0x22; 32];
pub(crate) const ALICE_SEAL: [u8; 32] = [0x23; 32];
pub(crate) const BOB_SEAL: [u8; 32] = [0x24; 32];

pub(crate) fn network() -> Network {
    "postroad-vectors".parse().expect("a network name")
}

pub(crate) fn key(seed: [u8; 32]) -> SigningKey {
    SigningKey::from_bytes(&seed)
}

fn verifying(seed: [u8; 32]) -> [u8; 32] {
    key(seed).verifying_key().to_bytes()
}

pub(crate) fn node() -> NodeId {
    NodeId(verifying(NODE_SEED))
}

/// The home of somebody else.
pub(crate) fn other_node() -> NodeId {
    NodeId(verifying(OTHER_NODE_SEED))
}

pub(crate) fn alice() -> AccountId {
    AccountId(verifying(ALICE_SEED))
}

pub(crate) fn bob() -> AccountId {
    AccountId(verifying(BOB_SEED))
}

pub(crate) fn node_record() -> NodeRecord {
    NodeRecord {
        version: 1,
        flags: 0,
        node: node(),
        seq: 7,
        generation: 1,
        next_key: Some(Hash::of(b"the offline key")),
        noise: public_key(&NoiseSecret(NODE_NOISE)),
        next_noise: None,
        client: vec!["post.example:4600".to_owned(), "[2001:db8::1]:4600".to_owned()],
        p2p: vec!["/dns4/post.example/tcp/4601".to_owned()],
        relays: vec![],
        name: "post.example".to_owned(),
        region: "Zürich".to_owned(),
        versions: (1, 1),
        features: 0,
        max_body: 65_536,
        max_deadline: 30 * DAY,
        issued: NOW,
        expires: NOW + 7 * DAY,
    }
}

/// The smallest node record.
pub(crate) fn bare_node_record() -> NodeRecord {
    NodeRecord {
        next_key: None,
        client: vec![],
        p2p: vec![],
        name: String::new(),
        region: String::new(),
        ..node_record()
    }
}

pub(crate) fn device_list() -> DeviceList {
    let device = |number: u8, noise: [u8; 32], seal: [u8; 32]| Device {
        number,
        noise: public_key(&NoiseSecret(noise)),
        seal: seal_public(&SealSecret(seal)).expect("a seal key"),
        olm_identity: public_key(&NoiseSecret([0x30 + number; 32])),
        olm_signing: Hash(verifying(OLM_SEED)),
        olm_version: 1,
        rights: 0,
        added: NOW - DAY * 10 + u64::from(number),
    };
    DeviceList {
        version: 1,
        flags: 0,
        account: alice(),
        epoch: 1,
        seq: 2,
        devices: vec![device(1, ALICE_NOISE, ALICE_SEAL), device(3, [0x25; 32], [0x26; 32])],
    }
}

pub(crate) fn signed_device_list() -> Signed<DeviceList> {
    Signed::new(&device_list(), &key(ALICE_SEED), &network()).expect("signs")
}

pub(crate) fn account_record() -> AccountRecord {
    AccountRecord {
        version: 1,
        flags: 0,
        account: alice(),
        epoch: 1,
        seq: 3,
        previous: Some(Hash::of(b"the record before")),
        home: node(),
        backups: vec![],
        hints: vec!["post.example:4600".to_owned()],
        devices: signed_device_list().hash(),
        lookup_key: None,
        issued: NOW,
        expires: NOW + 365 * DAY,
        steward: None,
    }
}

pub(crate) fn signed_account_record() -> Signed<AccountRecord> {
    Signed::new(&account_record(), &key(ALICE_SEED), &network()).expect("signs")
}

/// Alice's account is to be deleted in a week.
pub(crate) fn deletion() -> Deletion {
    let (account, node) = (alice(), node());
    Deletion { version: 1, flags: 0, account, node, at: NOW, delete_at: NOW + 7 * DAY }
}

pub(crate) fn signed_deletion() -> Signed<Deletion> {
    Signed::new(&deletion(), &key(ALICE_SEED), &network()).expect("signs")
}

/// Alice's third device may sign her record.
pub(crate) fn steward_cert() -> StewardCert {
    StewardCert {
        version: 1,
        flags: 0,
        account: alice(),
        epoch: 1,
        device: 3,
        key: Hash(verifying(OLM_SEED)),
        issued: NOW,
        expires: NOW + 90 * DAY,
    }
}

/// A record for a steward to sign, under a certificate that `by` has signed.
pub(crate) fn steward_record(cert: &StewardCert, by: [u8; 32]) -> AccountRecord {
    let cert = Signed::new(cert, &key(by), &network()).expect("signs");
    let cert = postroad_proto::codec::encode(&cert).expect("encodes");
    AccountRecord { steward: Some(cert.into()), ..account_record() }
}

/// The record of an account that moved from one node to the other.
pub(crate) fn moved_record() -> Signed<AccountRecord> {
    let record = AccountRecord {
        seq: 4,
        previous: Some(signed_account_record().hash()),
        home: other_node(),
        hints: vec!["other.example:4600".to_owned()],
        ..account_record()
    };
    Signed::new(&record, &key(ALICE_SEED), &network()).expect("signs")
}

pub(crate) fn signed_node_record() -> Signed<NodeRecord> {
    Signed::new(&node_record(), &key(NODE_SEED), &network()).expect("signs")
}

pub(crate) fn handle_record() -> HandleRecord {
    HandleRecord {
        version: 1,
        flags: 0,
        node: node(),
        node_name: "post.example".to_owned(),
        handle: "alice".parse().expect("a handle"),
        account: alice(),
        seq: 1,
        previous: None,
        how: 1,
        issued: NOW,
        old_key: None,
    }
}

pub(crate) fn signed_handle_record() -> Signed<HandleRecord> {
    Signed::new(&handle_record(), &key(NODE_SEED), &network()).expect("signs")
}

pub(crate) fn prekey(fallback: bool) -> Prekey {
    let key_bytes = public_key(&NoiseSecret([0x40 + u8::from(fallback); 32]));
    let input =
        Prekey::signature_input(alice(), 1, key_bytes, fallback, &network()).expect("encodes");
    let signature = key(OLM_SEED).sign(&input).to_bytes();
    Prekey { key: key_bytes, fallback, signature }
}

pub(crate) fn token() -> DeliveryToken {
    DeliveryToken([0x51; 16])
}

pub(crate) fn invite() -> InviteCode {
    InviteCode([0x52; 16])
}

pub(crate) fn attributes() -> Attributes {
    Attributes { version: 1, flags: 0, class: 1, mode: mode::PAIR, deadline: NOW + 30 * DAY }
}

/// An envelope whose body and headers are stand-ins: nodes cannot tell.
pub(crate) fn envelope() -> Envelope {
    let body = vec![0xb0; 256];
    Envelope {
        version: 1,
        flags: 0,
        class: 1,
        mode: mode::PAIR,
        deadline: NOW + 30 * DAY,
        body_hash: Hash::of(&body),
        body: body.into(),
        stamp: Blob::default(),
        routes: vec![Route {
            home: node(),
            backups: vec![],
            parcels: vec![
                Parcel {
                    account: bob(),
                    token: Some(token()),
                    tag: None,
                    label: None,
                    headers: vec![header(1, 300), header(2, 290)],
                },
                Parcel {
                    account: alice(),
                    token: None,
                    tag: None,
                    label: Some(ByteArray::new(*b"own-devs")),
                    headers: vec![header(3, 300)],
                },
            ],
        }],
    }
}

/// The part of an envelope that its origin hands to the recipient's node.
pub(crate) fn forwarded_envelope() -> Envelope {
    let mut envelope = Envelope { stamp: vec![0x5e; 53].into(), ..envelope() };
    envelope.routes[0].home = other_node();
    envelope.routes[0].parcels.truncate(1);
    envelope
}

/// A stranger's request, as a client sends it (`tag` none) or as its node passes it on.
pub(crate) fn request_envelope(tag: Option<[u8; 16]>) -> Envelope {
    let mut envelope = Envelope { class: 3, ..envelope() };
    envelope.routes[0].parcels.truncate(1);
    envelope.routes[0].parcels[0].token = None;
    envelope.routes[0].parcels[0].tag = tag.map(ByteArray::new);
    envelope
}

fn header(device: u8, length: usize) -> Header {
    Header { device, sealed: vec![0xe0 + device; length].into() }
}

pub(crate) fn card() -> Card {
    Card {
        record: signed_account_record(),
        devices: signed_device_list(),
        handle: Some(signed_handle_record()),
        token: token(),
        ephemeral: Some(ephemeral_secret()),
        sends_receipts: true,
    }
}

pub(crate) fn ephemeral_secret() -> EphemeralSecret {
    EphemeralSecret::derive(&TokenSecret([0x53; 32]), &bob(), 1)
}

/// What Bob says to Alice, who gave him the secret.
pub(crate) fn ephemerals() -> [Ephemeral; 2] {
    let at = NOW * 1000;
    [
        Ephemeral { kind: ephemeral::kind::TYPING, device: 2, at, value: typing::WRITING },
        Ephemeral { kind: ephemeral::kind::PRESENCE, device: 2, at, value: presence::AWAY },
    ]
}

pub(crate) const EPHEMERAL_NONCE: [u8; 24] = [0x24; 24];

pub(crate) fn sealed_ephemeral() -> Vec<u8> {
    let said = ephemerals()[0];
    ephemeral_secret().seal((&bob(), &alice()), &said, EPHEMERAL_NONCE).expect("seals")
}

pub(crate) fn message() -> Message {
    let text = Text::plain("Grüezi, Bob");
    Message {
        id: MessageId([0x60; 16]),
        conversation: conversation(&alice(), &bob()),
        seq: 2,
        previous: Some(ByteArray::new([0x61; 16])),
        lowest_kept: 1,
        sent_at: NOW * 1000,
        sender: Sender {
            account: alice(),
            device: 1,
            devices: shorten(&signed_device_list().hash()),
        },
        card: None,
        kind: kind::TEXT,
        content: postroad_proto::codec::encode(&text).expect("encodes").into(),
    }
}

pub(crate) fn first_message() -> Message {
    let encode = |card| postroad_proto::codec::encode(&card).expect("encodes");
    Message {
        seq: 1,
        previous: None,
        card: Some(encode(card()).into()),
        kind: kind::INTRODUCTION,
        content: postroad_proto::codec::encode(&Introduction {}).expect("encodes").into(),
        ..message()
    }
}

pub(crate) fn receipt_content() -> ReceiptContent {
    ReceiptContent { how: receipt::DELIVERED, device: 1, ranges: vec![(1, 1), (3, 40)] }
}

pub(crate) fn reply() -> Text {
    let reply = Some(Reference { account: bob(), id: MessageId([0x61; 16]) });
    let text = "\u{2014} yes".to_owned();
    Text { text, reply, forwarded: Some(true), vanish: Some(86_400), mentions: None }
}

pub(crate) fn mention() -> Text {
    let mentions = Some(vec![Mention { account: bob(), start: 4, length: 4 }]);
    Text { mentions, ..Text::plain("ask @bob") }
}

pub(crate) fn edit() -> Edit {
    Edit { id: MessageId([0x60; 16]), text: "hello, Bob".to_owned() }
}

pub(crate) fn delete() -> Delete {
    Delete { id: MessageId([0x60; 16]) }
}

pub(crate) fn reaction() -> Reaction {
    let to = Reference { account: alice(), id: MessageId([0x60; 16]) };
    Reaction { to, emoji: "\u{1f44d}".to_owned() }
}

pub(crate) fn timer() -> Timer {
    Timer { seconds: 3600 }
}

pub(crate) fn farewell() -> Farewell {
    Farewell { statement: signed_deletion() }
}

pub(crate) fn resend() -> Resend {
    Resend { device: 1, ranges: vec![(2, 2), (5, 9)] }
}

pub(crate) fn absent() -> Absent {
    Absent { empty: vec![(2, 2)], lost: vec![(5, 6), (9, 9)] }
}

pub(crate) fn queued() -> Queued {
    Queued { message: MessageId([0x60; 16]), account: alice(), device: 1, at: NOW * 1000 }
}

pub(crate) fn item(number: u8) -> ReceiptItem {
    ReceiptItem {
        parcel: ParcelId([number; 16]),
        kind: ReceiptKind::AtNode.number(),
        role: role::HOME,
        copies: u64::from(number),
        until: NOW + 30 * DAY + 600,
        devices: number.is_multiple_of(2).then(|| signed_device_list().hash()),
    }
}

/// What a session with the items 1 to 3 gets, in a commit in which another session has 4 and 5.
pub(crate) fn accepted() -> Accepted {
    let leaves = |numbers: &[u8]| -> Vec<Hash> {
        numbers.iter().map(|n| item(*n).leaf().expect("encodes")).collect()
    };
    let sessions = [merkle::root(&leaves(&[1, 2, 3])), merkle::root(&leaves(&[4, 5]))];
    let root = ReceiptRoot {
        version: 1,
        flags: 0,
        node: node(),
        generation: 1,
        run: *b"run-0001",
        commit: 42,
        at: NOW * 1000,
        merkle_root: merkle::root(&sessions),
    };
    Accepted {
        numbers: vec![1, 2],
        items: vec![item(1), item(2), item(3)],
        path: merkle::path(&sessions, 0),
        root: Signed::new(&root, &key(NODE_SEED), &network()).expect("signs"),
    }
}

pub(crate) fn receipts() -> Vec<Receipt> {
    let accepted = accepted();
    postroad_proto::receipt::split(&accepted.items, &accepted.path, &accepted.root)
        .expect("encodes")
}

/// Two of three items that were signed together, as the device that sent those two gets them.
pub(crate) fn some_receipts() -> Receipts {
    let Accepted { items, path, root, .. } = accepted();
    let leaves: Vec<Hash> = items.iter().map(|item| item.leaf().expect("encodes")).collect();
    let entry =
        |at: usize| ReceiptEntry { item: items[at].clone(), path: merkle::path(&leaves, at) };
    Receipts { entries: vec![entry(0), entry(2)], path, root }
}

/// That nobody fetched a parcel in time, signed by the node that held it.
pub(crate) fn expired_receipt() -> Receipt {
    let item =
        ReceiptItem { kind: ReceiptKind::Expired.number(), copies: 0, devices: None, ..item(9) };
    let root = ReceiptRoot {
        version: 1,
        flags: 0,
        node: other_node(),
        generation: 3,
        run: *b"run-0009",
        commit: 77,
        at: NOW * 1000,
        merkle_root: item.leaf().expect("encodes"),
    };
    let root = Signed::new(&root, &key(OTHER_NODE_SEED), &network()).expect("signs");
    Receipt { item, path: vec![], root }
}

pub(crate) fn records() -> Records {
    Records {
        record: signed_account_record(),
        devices: signed_device_list(),
        handle: Some(signed_handle_record()),
        fallback: vec![ClaimedPrekey { device: 1, prekey: prekey(true) }],
    }
}

pub(crate) fn token_entry() -> TokenEntry {
    TokenEntry {
        hash: token().hash(),
        label: *b"contact1",
        rate: 100,
        byte_share: 20,
        expires: NOW + 365 * DAY,
    }
}

pub(crate) fn queued_signature() -> [u8; 64] {
    let payload = postroad_proto::codec::encode(&queued()).expect("encodes");
    sign(&key(OLM_SEED), Purpose::Queued, &network(), &payload)
}

/// A row of a table of nodes: node id, hash of its record, whether that is current.
pub(crate) type TableRow = ([u8; 32], Hash, bool);

/// A small table, by rising id. Two ids in bucket 42 begin alike, and one record is over.
pub(crate) fn node_table() -> Vec<TableRow> {
    let alike = |last: u8| {
        let mut id = [0x2a; 32];
        id[31] = last;
        id
    };
    let rows = [
        ([0x00; 32], true),
        (alike(1), true),
        (alike(2), true),
        ([0x2b; 32], false),
        ([0xfe; 32], true),
        ([0xff; 32], true),
    ];
    let hash = |number: usize| Hash::of(format!("record {number}").as_bytes());
    rows.into_iter().enumerate().map(|(n, (id, current))| (id, hash(n), current)).collect()
}

/// The values of the buckets of [`node_table`].
pub(crate) fn digest_buckets() -> [[u8; 8]; 256] {
    let start = |bytes: &[u8; 32]| *bytes.first_chunk::<8>().expect("32 bytes");
    let mut entries = vec![Vec::new(); 256];
    for (node, hash, _) in node_table().iter().filter(|(_, _, current)| *current) {
        entries[usize::from(node[0])].push(Entry { node: start(node), hash: start(&hash.0) });
    }
    core::array::from_fn(|number| digest::bucket(&entries[number]))
}

pub(crate) fn digest_root() -> Hash {
    digest::root(&digest_buckets())
}
