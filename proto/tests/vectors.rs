//! The golden bytes in `vectors/` are what this code writes and reads. `POSTROAD_WRITE_VECTORS=1`
//! writes them anew: then read the difference, since every line in it breaks somebody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use core::fmt::Debug;
use std::path::PathBuf;

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use common::arbitrary::{SMALL_ORDER, SMALL_ORDER_R, plus_group_order};
use common::device_samples::*;
use common::sample_frames;
use common::samples::*;
use common::{cbor, decode_frame, encode_frame, hex, noise, unhex};
use postroad_proto::backup::{self, Chain, Record};
use postroad_proto::codec::{self, CodecError};
use postroad_proto::content::{Introduction, Message, conversation, shorten};
use postroad_proto::envelope::Envelope;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Frame, Nodes, NodesDigested, NodesListed};
use postroad_proto::ids::{AccountId, ConversationId, Hash, MessageId, NodeId, ParcelId};
use postroad_proto::link::{ContactLink, DeviceLink, JoinLink, NodeLink, VerifyLink};
use postroad_proto::linking::{self, LinkMessage};
use postroad_proto::network::Network;
use postroad_proto::noise::{NoiseSecret, public_key};
use postroad_proto::pair::{
    self, ContentKey, Context, HeaderContent, KeyGrant, SealSecret, seal_public,
};
use postroad_proto::receipt::{Receipt, ReceiptItem};
use postroad_proto::record::{AccountRecord, Deletion, StewardCert, digest};
use postroad_proto::recovery;
use postroad_proto::safety;
use postroad_proto::signed::{Purpose, Signable, Signed, signature_input};
use postroad_proto::token::{DeliveryToken, Proof, TokenSecret, redeemed_label, request_tag};
use postroad_proto::{hello, merkle, signed};
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name)
}

/// Compares `made` with the file, or writes the file; returns what the file holds.
fn golden(name: &str, made: &Value) -> Value {
    if std::env::var_os("POSTROAD_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(made).unwrap() + "\n";
        std::fs::write(path(name), text).unwrap();
    }
    let text = std::fs::read_to_string(path(name)).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(made, &golden, "{name} differs from what this code makes");
    golden
}

fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no text {name:?} in {value}"))
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    unhex(field(value, name))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// A structure as bytes and in diagnostic notation.
fn case<T: Serialize>(name: &str, value: &T) -> Value {
    let encoded = codec::encode(value).unwrap();
    json!({ "name": name, "hex": hex(&encoded), "diagnostic": cbor::diagnostic(&encoded) })
}

/// The golden bytes read as `expected`, which is written as the same bytes.
fn reads<T: Serialize + DeserializeOwned + PartialEq + Debug>(golden: &Value, expected: &T) {
    let golden = bytes(golden, "hex");
    assert_eq!(codec::decode::<T>(&golden, 1 << 17).as_ref(), Ok(expected));
    assert_eq!(codec::encode(expected).unwrap(), golden);
}

#[test]
fn ids() {
    let patterns: [[u8; 32]; 4] =
        [[0; 32], [0xff; 32], core::array::from_fn(|i| i as u8), alice().0];
    let mut cases = Vec::new();
    for pattern in patterns {
        let short = pattern[..16].try_into().unwrap();
        cases.push(json!({ "hex": hex(&pattern), "text": AccountId(pattern).to_string() }));
        cases.push(json!({ "hex": hex(&pattern[..16]), "text": MessageId(short).to_string() }));
    }
    let good = NodeId(patterns[2]).to_string();
    let (data, check) = good.split_at(52);
    let refused = [
        (format!("{data}{}", if check == "a" { 'b' } else { 'a' }), "another check character"),
        (data.to_owned(), "too short"),
        (format!("{good}a"), "too long"),
        (good.replace('a', "1"), "1 is not in the alphabet"),
        (nonzero_tail(&good), "bits that stand for no byte are not zero"),
    ];
    let made = json!({
        "cases": cases,
        "refused": refused.map(|(text, why)| json!({ "text": text, "why": why })),
    });
    let golden = golden("ids.json", &made);
    for case in list(&golden["cases"]) {
        let (raw, text) = (bytes(case, "hex"), field(case, "text"));
        let read = |text: &str| match raw.len() {
            32 => text.parse::<AccountId>().map(|id| id.0.to_vec()),
            _ => text.parse::<ParcelId>().map(|id| id.0.to_vec()),
        };
        assert_eq!(read(text), Ok(raw.clone()));
        assert_eq!(read(&text.to_uppercase()), Ok(raw.clone()));
    }
    for case in list(&golden["refused"]) {
        assert!(field(case, "text").parse::<NodeId>().is_err(), "{case}");
        assert!(field(case, "text").parse::<ConversationId>().is_err(), "{case}");
    }
}

/// `id` with one of the four unused bits set and the check character that fits.
fn nonzero_tail(id: &str) -> String {
    let alphabet = "abcdefghijklmnopqrstuvwxyz234567";
    let mut data = id[..51].to_owned();
    let last = alphabet.find(&id[51..52]).unwrap();
    data.push(alphabet.as_bytes()[last | 1] as char);
    let sum: usize = data
        .chars()
        .rev()
        .enumerate()
        .map(|(i, c)| alphabet.find(c).unwrap() << usize::from(i % 2 == 0))
        .map(|v| v / 32 + v % 32)
        .sum();
    data.push(alphabet.as_bytes()[(32 - sum % 32) % 32] as char);
    data
}

/// Bytes, whether they are taken, and what they are about.
const ENCODING: &[(&str, bool, &str)] = &[
    ("00", true, "zero"),
    ("17", true, "23 in the first byte"),
    ("1818", true, "24 in one byte"),
    ("18ff", true, "255"),
    ("190100", true, "256"),
    ("1a00010000", true, "65,536"),
    ("1b0000000100000000", true, "2^32"),
    ("1bffffffffffffffff", true, "2^64 - 1"),
    ("20", true, "-1: well-formed, though no value in use"),
    ("40", true, "empty bytes"),
    ("4401020304", true, "bytes"),
    ("60", true, "empty text"),
    ("63c3a961", true, "text"),
    ("80", true, "empty array"),
    ("83010203", true, "array"),
    ("a0", true, "empty map"),
    ("a200010102", true, "map"),
    ("a20001181802", true, "keys may leave gaps"),
    ("f4", true, "false"),
    ("f5", true, "true"),
    ("f6", true, "null"),
    ("8181818181818181818181818181818100", true, "an integer within 16 arrays"),
    ("", false, "nothing"),
    ("0000", false, "two items"),
    ("1817", false, "23 in one byte"),
    ("1900ff", false, "255 in two bytes"),
    ("1a0000ffff", false, "65,535 in four bytes"),
    ("1b00000000ffffffff", false, "2^32 - 1 in eight bytes"),
    ("5801aa", false, "a length that is longer than needed"),
    ("18", false, "ends within a head"),
    ("44010203", false, "ends within bytes"),
    ("5b7fffffffffffffff", false, "a length bomb"),
    ("830102", false, "ends within an array"),
    ("a1", false, "ends within a map"),
    ("a100", false, "a key without value"),
    ("9b00000001000000ff", false, "a count bomb"),
    ("991001", false, "4,097 elements"),
    ("b91001", false, "4,097 entries"),
    ("9f01ff", false, "array of indefinite length"),
    ("bf0001ff", false, "map of indefinite length"),
    ("5f4101ff", false, "bytes of indefinite length"),
    ("7f6161ff", false, "text of indefinite length"),
    ("ff", false, "break"),
    ("1c", false, "reserved head"),
    ("a200010002", false, "a key twice"),
    ("a201010002", false, "keys that fall"),
    ("a1616101", false, "a text key"),
    ("a12001", false, "a negative key"),
    ("a1f501", false, "a key that is no integer"),
    ("c100", false, "tag"),
    ("d9d9f700", false, "self-described CBOR is a tag too"),
    ("f7", false, "undefined"),
    ("f0", false, "simple value 16"),
    ("f820", false, "simple value 32"),
    ("f93c00", false, "half float"),
    ("fa3f800000", false, "single float"),
    ("fb3ff0000000000000", false, "double float"),
    ("61ff", false, "text that is not UTF-8"),
    ("62c080", false, "overlong UTF-8"),
    ("63eda080", false, "a surrogate in UTF-8"),
    ("818181818181818181818181818181818100", false, "an integer within 17 arrays"),
];

#[test]
fn encoding() {
    let case = |(hex, _, about): &&(&str, bool, &str)| json!({ "hex": hex, "about": about });
    let made = json!({
        "accepted": ENCODING.iter().filter(|c| c.1).map(|c| case(&c)).collect::<Vec<_>>(),
        "refused": ENCODING.iter().filter(|c| !c.1).map(|c| case(&c)).collect::<Vec<_>>(),
    });
    let golden = golden("encoding.json", &made);
    for case in list(&golden["accepted"]) {
        let read = codec::decode::<IgnoredAny>(&bytes(case, "hex"), 64);
        assert!(read.is_ok(), "{case}: {read:?}");
    }
    for case in list(&golden["refused"]) {
        let read = codec::decode::<IgnoredAny>(&bytes(case, "hex"), 64);
        assert!(read.is_err(), "{case}");
    }
    // The counts at their limit, with all their elements there.
    let array =
        |count: u16| [&[0x99], count.to_be_bytes().as_slice(), &vec![0; count.into()]].concat();
    let map = |count: u16| {
        let mut bytes = [&[0xb9], count.to_be_bytes().as_slice()].concat();
        for key in 0..u64::from(count) {
            bytes.extend(codec::encode(&key).unwrap());
            bytes.push(0);
        }
        bytes
    };
    for counted in [&array as &dyn Fn(u16) -> Vec<u8>, &map] {
        assert!(codec::decode::<IgnoredAny>(&counted(4096), 1 << 17).is_ok());
        let beyond = codec::decode::<IgnoredAny>(&counted(4097), 1 << 17);
        assert_eq!(beyond.err(), Some(CodecError::TooMany));
    }
    assert_eq!(
        codec::decode::<IgnoredAny>(&[0; 9], 8).err(),
        Some(CodecError::TooLarge { limit: 8, got: 9 })
    );
}

#[test]
fn networks() {
    let names = ["postroad", "postroad-vectors", "a", "test.2026-01"];
    let cases = names.map(|name| {
        let network: Network = name.parse().unwrap();
        json!({ "name": name, "id": hex(&network.id()), "tag": hex(&network.tag()) })
    });
    let refused = ["", "Postroad", "post road", "über", &"a".repeat(65)].map(|s| s.to_owned());
    let golden = golden("networks.json", &json!({ "cases": cases, "refused": refused }));
    for name in list(&golden["refused"]) {
        assert!(name.as_str().unwrap().parse::<Network>().is_err(), "{name}");
    }
}

#[test]
fn signatures() {
    let purposes = [
        Purpose::NodeRecord,
        Purpose::AccountRecord,
        Purpose::DeviceList,
        Purpose::HandleRecord,
        Purpose::ReceiptRoot,
        Purpose::Prekey,
        Purpose::Queued,
        Purpose::StewardCert,
        Purpose::Deletion,
    ];
    let key = key(ALICE_SEED);
    let public = key.verifying_key().to_bytes();
    let payload = b"payload";
    let cases = purposes.map(|purpose| {
        json!({
            "tag": purpose.tag(),
            "input": hex(&signature_input(purpose, &network(), payload)),
            "signature": hex(&signed::sign(&key, purpose, &network(), payload)),
        })
    });
    let good = signed::sign(&key, purposes[0], &network(), payload);
    let mut refused = vec![
        json!({ "why": "S + L: the same signature, written otherwise", "key": hex(&public),
                "signature": hex(&plus_group_order(&good)) }),
        json!({ "why": "R is of small order, though the equation holds", "key": hex(&public),
                "signature": SMALL_ORDER_R }),
        json!({ "why": "made for another purpose", "key": hex(&public),
                "signature": hex(&signed::sign(&key, purposes[1], &network(), payload)) }),
        json!({ "why": "made in another network", "key": hex(&public),
                "signature": hex(&signed::sign(&key, purposes[0], &Network::default(), payload)) }),
    ];
    // R and S of zero satisfy the lenient equation for a key of small order, whatever is signed.
    let mut identity = [0; 64];
    identity[0] = 1;
    for weak in SMALL_ORDER {
        refused.push(json!({ "why": "the key is of small order", "key": weak,
                             "signature": hex(&identity) }));
    }
    let made = json!({
        "network": network().name(), "seed": hex(&ALICE_SEED), "public_key": hex(&public),
        "payload": hex(payload), "cases": cases,
        "refused_as": purposes[0].tag(), "refused": refused,
    });
    let golden = golden("signatures.json", &made);
    // The vector is worth nothing unless a lenient verifier takes it.
    let lenient = ed25519_dalek::Signature::from_slice(&unhex(SMALL_ORDER_R)).unwrap();
    let input = signature_input(purposes[0], &network(), payload);
    assert!(ed25519_dalek::Verifier::verify(&key.verifying_key(), &input, &lenient).is_ok());
    for (case, purpose) in list(&golden["cases"]).iter().zip(purposes) {
        let signature = bytes(case, "signature").try_into().unwrap();
        signed::verify(&public, purpose, &network(), payload, &signature).unwrap();
    }
    for case in list(&golden["refused"]) {
        let key = bytes(case, "key").try_into().unwrap();
        let signature = bytes(case, "signature").try_into().unwrap();
        let result = signed::verify(&key, purposes[0], &network(), payload, &signature);
        assert!(result.is_err(), "{case}");
    }
}

fn record<T: Signable>(name: &str, value: &T, seed: [u8; 32]) -> Value {
    let signed = Signed::new(value, &key(seed), &network()).unwrap();
    let encoded = codec::encode(&signed).unwrap();
    json!({
        "name": name,
        "seed": hex(&seed),
        "payload": hex(&signed.payload),
        "payload_diagnostic": cbor::diagnostic(&signed.payload),
        "hash": hex(&signed.hash().0),
        "signature": hex(&signed.signature),
        "hex": hex(&encoded),
    })
}

fn opens<T: Signable + PartialEq + Debug>(golden: &Value, expected: &T) {
    let golden_bytes = bytes(golden, "hex");
    let signed: Signed<T> = codec::decode(&golden_bytes, 8192).unwrap();
    assert_eq!(signed.open(&network()).as_ref(), Ok(expected));
    assert_eq!(codec::encode(&signed).unwrap(), golden_bytes);
    assert_eq!(codec::encode(expected).unwrap(), bytes(golden, "payload"));
    assert!(signed.open(&Network::default()).is_err(), "opened in another network");
}

/// Well signed, and under certificates that do not allow it.
fn refused_records() -> [(&'static str, Signed<AccountRecord>); 6] {
    let cert = steward_cert;
    let record = |cert: &StewardCert| steward_record(cert, ALICE_SEED);
    let sign =
        |record: AccountRecord, by: [u8; 32]| Signed::new(&record, &key(by), &network()).unwrap();
    let over = StewardCert { issued: NOW - DAY, expires: NOW - 1, ..cert() };
    [
        (
            "a certificate that somebody else signed",
            sign(steward_record(&cert(), BOB_SEED), OLM_SEED),
        ),
        ("of another account", {
            let cert = StewardCert { account: bob(), ..cert() };
            sign(steward_record(&cert, BOB_SEED), OLM_SEED)
        }),
        ("of another epoch", sign(record(&StewardCert { epoch: 2, ..cert() }), OLM_SEED)),
        ("that was over", sign(record(&over), OLM_SEED)),
        ("for another key", sign(record(&cert()), BOB_SEED)),
        ("signed by the account in the steward's place", sign(record(&cert()), ALICE_SEED)),
    ]
}

/// Two records of one account, and what the second is to whoever holds the first.
fn record_pairs() -> [(Signed<AccountRecord>, Signed<AccountRecord>, &'static str); 7] {
    let of =
        |record: AccountRecord, by: [u8; 32]| Signed::new(&record, &key(by), &network()).unwrap();
    let by_account = |issued| of(AccountRecord { issued, ..account_record() }, ALICE_SEED);
    let by_steward = |issued| {
        let record = steward_record(&steward_cert(), ALICE_SEED);
        of(AccountRecord { issued, ..record }, OLM_SEED)
    };
    let mut stewards = [by_steward(NOW), by_steward(NOW + 1)];
    stewards.sort_by_key(Signed::hash);
    let [small, large] = stewards;
    let next =
        of(AccountRecord { seq: 4, ..steward_record(&steward_cert(), ALICE_SEED) }, OLM_SEED);
    [
        (small.clone(), small.clone(), "same"),
        (large.clone(), small.clone(), "newer"),
        (small.clone(), large, "older"),
        (small.clone(), by_account(NOW), "newer"),
        (by_account(NOW), small, "older"),
        (by_account(NOW), next, "newer"),
        (by_account(NOW), by_account(NOW + 1), "conflict"),
    ]
}

#[test]
fn records_and_prekeys() {
    let called_off = Deletion { at: NOW + DAY, delete_at: 0, ..deletion() };
    let made = json!({
        "network": network().name(),
        "records": [
            record("NodeRecord", &node_record(), NODE_SEED),
            record("NodeRecord, bare", &bare_node_record(), NODE_SEED),
            record("AccountRecord", &account_record(), ALICE_SEED),
            record("DeviceList", &device_list(), ALICE_SEED),
            record("HandleRecord", &handle_record(), NODE_SEED),
            record("StewardCert", &steward_cert(), ALICE_SEED),
            record("AccountRecord, by a steward", &steward_record(&steward_cert(), ALICE_SEED), OLM_SEED),
            record("Deletion", &deletion(), ALICE_SEED),
            record("Deletion, called off", &called_off, ALICE_SEED),
        ],
        "refused_records": refused_records().map(|(why, signed)| {
            json!({ "why": why, "hex": hex(&codec::encode(&signed).unwrap()) })
        }),
        "order": record_pairs().map(|(held, other, order)| {
            let hex = |record| hex(&codec::encode(record).unwrap());
            json!({ "held": hex(&held), "other": hex(&other), "other_is": order })
        }),
        "prekeys": ([false, true].map(|fallback| {
            let mut made = case("Prekey", &prekey(fallback));
            let input = postroad_proto::prekey::Prekey::signature_input(
                alice(), 1, prekey(fallback).key, fallback, &network()).unwrap();
            made["account"] = hex(&alice().0).into();
            made["device"] = 1.into();
            made["olm_signing_seed"] = hex(&OLM_SEED).into();
            made["signature_input"] = hex(&input).into();
            made
        })),
    });
    let golden = golden("records.json", &made);
    let records = list(&golden["records"]);
    opens(&records[0], &node_record());
    opens(&records[1], &bare_node_record());
    opens(&records[2], &account_record());
    opens(&records[3], &device_list());
    opens(&records[4], &handle_record());
    opens(&records[5], &steward_cert());
    opens(&records[6], &steward_record(&steward_cert(), ALICE_SEED));
    opens(&records[7], &deletion());
    opens(&records[8], &called_off);
    for case in list(&golden["refused_records"]) {
        let signed: Signed<AccountRecord> = codec::decode(&bytes(case, "hex"), 8192).unwrap();
        assert!(signed.open(&network()).is_err(), "{case}");
    }
    for case in list(&golden["order"]) {
        let [held, other] = ["held", "other"].map(|name| -> Signed<AccountRecord> {
            codec::decode(&bytes(case, name), 8192).unwrap()
        });
        let order = format!("{:?}", held.compare(&other).unwrap()).to_lowercase();
        assert_eq!(order, field(case, "other_is"));
    }
    let signer = device_list().devices[0].olm_signing;
    for (case, fallback) in list(&golden["prekeys"]).iter().zip([false, true]) {
        reads(case, &prekey(fallback));
        let one = prekey(fallback);
        assert_eq!(one.verify(alice(), 1, &signer, &network()), Ok(()));
        assert!(one.verify(alice(), 2, &signer, &network()).is_err());
        assert!(one.verify(bob(), 1, &signer, &network()).is_err());
    }
}

#[test]
fn tokens() {
    let secret = TokenSecret([0x53; 32]);
    let node_secret = [0x54; 32];
    let derived = [0u32, 1, 256].map(|number| {
        let token = DeliveryToken::derive(&secret, &bob(), number);
        json!({ "number": number, "token": hex(&token.0), "hash": hex(&token.hash().0) })
    });
    let proofs = [
        Proof { token: Some(token()), ..Proof::default() },
        Proof { invite: Some(invite()), ..Proof::default() },
        Proof { handle: Some("bob".parse().unwrap()), ..Proof::default() },
        Proof::default(),
    ];
    let entry = postroad_proto::token::InviteEntry { hash: invite().hash(), uses: 1, expires: NOW };
    let made = json!({
        "token_secret": hex(&secret.0), "contact": hex(&bob().0), "derived": derived,
        "invite": { "code": hex(&invite().0), "hash": hex(&invite().hash().0) },
        "redeemed": { "token": hex(&token().0), "hash": hex(&token().hash().0),
                      "label": hex(&redeemed_label(&token().hash())) },
        "request_tag": { "node_secret": hex(&node_secret), "sender": hex(&alice().0),
                         "recipient": hex(&bob().0),
                         "tag": hex(&request_tag(&node_secret, &alice(), &bob())) },
        "token_entry": case("TokenEntry", &token_entry()),
        "invite_entry": case("InviteEntry", &entry),
        "proofs": proofs.iter().map(|p| case("Proof", p)).collect::<Vec<_>>(),
    });
    let golden = golden("tokens.json", &made);
    reads(&golden["token_entry"], &token_entry());
    reads(&golden["invite_entry"], &entry);
    list(&golden["proofs"]).iter().zip(&proofs).for_each(|(case, proof)| reads(case, proof));
    assert_ne!(
        request_tag(&node_secret, &alice(), &bob()),
        request_tag(&node_secret, &bob(), &alice())
    );
}

/// Envelopes that break one rule each.
fn refused_envelopes() -> Vec<(&'static str, Envelope)> {
    let with = |change: &dyn Fn(&mut Envelope)| {
        let mut envelope = envelope();
        change(&mut envelope);
        envelope
    };
    vec![
        ("version 2", with(&|e| e.version = 2)),
        ("critical flag 16", with(&|e| e.flags = 1 << 16)),
        ("critical flag 31", with(&|e| e.flags = 1 << 31)),
        ("class 2 is reserved", with(&|e| e.class = 2)),
        ("unknown class", with(&|e| e.class = 4)),
        ("mode 2 is reserved", with(&|e| e.mode = 2)),
        ("the body is not its hash's", with(&|e| e.body_hash = Hash([0; 32]))),
        ("stamp of 65 bytes", with(&|e| e.stamp = vec![0; 65].into())),
        ("no routes", with(&|e| e.routes.clear())),
        ("a route without parcels", with(&|e| e.routes[0].parcels.clear())),
        ("a parcel without headers", with(&|e| e.routes[0].parcels[0].headers.clear())),
        ("headers that fall", with(&|e| e.routes[0].parcels[0].headers.reverse())),
        ("two headers for one device", with(&|e| e.routes[0].parcels[0].headers[1].device = 1)),
        ("three backups", with(&|e| e.routes[0].backups = vec![node(); 3])),
        (
            "three parcels",
            with(&|e| {
                let parcel = e.routes[0].parcels[0].clone();
                e.routes[0].parcels.push(parcel);
            }),
        ),
        (
            "a header of 513 bytes",
            with(&|e| {
                e.routes[0].parcels[0].headers[0].sealed = vec![0; 513].into();
            }),
        ),
        (
            "nine headers",
            with(&|e| {
                let one = e.routes[0].parcels[0].headers[0].clone();
                let nine = (1..=9)
                    .map(|device| postroad_proto::envelope::Header { device, ..one.clone() });
                e.routes[0].parcels[0].headers = nine.collect();
            }),
        ),
    ]
}

#[test]
fn envelopes_and_parcel_ids() {
    let envelopes = [
        ("message", envelope()),
        ("request, from the client", request_envelope(None)),
        ("request, from its node", request_envelope(Some([0x71; 16]))),
        ("an uncritical flag", Envelope { flags: 1, ..envelope() }),
    ];
    let parcels = |envelope: &Envelope| -> Vec<String> {
        let parcels = envelope.routes.iter().flat_map(|route| &route.parcels);
        parcels.map(|p| hex(&envelope.parcel_id(p, &network()).0)).collect()
    };
    let accepted = envelopes.iter().map(|(name, envelope)| {
        let mut made = case(name, envelope);
        made["parcel_ids"] = parcels(envelope).into();
        made
    });
    let refused = refused_envelopes();
    let made = json!({
        "network": network().name(),
        "accepted": accepted.collect::<Vec<_>>(),
        "refused": refused.iter()
            .map(|(why, e)| json!({ "why": why, "hex": hex(&codec::encode(e).unwrap()) }))
            .collect::<Vec<_>>(),
    });
    let golden = golden("envelopes.json", &made);
    for (case, (_, envelope)) in list(&golden["accepted"]).iter().zip(&envelopes) {
        reads(case, envelope);
        assert_eq!(envelope.validate(), Ok(()));
    }
    for case in list(&golden["refused"]) {
        let envelope: Envelope = codec::decode(&bytes(case, "hex"), 1 << 17).unwrap();
        assert!(envelope.validate().is_err(), "{}", case["why"]);
    }
    assert_eq!(parcels(&envelopes[1].1), parcels(&envelopes[2].1), "the tag is no part of the id");
}

/// A body of any padded text, made by the words of `spec/envelope.md` and not by the crate.
fn body_of(key: &ContentKey, padded: &[u8]) -> Vec<u8> {
    let encryption = blake3::derive_key("postroad v1 body key", &key.0);
    let commitment = blake3::derive_key("postroad v1 body commitment", &key.0);
    let aad = codec::encode(&attributes()).unwrap();
    let mut cipher = noise::Cipher { key: encryption, nonce: 0 };
    [commitment.as_slice(), &cipher.encrypt(&aad, padded)].concat()
}

#[test]
fn pair_mode() {
    let content_key = ContentKey([0x91; 32]);
    let bodies = [0usize, 1, 207, 208, 500].map(|length| {
        let plaintext: Vec<u8> = (0..length).map(|i| i as u8).collect();
        let body = pair::seal_body(&content_key, &attributes(), &plaintext).unwrap();
        json!({ "plaintext": hex(&plaintext), "body": hex(&body), "hash": hex(&Hash::of(&body).0) })
    });
    let padded = [&[1, 2, 3, 0x80], [0; 204].as_slice()].concat();
    assert_eq!(
        pair::seal_body(&content_key, &attributes(), &[1, 2, 3]),
        Ok(body_of(&content_key, &padded))
    );
    let other_mark = [&[1, 2, 3, 0x81], [0; 204].as_slice()].concat();
    let mut other_commitment = body_of(&content_key, &padded);
    other_commitment[0] ^= 1;
    let refused = [
        ("the padding begins with 0x81", body_of(&content_key, &other_mark)),
        ("no padding mark", body_of(&content_key, &[0; 208])),
        ("nothing inside", body_of(&content_key, &[])),
        ("another commitment", other_commitment),
    ];
    let body_hash = Hash([0x92; 32]);
    let context = Context {
        body_hash,
        message: message().id,
        conversation: message().conversation,
        sender: alice(),
        sender_device: 1,
        recipient: bob(),
        recipient_device: 2,
    };
    let content =
        HeaderContent { sender: alice(), device: 1, olm_type: 0, olm: vec![0x93; 280].into() };
    let secret = SealSecret(BOB_SEAL);
    let public = seal_public(&secret).unwrap();
    let ikm = {
        let mut ikm = [0; 32];
        rand_chacha::ChaCha20Rng::seed_from_u64(7).fill_bytes(&mut ikm);
        ikm
    };
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(7);
    let header = pair::seal_header(&public, (bob(), 2), &body_hash, &content, &mut rng).unwrap();
    let grant = KeyGrant { key: content_key.clone(), context: context.hash().unwrap() };
    let made = json!({
        "content_key": hex(&content_key.0),
        "attributes": case("Attributes", &attributes()),
        "bodies": bodies,
        "refused_bodies": (refused.map(|(why, body)| json!({ "why": why, "body": hex(&body) }))),
        "context": case("Context", &context),
        "context_hash": hex(&grant.context.0),
        "olm_plaintext": hex(&*grant.to_bytes()),
        "header": {
            "seal_secret": hex(&secret.0), "seal_public": hex(&public.0),
            "recipient": hex(&bob().0), "recipient_device": 2,
            "body_hash": hex(&body_hash.0), "content": case("HeaderContent", &content),
            "ephemeral_ikm": hex(&ikm), "sealed": hex(&header),
        },
    });
    let golden = golden("pair.json", &made);
    reads(&golden["attributes"], &attributes());
    for case in list(&golden["bodies"]) {
        let opened = pair::open_body(&content_key, &attributes(), &bytes(case, "body")).unwrap();
        assert_eq!(*opened, bytes(case, "plaintext"));
    }
    for case in list(&golden["refused_bodies"]) {
        let opened = pair::open_body(&content_key, &attributes(), &bytes(case, "body"));
        assert!(opened.is_err(), "{case}");
    }
    let sealed = bytes(&golden["header"], "sealed");
    assert_eq!(pair::open_header(&secret, (bob(), 2), &body_hash, &sealed).as_ref(), Ok(&content));
    reads(&golden["header"]["content"], &content);
    assert!(KeyGrant::from_bytes(&bytes(&golden, "olm_plaintext")).unwrap() == grant);
}

#[test]
fn content() {
    let made = json!({
        "conversations": ([(alice(), bob()), (bob(), alice()), (alice(), alice())].map(|(a, b)| {
            json!({ "one": hex(&a.0), "other": hex(&b.0), "id": hex(&conversation(&a, &b).0) })
        })),
        "safety": ([(alice(), bob()), (bob(), alice())].map(|(a, b)| {
            json!({ "one": hex(&a.0), "other": hex(&b.0), "words": safety::words(&a, &b) })
        })),
        "text": case("Text in Message", &message()),
        "introduction": case("Introduction with card in Message", &first_message()),
        "card": case("Card", &card()),
        "receipt": case("ReceiptContent", &receipt_content()),
        "empty": case("Introduction", &Introduction {}),
        "reply": case("Text", &reply()),
        "mention": case("Text", &mention()),
        "edit": case("Edit", &edit()),
        "delete": case("Delete", &delete()),
        "reaction": case("Reaction", &reaction()),
        "timer": case("Timer", &timer()),
        "farewell": case("Farewell", &farewell()),
        "resend": case("Resend", &resend()),
        "absent": case("Absent", &absent()),
        "queued": case("Queued", &queued()),
        "queued_signature": hex(&queued_signature()),
        "queued_seed": hex(&OLM_SEED),
        "previous": hex(&*shorten(&Hash::of(&message().encode().unwrap()))),
        "network": network().name(),
    });
    let golden = golden("content.json", &made);
    reads(&golden["text"], &message());
    reads(&golden["introduction"], &first_message());
    reads(&golden["card"], &card());
    reads(&golden["receipt"], &receipt_content());
    reads(&golden["empty"], &Introduction {});
    reads(&golden["reply"], &reply());
    reads(&golden["mention"], &mention());
    reads(&golden["edit"], &edit());
    reads(&golden["delete"], &delete());
    reads(&golden["reaction"], &reaction());
    reads(&golden["timer"], &timer());
    reads(&golden["farewell"], &farewell());
    reads(&golden["resend"], &resend());
    reads(&golden["absent"], &absent());
    reads(&golden["queued"], &queued());
    assert_eq!(Message::decode(&bytes(&golden["text"], "hex")), Ok(message()));
}

#[test]
fn what_own_devices_say() {
    let secret = link_secret();
    let said = link_messages();
    let messages: Vec<Value> =
        said.iter().map(|message| json!({ "message": hex(&message.encode().unwrap()) })).collect();
    let mut cut = said[0].encode().unwrap();
    cut.pop();
    let made = json!({
        "sync": case("Sync", &sync()),
        "entry": case("Entry", &entry()),
        "person": case("Person", &person()),
        "copy": case("Copy", &copy()),
        "progress": case("Progress", &progress()),
        "place": case("Place", &place()),
        "records": case("OwnRecords", &own_records()),
        "want": case("Want", &want()),
        "deletion": case("OwnDeletion", &own_deletion()),
        "link": {
            "secret": hex(&secret.0),
            "rendezvous": hex(&secret.rendezvous()),
            "psk": hex(&secret.psk()),
            "prologue": hex(&linking::prologue(&network())),
            "messages": messages,
            "refused": [hex(&cut), ""],
        },
        "recovery": {
            "seed": hex(&[7; 32]),
            "phrase": recovery::phrase(&[7; 32]).as_str(),
            "epoch": 1,
            "vault_key": hex(&vault_key().0),
            "vault": case("Vault", &vault()),
            "nonce": hex(&[9; 24]),
            "account": hex(&alice().0),
            "sealed": hex(&vault_key().seal(&alice(), &vault(), [9; 24]).unwrap()),
        },
    });
    let golden = golden("devices.json", &made);
    reads(&golden["sync"], &sync());
    reads(&golden["entry"], &entry());
    reads(&golden["person"], &person());
    reads(&golden["copy"], &copy());
    reads(&golden["progress"], &progress());
    reads(&golden["place"], &place());
    reads(&golden["records"], &own_records());
    reads(&golden["want"], &want());
    reads(&golden["deletion"], &own_deletion());
    for (case, message) in list(&golden["link"]["messages"]).iter().zip(said) {
        assert_eq!(LinkMessage::decode(&bytes(case, "message")), Ok(Some(message)));
    }
    for refused in list(&golden["link"]["refused"]) {
        assert!(LinkMessage::decode(&unhex(refused.as_str().unwrap())).is_err());
    }
    assert_eq!(LinkMessage::decode(&[99, 0xa0]), Ok(None));
    let golden = &golden["recovery"];
    assert_eq!(hex(&*recovery::seed(field(golden, "phrase")).unwrap()), field(golden, "seed"));
    reads(&golden["vault"], &vault());
    assert_eq!(vault_key().open(&alice(), &bytes(golden, "sealed")), Ok(vault()));
}

/// All records of a backup, as a reader goes through them.
fn read_backup(bytes: &[u8]) -> Result<Vec<Record>, CodecError> {
    let mut left = bytes.strip_prefix(backup::LINE).ok_or(CodecError::Value("no backup"))?;
    let (mut chain, mut records) = (Chain::default(), Vec::new());
    while !matches!(records.last(), Some(Record::End(_))) {
        let (start, after) = left.split_first_chunk().ok_or(CodecError::Truncated)?;
        let body = after.get(..backup::rest(start)?).ok_or(CodecError::Truncated)?;
        records.push(chain.open(start, body)?);
        left = &after[body.len()..];
    }
    if left.is_empty() { Ok(records) } else { Err(CodecError::Trailing(left.len())) }
}

#[test]
fn backups() {
    let (mut chain, records) = (Chain::default(), backup());
    let sealed: Vec<Vec<u8>> = records.iter().map(|record| chain.seal(record).unwrap()).collect();
    let whole = [backup::LINE, &sealed.concat()].concat();
    let changed = |at: usize| {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        hex(&changed)
    };
    let long = u32::try_from(postroad_proto::limits::MAX_BACKUP_RECORD + 1).unwrap().to_be_bytes();
    let swapped = [&sealed[..2].concat()[..], &sealed[3], &sealed[2], &sealed[4..].concat()];
    let made = json!({
        "line": hex(backup::LINE),
        "records": sealed.iter().map(|bytes| hex(bytes)).collect::<Vec<_>>(),
        "refused": [
            changed(0), changed(backup::LINE.len() + 3), changed(whole.len() / 2), changed(whole.len() - 1),
            hex(&whole[..whole.len() - sealed[5].len()]),
            hex(&[backup::LINE, &sealed[0], &sealed[2..].concat()].concat()),
            hex(&[backup::LINE, &swapped.concat()].concat()),
            hex(&[backup::LINE, &long, &[3]].concat()),
        ],
    });
    let golden = golden("backup.json", &made);
    let parts = list(&golden["records"]).iter().map(|part| unhex(part.as_str().unwrap()));
    let whole = [bytes(&golden, "line"), parts.collect::<Vec<_>>().concat()].concat();
    assert_eq!(read_backup(&whole), Ok(records.clone()));
    for record in &records {
        if let Record::Item(item) = record {
            assert_eq!(item.check(), Ok(()));
        }
    }
    for refused in list(&golden["refused"]) {
        assert!(read_backup(&unhex(refused.as_str().unwrap())).is_err(), "{refused}");
    }
}

#[test]
fn ephemerals_of_people() {
    let secret = ephemeral_secret();
    let (from, to) = (bob(), alice());
    let cases = ephemerals().map(|said| {
        let sealed = secret.seal((&from, &to), &said, EPHEMERAL_NONCE).unwrap();
        json!({ "said": case("Ephemeral", &said), "nonce": hex(&EPHEMERAL_NONCE), "sealed": hex(&sealed) })
    });
    let sealed = sealed_ephemeral();
    let mut changed = sealed.clone();
    changed[60] ^= 1;
    // Padding of zeros alone.
    let unmarked = {
        let mut hasher = blake3::Hasher::new_keyed(&secret.0);
        hasher.update(b"ephemeral day").update(&(NOW / 86_400).to_be_bytes());
        let cipher = XChaCha20Poly1305::new(&(*hasher.finalize().as_bytes()).into());
        let payload = Payload { msg: &[0; 64], aad: &[from.0, to.0].concat() };
        let sealed = cipher.encrypt(&EPHEMERAL_NONCE.into(), payload).unwrap();
        [&EPHEMERAL_NONCE[..], &sealed].concat()
    };
    let refused = [&changed, &sealed[..103].to_vec(), &unmarked].map(|bytes| hex(bytes));
    let made = json!({
        "token_secret": hex(&[0x53; 32]), "contact": hex(&bob().0), "number": 1,
        "secret": hex(&secret.0), "from": hex(&from.0), "to": hex(&to.0), "now": NOW * 1000,
        "sealed": cases, "refused": refused,
    });
    let golden = golden("ephemeral.json", &made);
    for (case, said) in list(&golden["sealed"]).iter().zip(ephemerals()) {
        reads(&case["said"], &said);
        let opened = secret.open((&from, &to), &bytes(case, "sealed"), NOW * 1000);
        assert_eq!(opened, Ok(said));
    }
    for refused in list(&golden["refused"]) {
        let sealed = unhex(refused.as_str().unwrap());
        assert!(secret.open((&from, &to), &sealed, NOW * 1000).is_err());
    }
}

#[test]
fn receipts_and_trees() {
    let trees = (1..=9u8).map(|count| {
        let leaves: Vec<Hash> = (1..=count).map(|n| item(n).leaf().unwrap()).collect();
        let last = merkle::path(&leaves, leaves.len() - 1);
        json!({
            "leaves": leaves.iter().map(|l| hex(&l.0)).collect::<Vec<_>>(),
            "root": hex(&merkle::root(&leaves).0),
            "path_of_last": last.iter()
                .map(|s| json!({ "hash": hex(&s.hash.0), "left": s.left })).collect::<Vec<_>>(),
        })
    });
    let receipts = receipts();
    let made = json!({
        "network": network().name(),
        "items": (1..=9u8).map(|n| case("ReceiptItem", &item(n))).collect::<Vec<_>>(),
        "trees": trees.collect::<Vec<_>>(),
        "accepted": case("Accepted", &accepted()),
        "receipts": receipts.iter().map(|r| case("Receipt", r)).collect::<Vec<_>>(),
    });
    let golden = golden("receipts.json", &made);
    for (case, number) in list(&golden["items"]).iter().zip(1..) {
        reads(case, &item(number));
    }
    reads(&golden["accepted"], &accepted());
    for (case, receipt) in list(&golden["receipts"]).iter().zip(&receipts) {
        reads(case, receipt);
        assert_eq!(receipt.verify(&network()).unwrap().commit, 42);
        let other = ReceiptItem { copies: 99, ..receipt.item.clone() };
        assert!(Receipt { item: other, ..receipt.clone() }.verify(&network()).is_err());
    }
}

#[test]
fn frames() {
    let frames = sample_frames::frames();
    for (name, number) in Frame::KINDS {
        assert!(frames.iter().any(|(_, f)| f.kind() == *number), "no vector of a {name}");
    }
    let made: Vec<Value> = frames
        .iter()
        .map(|(about, frame)| {
            let encoded = encode_frame(frame);
            json!({
                "about": about, "frame": frame.name(), "kind": frame.kind(),
                "hex": hex(&encoded), "diagnostic": cbor::diagnostic(&encoded[5..]),
            })
        })
        .collect();
    let golden = golden("frames.json", &made.into());
    for (case, (_, frame)) in list(&golden).iter().zip(&frames) {
        let bytes = bytes(case, "hex");
        assert_eq!(bytes[..4], (bytes.len() as u32 - 4).to_be_bytes());
        assert_eq!(decode_frame(&bytes).as_ref(), Ok(&Some(frame.clone())));
        assert_eq!(encode_frame(frame), bytes);
    }
}

/// The root of a table, by the words of `spec/node.md` and not by the crate.
fn root_of(table: &[Value]) -> [u8; 32] {
    let mut values = Vec::new();
    for bucket in 0..=255u8 {
        let mut input = Vec::new();
        for row in table.iter().filter(|row| row["current"] == true) {
            let (node, hash) = (bytes(row, "node"), bytes(row, "record_hash"));
            if node[0] == bucket {
                input.extend_from_slice(&node[..8]);
                input.extend_from_slice(&hash[..8]);
            }
        }
        let value = blake3::derive_key("postroad v1 nodes bucket", &input);
        values.extend_from_slice(if input.is_empty() { &[0; 8] } else { &value[..8] });
    }
    blake3::derive_key("postroad v1 nodes root", &values)
}

#[test]
fn tables_of_nodes() {
    let rows = node_table().into_iter().map(|(node, hash, current)| {
        json!({ "node": hex(&node), "record_hash": hex(&hash.0), "current": current })
    });
    let buckets = digest_buckets();
    let filled = (0..256).filter(|number| buckets[*number] != [0; 8]);
    let entries: Vec<u8> = node_table()
        .iter()
        .filter(|(node, _, current)| *current && node[0] == 0x2a)
        .flat_map(|(node, hash, _)| [&node[..8], &hash.0[..8]].concat())
        .collect();
    let digested =
        NodesDigested { root: digest_root(), buckets: buckets.as_flattened().to_vec().into() };
    let same = NodesDigested { buckets: vec![].into(), ..digested.clone() };
    let listed = NodesListed { rest: 256, entries: entries.into() };
    let nodes = Nodes { records: vec![signed_node_record()] };
    let made = json!({
        "table": rows.collect::<Vec<_>>(),
        "buckets": filled
            .map(|number| json!({ "number": number, "value": hex(&buckets[number]) }))
            .collect::<Vec<_>>(),
        "root": hex(&digest_root().0),
        "root_of_no_nodes": hex(&digest::root(&[[0; 8]; 256]).0),
        "digested": case("NodesDigested", &digested),
        "digested_same": case("NodesDigested, of equal tables", &same),
        "listed": case("NodesListed, of bucket 42", &listed),
        "nodes": case("Nodes", &nodes),
    });
    let golden = golden("nodes.json", &made);
    assert_eq!(root_of(list(&golden["table"])), *bytes(&golden, "root"));
    assert_eq!(root_of(&[]), *bytes(&golden, "root_of_no_nodes"));
    reads(&golden["digested"], &digested);
    reads(&golden["digested_same"], &same);
    reads(&golden["listed"], &listed);
    reads(&golden["nodes"], &nodes);
}

#[test]
fn hellos_and_refusals() {
    let hello = hello::hello(&network());
    let wrong = |at: usize, byte: u8| {
        let mut bytes = hello;
        bytes[at] = byte;
        bytes
    };
    let refusals: Vec<Value> = [ErrorCode::Version, ErrorCode::Network, ErrorCode::Busy]
        .map(|code| json!({ "name": code.name(), "hex": hex(&hello::refusal(code)) }))
        .to_vec();
    let made = json!({
        "network": network().name(),
        "hello": hex(&hello),
        "refused": [
            { "hex": hex(&wrong(0, 0x9f)), "answer": null },
            { "hex": hex(&wrong(3, 2)), "answer": "VERSION" },
            { "hex": hex(&wrong(19, hello[19] ^ 1)), "answer": "NETWORK" },
        ],
        "refusals": refusals,
    });
    let golden = golden("hello.json", &made);
    assert_eq!(hello::check(&bytes(&golden, "hello").try_into().unwrap(), &network()), Ok(()));
    for case in list(&golden["refused"]) {
        let code = hello::check(&bytes(case, "hex").try_into().unwrap(), &network()).unwrap_err();
        // What is no hello at all gets no answer.
        let answer = Some(code.name()).filter(|_| code != ErrorCode::Malformed);
        assert_eq!(answer, case["answer"].as_str());
    }
    for case in list(&golden["refusals"]) {
        let code = hello::parse_refusal(&bytes(case, "hex").try_into().unwrap()).unwrap();
        assert_eq!(code.name(), field(case, "name"));
    }
}

#[test]
fn links() {
    let node = NodeLink {
        network: network(),
        node: node(),
        addresses: vec!["post.example:4600".to_owned(), "192.0.2.7:4600".to_owned()],
        name: "post.example".to_owned(),
        p2p: vec![],
    };
    let peer = NodeLink {
        p2p: vec!["/ip4/192.0.2.7/tcp/7452".to_owned(), "/dns4/post.example/tcp/7452".to_owned()],
        ..node.clone()
    };
    let join = JoinLink { node: node.clone(), code: Some(invite()) };
    let open = JoinLink { code: None, ..join.clone() };
    let contact = ContactLink {
        account: alice(),
        home: node.clone(),
        backups: vec![],
        lookup_key: None,
        code: invite(),
        handle: "alice@post.example".to_owned(),
    };
    fn link<T: ToString + Serialize>(name: &str, link: &T) -> Value {
        let mut made = case(name, link);
        made["link"] = link.to_string().into();
        made
    }
    let text = node.to_string();
    let swapped = text.replace("postroad:node#", "postroad:join#");
    let made = json!({
        "node": link("NodeLink", &node),
        "peer": link("NodeLink for operators", &peer),
        "join": link("JoinLink", &join),
        "open": link("JoinLink of an open node", &open),
        "contact": link("ContactLink", &contact),
        "verify": link("VerifyLink", &VerifyLink { mine: alice(), yours: bob() }),
        "device": link("DeviceLink", &DeviceLink { home: node.clone(), secret: link_secret() }),
        "refused": [
            { "why": "another kind", "link": swapped },
            { "why": "cut", "link": text[..text.len() - 1] },
            { "why": "a character changed", "link": text.replacen("#A", "#B", 1) },
            { "why": "another scheme", "link": text.replacen("postroad", "http", 1) },
        ],
    });
    let golden = golden("links.json", &made);
    reads(&golden["node"], &node);
    reads(&golden["peer"], &peer);
    reads(&golden["join"], &join);
    reads(&golden["open"], &open);
    reads(&golden["contact"], &contact);
    assert_eq!(field(&golden["node"], "link").parse(), Ok(node));
    assert_eq!(field(&golden["peer"], "link").parse(), Ok(peer));
    assert_eq!(field(&golden["join"], "link").parse(), Ok(join));
    assert_eq!(field(&golden["open"], "link").parse(), Ok(open));
    assert_eq!(field(&golden["contact"], "link").parse(), Ok(contact));
    for case in list(&golden["refused"]) {
        assert!(field(case, "link").parse::<NodeLink>().is_err(), "{case}");
        assert!(field(case, "link").parse::<JoinLink>().is_err(), "{case}");
    }
}

/// Both sides with fixed ephemeral keys, by the tests' own Noise. That this is the Noise of the
/// crate, `tests/channel.rs` shows with live handshakes.
#[test]
fn noise_transcript() {
    let (alice_ephemeral, node_ephemeral) = ([0xa1; 32], [0xa2; 32]);
    let prologue = hello::hello(&network());
    let mut client = noise::Handshake::new(true, ALICE_NOISE, alice_ephemeral, &prologue);
    let mut node = noise::Handshake::new(false, NODE_NOISE, node_ephemeral, &prologue);
    let record = codec::encode(&signed_node_record()).unwrap();
    let first = client.write(0, &[]);
    assert_eq!(node.read(0, &first), Some(vec![]));
    let second = node.write(1, &record);
    assert_eq!(client.read(1, &second).as_ref(), Some(&record));
    let third = client.write(2, &[]);
    assert_eq!(node.read(2, &third), Some(vec![]));
    assert_eq!(client.hash, node.hash);
    let (mut up, mut down) = client.split();
    let keys = (up.key, down.key);
    let hello_frame = encode_frame(&sample_frames::frames()[0].1);
    let up_wire = up.seal(&hello_frame);
    let down_wire = down.seal(b"");
    up.rekey();
    up.nonce = 65_536;
    let made = json!({
        "network": network().name(),
        "prologue": hex(&prologue),
        "client_static_secret": hex(&ALICE_NOISE),
        "client_static_public": hex(&public_key(&NoiseSecret(ALICE_NOISE)).0),
        "client_ephemeral_secret": hex(&alice_ephemeral),
        "node_static_secret": hex(&NODE_NOISE),
        "node_static_public": hex(&public_key(&NoiseSecret(NODE_NOISE)).0),
        "node_ephemeral_secret": hex(&node_ephemeral),
        "node_record": hex(&record),
        "messages": [hex(&first), hex(&second), hex(&third)],
        "handshake_hash": hex(&client.hash),
        "client_to_node_key": hex(&keys.0),
        "node_to_client_key": hex(&keys.1),
        "client_to_node": { "plaintext": hex(&hello_frame), "wire": hex(&up_wire) },
        "node_to_client": { "plaintext": "", "wire": hex(&down_wire) },
        "client_to_node_key_after_65536_messages": hex(&up.key),
        "client_to_node_message_65537": { "plaintext": hex(b"after"), "wire": hex(&up.seal(b"after")) },
    });
    golden("noise.json", &made);
}
