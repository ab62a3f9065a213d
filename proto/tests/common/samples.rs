//! One of everything, with fixed keys: what the vectors are made of.

use postroad_proto::SigningKey;
use postroad_proto::blob::Blob;
use postroad_proto::content::{
    Card, Introduction, Message, Queued, ReceiptContent, Sender, Text, conversation, kind, receipt,
    shorten,
};
use postroad_proto::envelope::{Attributes, Envelope, Header, Parcel, Route, mode};
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::*;
use postroad_proto::ids::{AccountId, Hash, MessageId, NodeId, ParcelId};
use postroad_proto::merkle;
use postroad_proto::network::Network;
use postroad_proto::noise::{NoiseSecret, public_key};
use postroad_proto::pair::{SealSecret, seal_public};
use postroad_proto::prekey::{ClaimedPrekey, Prekey};
use postroad_proto::receipt::{Receipt, ReceiptItem, ReceiptKind, ReceiptRoot, role};
use postroad_proto::record::{AccountRecord, Device, DeviceList, HandleRecord, NodeRecord};
use postroad_proto::signed::{Purpose, Signed, sign};
use postroad_proto::token::{DeliveryToken, InviteCode, InviteEntry, Proof, TokenEntry};
use serde_bytes::ByteArray;

/// 2026-01-01T00:00:00Z.
pub(crate) const NOW: u64 = 1_767_225_600;
pub(crate) const DAY: u64 = 86_400;

pub(crate) const NODE_SEED: [u8; 32] = [0x01; 32];
pub(crate) const ALICE_SEED: [u8; 32] = [0x02; 32];
pub(crate) const BOB_SEED: [u8; 32] = [0x03; 32];
pub(crate) const OLM_SEED: [u8; 32] = [0x04; 32];
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
    let signature = ed25519_dalek::Signer::sign(&key(OLM_SEED), &input).to_bytes();
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
        ephemeral: None,
        sends_receipts: true,
    }
}

pub(crate) fn message() -> Message {
    let text = Text { text: "Grüezi, Bob".to_owned() };
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

fn handle_proof() -> Proof {
    Proof { handle: Some("bob".parse().expect("a handle")), ..Proof::default() }
}

/// At least one frame of every kind.
pub(crate) fn frames() -> Vec<(&'static str, Frame)> {
    [client_frames(), list_frames(), mail_frames(), node_frames()].concat()
}

fn client_frames() -> Vec<(&'static str, Frame)> {
    vec![
        (
            "hello",
            Hello {
                versions: (1, 1),
                account: Some(alice()),
                device: 1,
                devices: Some(signed_device_list().hash()),
                cursor: 1000,
                quoted: vec![Quote {
                    node: node(),
                    generation: 1,
                    run: ByteArray::new(*b"run-0001"),
                    commit: 42,
                }],
            }
            .into(),
        ),
        (
            "hello of a device that will register",
            Hello {
                versions: (1, 1),
                account: None,
                device: 1,
                devices: None,
                cursor: 0,
                quoted: vec![],
            }
            .into(),
        ),
        (
            "register",
            Register {
                request: 1,
                invite: Some(invite()),
                handle: Some("alice".parse().expect("a handle")),
                record: signed_account_record(),
                devices: signed_device_list(),
            }
            .into(),
        ),
        (
            "look up a handle",
            RecordsGet {
                request: 2,
                node: node(),
                account: None,
                handle: Some("bob".parse().expect("a handle")),
                proof: handle_proof(),
            }
            .into(),
        ),
        (
            "records of an account",
            RecordsGet {
                request: 3,
                node: node(),
                account: Some(bob()),
                handle: None,
                proof: Proof { token: Some(token()), ..Proof::default() },
            }
            .into(),
        ),
        (
            "put records",
            RecordsPut {
                request: 4,
                record: Some(signed_account_record()),
                devices: Some(signed_device_list()),
            }
            .into(),
        ),
        (
            "put prekeys",
            PrekeysPut { request: 5, one_time: vec![prekey(false)], fallback: Some(prekey(true)) }
                .into(),
        ),
        (
            "claim prekeys",
            PrekeysClaim {
                request: 6,
                node: node(),
                account: bob(),
                devices: vec![1, 2],
                proof: Proof { invite: Some(invite()), ..Proof::default() },
            }
            .into(),
        ),
    ]
}

fn list_frames() -> Vec<(&'static str, Frame)> {
    vec![
        ("put tokens", TokensPut { request: 7, tokens: vec![token_entry()] }.into()),
        ("drop tokens", TokensDrop { request: 8, hashes: vec![token().hash()] }.into()),
        ("list tokens", TokensList { request: 9 }.into()),
        (
            "redeem an invite",
            TokensRedeem {
                request: 10,
                node: node(),
                account: bob(),
                invite: invite(),
                token: token().hash(),
            }
            .into(),
        ),
        (
            "put invites",
            InvitesPut {
                request: 11,
                invites: vec![InviteEntry { hash: invite().hash(), uses: 1, expires: 0 }],
            }
            .into(),
        ),
        ("drop invites", InvitesDrop { request: 12, hashes: vec![invite().hash()] }.into()),
        (
            "settle a request",
            RequestsSettle {
                request: 13,
                origin: node(),
                tag: ByteArray::new([0x71; 16]),
                how: settle::ACCEPTED,
            }
            .into(),
        ),
    ]
}

fn mail_frames() -> Vec<(&'static str, Frame)> {
    vec![
        ("send", Send { number: 1, envelope: envelope() }.into()),
        ("send a request", Send { number: 2, envelope: request_envelope(None) }.into()),
        ("ack", Ack { generation: 1, ranges: vec![(1, 1000), (1002, 1002)] }.into()),
        ("credit", Credit { messages: 64, bytes: 1 << 20 }.into()),
        ("ping", Ping { request: 14 }.into()),
        ("put settings", SettingsPut { request: 15, lookups: false }.into()),
    ]
}

fn node_frames() -> Vec<(&'static str, Frame)> {
    let push = Push {
        seq: 1001,
        attributes: attributes(),
        label: Some(ByteArray::new(*b"contact1")),
        origin: None,
        tag: None,
        body_hash: envelope().body_hash,
        header: Some(vec![0xe1; 300].into()),
        body: envelope().body,
    };
    let request = Push {
        attributes: Attributes { class: 3, ..attributes() },
        label: None,
        origin: Some(node()),
        tag: Some(ByteArray::new([0x71; 16])),
        ..push.clone()
    };
    let notice =
        Notice { seq: 1002, receipt: receipts().first().cloned(), refused: None, generation: None };
    let refused = LateRefusal {
        parcel: ParcelId([9; 16]),
        code: ErrorCode::Denied,
        retry_after: 0,
        record: None,
    };
    let late = Notice { seq: 1003, receipt: None, refused: Some(refused), generation: None };
    let news = Notice { seq: 1004, receipt: None, refused: None, generation: Some((node(), 2)) };
    [
        session_frames(),
        vec![
            ("accepted", accepted().into()),
            ("push", push.into()),
            ("push of a request", request.into()),
            ("notice of a receipt", notice.into()),
            ("notice of a refusal (reserved)", late.into()),
            ("notice of a generation (reserved)", news.into()),
            (
                "waiting (reserved)",
                Waiting {
                    parcel: ParcelId([9; 16]),
                    node: node(),
                    since: NOW * 1000,
                    reason: "connection refused".to_owned(),
                    next_try: NOW * 1000 + 60_000,
                }
                .into(),
            ),
        ],
    ]
    .concat()
}

fn session_frames() -> Vec<(&'static str, Frame)> {
    let limits = NodeLimits {
        max_body: 65_536,
        max_deadline: 30 * DAY,
        mailbox_messages: 20_000,
        mailbox_bytes: 256 << 20,
        in_flight: 256,
    };
    let welcome = Welcome {
        version: 1,
        generation: 1,
        run: ByteArray::new(*b"run-0001"),
        limits,
        time: NOW * 1000,
        registered: true,
        one_time_keys: 87,
        record: Some(signed_account_record()),
    };
    let stranger = Welcome { registered: false, one_time_keys: 0, record: None, ..welcome.clone() };
    let count = postroad_proto::codec::encode(&Count { count: 88 }).expect("encodes");
    let failed = Done {
        request: 2,
        code: Some(ErrorCode::Rate),
        result: None,
        retry_after: 30,
        detail: "600 look-ups per hour".to_owned(),
    };
    let done = Done {
        request: 5,
        code: None,
        result: Some(count.into()),
        retry_after: 0,
        detail: String::new(),
    };
    let refused = Refused {
        number: 1,
        account: Some(bob()),
        code: ErrorCode::StaleDevices,
        retriable: false,
        retry_after: 0,
        detail: String::new(),
        records: Some(records()),
    };
    let all = Refused {
        account: None,
        code: ErrorCode::NoSpace,
        retriable: true,
        retry_after: 60,
        records: None,
        ..refused.clone()
    };
    vec![
        ("welcome", welcome.into()),
        ("welcome of an unregistered device", stranger.into()),
        ("done", done.into()),
        ("failed", failed.into()),
        ("refused parcel", refused.into()),
        ("refused envelope", all.into()),
    ]
}
