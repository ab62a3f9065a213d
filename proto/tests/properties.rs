//! Properties of everything that crosses a wire: it comes back as it was sent, and what was changed
//! on the way neither panics nor passes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use bytes::BytesMut;
use common::arbitrary::*;
use common::arbitrary_frames::frame;
use common::sample_frames::frames;
use common::samples::{self, network};
use common::{cbor, decode_frame, encode_frame, unhex};
use core::fmt::Debug;
use postroad_proto::codec::{self, CodecError};
use postroad_proto::content::Message;
use postroad_proto::envelope::Envelope;
use postroad_proto::frame::{Done, Frame, Nodes, NodesListed};
use postroad_proto::ids::{Hash, NodeId};
use postroad_proto::limits::{MAX_FRAME, MAX_NODE_RECORD, MAX_NODES, MAX_PATH};
use postroad_proto::link::{ContactLink, JoinLink, NodeLink};
use postroad_proto::merkle::{self, Step};
use postroad_proto::pair::{ContentKey, PairError, SealSecret, open_body, open_header, seal_body};
use postroad_proto::receipt::Receipt;
use postroad_proto::record::{AccountRecord, Deletion, NodeRecord};
use postroad_proto::signed::{self, Purpose, Signable, Signed, SignedError};
use proptest::prelude::*;
use proptest::test_runner::Config;
use serde::{Deserialize, Serialize};

fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// What a damaged signed object must not do: verify as anything but what was signed.
fn never_verifies<T: Signable>(signed: &Signed<T>, damage: &[Damage]) -> Result<(), TestCaseError> {
    let whole = codec::encode(signed).unwrap();
    for damage in damage {
        if let Ok(other) = codec::decode::<Signed<T>>(&damage.apply(&whole), 8192) {
            let same = other == *signed;
            prop_assert_eq!(other.open(&network()).is_ok(), same);
        }
        let payload = damage.apply(&signed.payload);
        if payload != *signed.payload {
            let other = Forged { payload: payload.into(), signature: signed.signature };
            let other: Signed<T> = codec::decode(&codec::encode(&other).unwrap(), 8192).unwrap();
            prop_assert!(other.open(&network()).is_err());
        }
    }
    Ok(())
}

/// A signed object whose parts do not belong together.
#[derive(Serialize)]
struct Forged {
    payload: postroad_proto::blob::Blob,
    #[serde(with = "serde_bytes")]
    signature: [u8; 64],
}

fn returns<T: Signable + PartialEq + Debug>(
    (signed, value): &(Signed<T>, T),
) -> Result<(), TestCaseError> {
    let bytes = codec::encode(signed).unwrap();
    let read: Signed<T> = codec::decode(&bytes, 8192).unwrap();
    prop_assert_eq!(read.open(&network()), Ok(codec::decode(&signed.payload, 8192).unwrap()));
    prop_assert_eq!(&read.open(&network()).unwrap(), value);
    prop_assert_eq!(codec::encode(&read).unwrap(), bytes);
    Ok(())
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn frames_round_trip(frame in frame()) {
        let bytes = encode_frame(&frame);
        let read = decode_frame(&bytes).unwrap().unwrap();
        prop_assert_eq!(&read, &frame);
        prop_assert_eq!(encode_frame(&read), bytes);
    }

    #[test]
    fn frames_come_off_a_stream_however_it_is_cut(
        frames in prop::collection::vec(frame(), 1..4),
        cuts in prop::collection::vec(1usize..3000, 1..8),
    ) {
        // What nobody knows stands between them, and is passed over.
        let unknown = [0, 0, 0, 3, 200, 0xff, 0xff];
        let stream: Vec<u8> =
            frames.iter().flat_map(|f| [unknown.as_slice(), &encode_frame(f)].concat()).collect();
        let mut rest = stream.as_slice();
        let mut cuts = cuts.iter().cycle();
        let mut buffer = BytesMut::new();
        let mut read = Vec::new();
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            buffer.extend_from_slice(part);
            rest = after;
            while let Some(frame) = Frame::take_from(&mut buffer).unwrap() {
                read.push(frame);
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(read, frames);
    }

    #[test]
    fn damaged_frames_do_not_panic(frame in frame(), damage in prop::collection::vec(damage(), 16)) {
        let bytes = encode_frame(&frame);
        for damage in damage {
            let bytes = damage.apply(&bytes[4..]);
            if let Ok(Some(read)) = Frame::decode(&bytes.into()) {
                // What is taken has a meaning of its own, which survives being written.
                let again = decode_frame(&encode_frame(&read)).unwrap().unwrap();
                prop_assert_eq!(again, read);
            }
        }
    }

    #[test]
    fn damaged_envelopes_do_not_panic(
        envelope in envelope(), damage in prop::collection::vec(damage(), 16),
    ) {
        let bytes = codec::encode(&envelope).unwrap();
        for damage in damage {
            if let Ok(read) = codec::decode::<Envelope>(&damage.apply(&bytes), MAX_FRAME) {
                let _ = read.validate();
                read.routes.iter().flat_map(|r| &r.parcels).for_each(|p| {
                    read.parcel_id(p, &network());
                });
            }
        }
    }

    #[test]
    fn envelopes_round_trip_and_parcel_ids_cover_what_they_should(envelope in envelope()) {
        let bytes = codec::encode(&envelope).unwrap();
        let read: Envelope = codec::decode(&bytes, MAX_FRAME).unwrap();
        prop_assert_eq!(&read, &envelope);
        prop_assert_eq!(codec::encode(&read).unwrap(), bytes);
        prop_assert_eq!(envelope.validate(), Ok(()));
        let parcel = &envelope.routes[0].parcels[0];
        let id = envelope.parcel_id(parcel, &network());

        let mut same = (envelope.clone(), parcel.clone());
        same.0.stamp = vec![1].into();
        same.0.routes.clear();
        (same.1.token, same.1.tag, same.1.label) = (None, None, None);
        prop_assert_eq!(same.0.parcel_id(&same.1, &network()), id);

        let changes: [fn(&mut Envelope); 5] = [
            |e| e.version += 1,
            |e| e.flags ^= 1,
            |e| e.class ^= 1,
            |e| e.mode += 1,
            |e| e.deadline ^= 1,
        ];
        for change in changes {
            let mut other = envelope.clone();
            change(&mut other);
            prop_assert_ne!(other.parcel_id(parcel, &network()), id);
        }
        let mut other = parcel.clone();
        other.account.0[0] ^= 1;
        prop_assert_ne!(envelope.parcel_id(&other, &network()), id);
        let mut other = parcel.clone();
        other.headers[0].device ^= 1;
        prop_assert_ne!(envelope.parcel_id(&other, &network()), id);
        prop_assert_ne!(envelope.parcel_id(parcel, &"other".parse().unwrap()), id);
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn records_round_trip(
        node in node_record(), account in account_record(), devices in device_list(),
        handle in handle_record(), root in receipt_root(), deletion in deletion(),
    ) {
        returns(&deletion)?;
        returns(&node)?;
        returns(&account)?;
        returns(&devices)?;
        returns(&handle)?;
        returns(&root)?;
    }

    #[test]
    fn damaged_records_never_verify(
        node in node_record(), account in account_record(), devices in device_list(),
        handle in handle_record(), root in receipt_root(),
        deletion in deletion(), damage in prop::collection::vec(damage(), 8),
    ) {
        never_verifies(&deletion.0, &damage)?;
        never_verifies(&node.0, &damage)?;
        never_verifies(&account.0, &damage)?;
        never_verifies(&devices.0, &damage)?;
        never_verifies(&handle.0, &damage)?;
        never_verifies(&root.0, &damage)?;
    }

    #[test]
    fn a_signature_is_worth_nothing_elsewhere(payload in any::<Vec<u8>>(), seed in any::<[u8; 32]>()) {
        let purposes = [
            Purpose::NodeRecord, Purpose::AccountRecord, Purpose::DeviceList,
            Purpose::HandleRecord, Purpose::ReceiptRoot, Purpose::Prekey, Purpose::Queued,
            Purpose::StewardCert, Purpose::Deletion,
        ];
        let key = samples::key(seed);
        let public = key.verifying_key().to_bytes();
        for made in purposes {
            let signature = signed::sign(&key, made, &network(), &payload);
            for used in purposes {
                let result = signed::verify(&public, used, &network(), &payload, &signature);
                prop_assert_eq!(result.is_ok(), made == used);
            }
            let other = "other".parse().unwrap();
            let result = signed::verify(&public, made, &other, &payload, &signature);
            prop_assert_eq!(result, Err(SignedError::BadSignature));
            let malleable = plus_group_order(&signature);
            let result = signed::verify(&public, made, &network(), &payload, &malleable);
            prop_assert_eq!(result, Err(SignedError::BadSignature));
        }
    }

    #[test]
    fn links_round_trip(node in node_link(), join in join_link(), contact in contact_link()) {
        prop_assert_eq!(node.to_string().parse::<NodeLink>(), Ok(node));
        let with_space = [" ", &join.to_string(), "\n"].concat();
        prop_assert_eq!(with_space.parse::<JoinLink>(), Ok(join));
        prop_assert_eq!(contact.to_string().parse::<ContactLink>(), Ok(contact));
    }

    #[test]
    fn damaged_links_are_noticed(
        link in contact_link(), at in any::<prop::sample::Index>(), c in "[ -~]",
    ) {
        let text = link.to_string();
        let at = at.index(text.len());
        let damaged = format!("{}{c}{}", &text[..at], &text[at + 1..]);
        if damaged != text {
            prop_assert!(damaged.parse::<ContactLink>().is_err());
        }
        prop_assert!(text[..at].parse::<ContactLink>().is_err());
        prop_assert!(text.parse::<NodeLink>().is_err());
        prop_assert!(text.parse::<JoinLink>().is_err());
    }

    #[test]
    fn any_text_is_no_link_or_id(text in any::<String>()) {
        prop_assert!(text.parse::<NodeLink>().is_err());
        let behind_the_kind = ["postroad:node#", &text].concat();
        prop_assert!(behind_the_kind.parse::<NodeLink>().is_err());
        prop_assert!(text.parse::<NodeId>().is_err());
    }

    #[test]
    fn any_bytes_decode_to_nothing_harmful(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Frame::decode(&bytes.clone().into());
        let _ = codec::decode::<Message>(&bytes, 1024);
        let _ = codec::decode::<Signed<NodeRecord>>(&bytes, 1024);
        let key = ContentKey([1; 32]);
        prop_assert!(open_body(&key, &samples::attributes(), &bytes).is_err());
        let secret = SealSecret([2; 32]);
        let hash = samples::envelope().body_hash;
        prop_assert!(open_header(&secret, (samples::bob(), 1), &hash, &bytes).is_err());
    }

    #[test]
    fn damaged_bodies_do_not_open(plaintext in any::<Vec<u8>>(), damage in prop::collection::vec(damage(), 16)) {
        let key = ContentKey([1; 32]);
        let body = seal_body(&key, &samples::attributes(), &plaintext).unwrap();
        for damage in damage {
            let damaged = damage.apply(&body);
            if damaged != body {
                let opened = open_body(&key, &samples::attributes(), &damaged);
                prop_assert!(matches!(opened, Err(PairError::Decrypt | PairError::Commitment)));
            }
        }
    }
}

/// Later versions add keys at the end: what we sign today must not break on it.
#[test]
fn unknown_keys_are_ignored() {
    for (about, frame) in frames() {
        let bytes = encode_frame(&frame);
        for extra in ["f6", "00", "f4", "a10080", "8101", "421122"] {
            let body = cbor::with_extra_key(&bytes[5..], &unhex(extra));
            let longer = [&bytes[4..5], &body].concat();
            let read = Frame::decode(&longer.into());
            assert_eq!(read, Ok(Some(frame.clone())), "{about}");
        }
    }
    let key = samples::key(samples::NODE_SEED);
    let payload = cbor::with_extra_key(&codec::encode(&samples::node_record()).unwrap(), &[0xf5]);
    let signature = signed::sign(&key, Purpose::NodeRecord, &network(), &payload);
    let forged = Forged { payload: payload.into(), signature };
    let read: Signed<NodeRecord> =
        codec::decode(&codec::encode(&forged).unwrap(), MAX_FRAME).unwrap();
    assert_eq!(read.open(&network()), Ok(samples::node_record()));
}

#[test]
fn unknown_frames_are_passed_over() {
    for kind in 0..=255u8 {
        let known = Frame::KINDS.iter().any(|(_, number)| *number == kind);
        let read = Frame::decode(&vec![kind, 0xff].into());
        assert_eq!(read == Ok(None), !known, "kind {kind}");
    }
}

/// A structure as an older and as a newer version have it.
#[test]
fn added_optional_fields_decode_both_ways() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Older {
        text: String,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Newer {
        text: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mood: Option<u64>,
        #[serde(default)]
        loud: bool,
    }
    let newer = Newer { text: "hi".to_owned(), mood: Some(7), loud: true };
    let older: Older = codec::decode(&codec::encode(&newer).unwrap(), 64).unwrap();
    assert_eq!(older, Older { text: "hi".to_owned() });
    let newer: Newer = codec::decode(&codec::encode(&older).unwrap(), 64).unwrap();
    assert_eq!(newer, Newer { text: "hi".to_owned(), mood: None, loud: false });
    let skipped = Newer { text: "hi".to_owned(), mood: None, loud: true };
    let bytes = codec::encode(&skipped).unwrap();
    assert_eq!(cbor::diagnostic(&bytes), "{0: \"hi\", 2: true}", "a skipped key keeps its number");
    assert_eq!(codec::decode::<Newer>(&bytes, 64), Ok(skipped));
}

/// A record signed as it is, without the checks that a writer makes.
fn opened<T: Signable + Debug>(value: &T, seed: [u8; 32]) -> Result<T, SignedError> {
    let payload = codec::encode(value).unwrap();
    let signature = signed::sign(&samples::key(seed), T::PURPOSE, &network(), &payload);
    let forged = codec::encode(&Forged { payload: payload.into(), signature }).unwrap();
    codec::decode::<Signed<T>>(&forged, MAX_FRAME).unwrap().open(&network())
}

#[test]
fn records_that_break_a_rule_are_refused_though_well_signed() {
    let node = samples::node_record;
    let account = samples::account_record;
    let list = samples::device_list;
    let refused = [
        opened(&NodeRecord { version: 2, ..node() }, samples::NODE_SEED).is_err(),
        opened(&NodeRecord { flags: 1 << 16, ..node() }, samples::NODE_SEED).is_err(),
        opened(&NodeRecord { flags: 1 << 31, ..node() }, samples::NODE_SEED).is_err(),
        opened(&NodeRecord { name: "a".repeat(254), ..node() }, samples::NODE_SEED).is_err(),
        opened(&NodeRecord { versions: (2, 1), ..node() }, samples::NODE_SEED).is_err(),
        opened(&NodeRecord { expires: 0, ..node() }, samples::NODE_SEED).is_err(),
        opened(&NodeRecord { region: "r".repeat(1024), ..node() }, samples::NODE_SEED).is_err(),
        opened(&AccountRecord { seq: 0, ..account() }, samples::ALICE_SEED).is_err(),
        opened(&AccountRecord { flags: 1 << 20, ..account() }, samples::ALICE_SEED).is_err(),
        opened(
            &AccountRecord { backups: vec![samples::node(); 3], ..account() },
            samples::ALICE_SEED,
        )
        .is_err(),
        opened(&AccountRecord { steward: Some(vec![1].into()), ..account() }, samples::ALICE_SEED)
            .is_err(),
        // Signed by somebody else than the account that the record is about.
        opened(&account(), samples::BOB_SEED).is_err(),
    ];
    assert_eq!(refused, [true; 12]);
    let lists = [
        vec![],
        vec![list().devices[0].clone(); 9],
        vec![list().devices[0].clone(); 2],
        list().devices.into_iter().rev().collect(),
    ];
    for devices in lists {
        let one = postroad_proto::record::DeviceList { devices, ..list() };
        assert!(opened(&one, samples::ALICE_SEED).is_err());
    }
    let mut other_olm = list();
    other_olm.devices[1].olm_version = 2;
    assert!(opened(&other_olm, samples::ALICE_SEED).is_err());
    let early = Deletion { delete_at: samples::NOW - 1, ..samples::deletion() };
    assert!(opened(&early, samples::ALICE_SEED).is_err());
    assert!(opened(&samples::deletion(), samples::OLM_SEED).is_err(), "no linked device");
    let how = postroad_proto::record::HandleRecord { how: 5, ..samples::handle_record() };
    assert!(opened(&how, samples::NODE_SEED).is_err());
    // What is not critical passes.
    assert!(opened(&NodeRecord { flags: 1, ..node() }, samples::NODE_SEED).is_ok());
}

#[test]
fn keys_of_small_order_sign_nothing() {
    for weak in SMALL_ORDER {
        let key: [u8; 32] = unhex(weak).try_into().unwrap();
        let mut signature = [0; 64];
        signature[0] = 1;
        let result =
            signed::verify(&key, Purpose::AccountRecord, &network(), b"anything", &signature);
        assert_eq!(result, Err(SignedError::WeakKey), "{weak}");
    }
}

#[test]
fn a_frame_above_the_limit_is_neither_written_nor_read() {
    let Frame::Push(mut push) =
        frames().into_iter().find_map(|(_, f)| matches!(f, Frame::Push(_)).then_some(f)).unwrap()
    else {
        panic!("expected a push");
    };
    push.body = vec![0; MAX_FRAME].into();
    let result = Frame::Push(push.clone()).encode_into(&mut Vec::new());
    assert!(matches!(result, Err(CodecError::TooLarge { .. })));
    let body = codec::encode(push.as_ref()).unwrap();
    let read = Frame::decode(&[&[68], body.as_slice()].concat().into());
    assert!(matches!(read, Err(CodecError::TooLarge { .. })));
    // On a stream it is not even waited for; nor is one without a kind.
    let head = |length: u32| BytesMut::from(length.to_be_bytes().as_slice());
    let read = Frame::take_from(&mut head(MAX_FRAME as u32 + 1));
    assert!(matches!(read, Err(CodecError::TooLarge { .. })));
    assert_eq!(Frame::take_from(&mut head(MAX_FRAME as u32)), Ok(None));
    assert_eq!(Frame::take_from(&mut head(0)), Err(CodecError::Truncated));
}

/// The most that an answer about the table of nodes carries still fits a frame.
#[test]
fn the_largest_answers_between_nodes_fit_a_frame() {
    let mut record = samples::node_record();
    let room = MAX_NODE_RECORD - codec::encode(&record).unwrap().len();
    record.region = "r".repeat(room + record.region.len() - 2);
    let signed = Signed::new(&record, &samples::key(samples::NODE_SEED), &network()).unwrap();
    assert!(signed.payload.len() > MAX_NODE_RECORD - 4);
    let fits = |result: Vec<u8>| {
        let done = Done {
            request: u64::MAX,
            code: None,
            result: Some(result.into()),
            retry_after: 0,
            detail: String::new(),
        };
        Frame::from(done).encode_into(&mut Vec::new()).is_ok()
    };
    assert!(fits(codec::encode(&Nodes { records: vec![signed; MAX_NODES] }).unwrap()));
    let listed = NodesListed { rest: 256, entries: vec![0xff; 4096 * 16].into() };
    assert!(fits(codec::encode(&listed).unwrap()));
    assert!(!fits(vec![0; MAX_FRAME]));
}

/// Whoever signs could make a path of any length lead to its root.
#[test]
fn a_receipt_with_too_long_a_path_is_refused() {
    let verifies = |steps: usize| {
        let item = samples::item(1);
        let path: Vec<Step> =
            (0..steps).map(|n| Step { hash: Hash([n as u8; 32]), left: n % 2 == 0 }).collect();
        let mut root = samples::accepted().root.open(&network()).unwrap();
        root.merkle_root = merkle::climb(item.leaf().unwrap(), &path);
        let root = Signed::new(&root, &samples::key(samples::NODE_SEED), &network()).unwrap();
        Receipt { item, path, root }.verify(&network()).is_ok()
    };
    assert!(verifies(0));
    assert!(verifies(MAX_PATH));
    assert!(!verifies(MAX_PATH + 1));
}

/// Every secret byte is 0xa7, so that it would show in any notation.
#[test]
fn debug_shows_no_secret() {
    use postroad_proto::frame::{PrekeysClaim, Register, TokensRedeem};
    use postroad_proto::noise::NoiseSecret;
    use postroad_proto::token::{DeliveryToken, InviteCode, Proof, TokenSecret};
    let token = DeliveryToken([0xa7; 16]);
    let invite = InviteCode([0xa7; 16]);
    let proof = Proof { token: Some(token.clone()), invite: Some(invite.clone()), handle: None };
    let node = NodeLink {
        network: network(),
        node: samples::node(),
        addresses: vec![],
        name: String::new(),
        p2p: vec![],
    };
    let contact = ContactLink {
        account: samples::alice(),
        home: node.clone(),
        backups: vec![],
        lookup_key: None,
        code: invite.clone(),
        handle: String::new(),
    };
    let redeem = TokensRedeem {
        request: 1,
        node: samples::node(),
        account: samples::bob(),
        invite: invite.clone(),
        token: token.hash(),
    };
    let register = Register {
        request: 1,
        invite: Some(invite.clone()),
        handle: None,
        record: samples::signed_account_record(),
        devices: samples::signed_device_list(),
        proof: None,
    };
    let claim = PrekeysClaim {
        request: 1,
        node: samples::node(),
        account: samples::bob(),
        devices: vec![],
        proof: proof.clone(),
    };
    let mut envelope = samples::envelope();
    envelope.routes[0].parcels[0].token = Some(token.clone());
    let shown = [
        format!("{token:?} {invite:?} {proof:?}"),
        format!("{:?} {:?}", TokenSecret([0xa7; 32]), ContentKey([0xa7; 32])),
        format!("{:?} {:?}", SealSecret([0xa7; 32]), NoiseSecret([0xa7; 32])),
        format!("{:?} {contact:?}", JoinLink { node, code: Some(invite) }),
        format!("{redeem:?} {register:?} {claim:?} {envelope:?}"),
        format!("{:?}", postroad_proto::content::Card { token, ..samples::card() }),
    ];
    for text in shown {
        for notation in ["a7a7", "A7A7", "167, 167", "u6t2", "p6en", "p6en".to_uppercase().as_str()]
        {
            assert!(!text.contains(notation), "{notation} in {text}");
        }
    }
}
