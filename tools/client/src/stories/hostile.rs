//! Homes that mean no good.

use postroad_proto::frame::{Claimed, Done, Frame, Notice, Records};
use postroad_proto::record::{Device, DeviceList};

use super::home::{Home, joined, while_serving};
use super::roads::{apart, key, node};
use super::*;
use crate::ConnectionError;
use crate::sync::Synced;
use crate::sync::keys::{Question, Wish};

#[tokio::test]
async fn a_home_that_talks_without_end_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::start().await;
    let mut client = joined(&home, directory.path()).await;
    let mut bob = Person::new();
    let (row, _) = {
        bob.befriend(&mut Person::new(), "carol");
        bob.writes("carol", "hi").unwrap()
    };
    let envelope = bob.offers(NOW).into_iter().find(|offer| offer.row == row).unwrap().envelope;
    let push = |seq| Push {
        seq,
        attributes: envelope.attributes(),
        label: None,
        origin: None,
        tag: None,
        body_hash: envelope.body_hash,
        header: None,
        body: envelope.body.clone(),
    };
    let news = || Notice { seq: 0, receipts: None, refused: None, generation: None };
    // Something else again and again, in the place of an answer; and more mail than was asked for.
    let babble: Vec<Frame> = (0..3000).map(|_| news().into()).collect();
    let flood: Vec<Frame> = (1..200).map(|seq| push(seq).into()).collect();
    for answer in [babble, flood] {
        let script = |frame: &Frame| matches!(frame, Frame::Ping(_)).then(|| answer.clone());
        let synced = while_serving(&home, script, client.sync()).await;
        assert!(matches!(synced, Ok(Synced::Offline(ConnectionError::Protocol(_)))), "{synced:?}");
    }
    let synced = while_serving(&home, |_| None, client.sync()).await;
    assert!(matches!(synced, Ok(Synced::Online)), "{synced:?}");
}

/// What Alice goes by when she seals for Bob.
fn believes(alice: &mut Person, bob: &Person) -> (u64, Vec<u8>) {
    let contact = alice.contact(bob.account);
    let list = contact.device_list().unwrap().unwrap();
    (list.seq, list.devices.iter().map(|device| device.number).collect())
}

fn asked(contact: AccountId, wish: Wish) -> Question {
    Question { contact, node: node(20), patience: std::time::Duration::ZERO, wish }
}

fn answers(result: &impl Serialize) -> Done {
    let result = Some(codec::encode(result).unwrap().into());
    Done { request: 1, code: None, result, retry_after: 0, detail: String::new() }
}

#[test]
fn a_device_that_a_node_adds_or_swaps_gets_nothing() {
    let (mut alice, mut bob) = apart();
    let their = bob.own();
    let network = their.network.clone();
    let honest = their.devices.open(&network).unwrap();
    let before = believes(&mut alice, &bob);
    let spy = Person::new().own().devices.open(&network).unwrap().devices.remove(0);
    let mut added = honest.clone();
    added.devices.push(Device { number: 2, ..spy.clone() });
    let mut swapped = honest.clone();
    swapped.devices[0] = Device { number: 1, ..spy };
    let question = asked(bob.account, Wish::Records { token: Some(REDEEMED) });
    for list in [added, swapped] {
        let list = DeviceList { seq: honest.seq + 1, ..list };
        // Signed by the node, since it has no other key; with Bob's record, and with one of its own.
        let devices = Signed::new(&list, &key(20), &network).unwrap();
        let mut record = their.record.open(&network).unwrap();
        (record.seq, record.devices) = (record.seq + 1, devices.hash());
        let own_record = Signed::new(&record, &key(20), &network).unwrap();
        for record in [their.record.clone(), own_record] {
            let records =
                Records { record, devices: devices.clone(), handle: None, fallback: vec![] };
            alice.hears(&question, &answers(&records));
            assert_eq!(believes(&mut alice, &bob), before);
        }
    }
    assert_eq!(alice.problems(), ["bad_record"; 4]);
    // An older list of Bob's own is no news either.
    let newer = DeviceList { seq: honest.seq + 1, ..honest };
    let devices = Signed::new(&newer, &their.account_key(), &network).unwrap();
    let record = their.signs(2, |record| record.devices = devices.hash());
    let new = Records { record, devices, handle: None, fallback: vec![] };
    let (record, devices) = (their.record.clone(), their.devices.clone());
    let old = Records { record, devices, handle: None, fallback: vec![] };
    for records in [&new, &old] {
        alice.hears(&question, &answers(records));
        assert_eq!(believes(&mut alice, &bob).0, newer.seq);
    }
    assert_eq!(alice.problems(), ["bad_record"; 4], "an older one of theirs is no forgery");
}

#[test]
fn a_prekey_that_a_node_swaps_is_not_used() {
    let (mut alice, mut bob) = apart();
    alice.execute("DELETE FROM prekey");
    let (row, _) = alice.writes("bob", "for Bob alone").unwrap();
    let claim = Wish::Claim { token: Some(REDEEMED), devices: vec![1] };
    let question = asked(bob.account, claim);
    let foreign = Claimed { prekeys: vec![Person::new().prekey()] };
    alice.hears(&question, &answers(&foreign));
    assert!(alice.offers(NOW).is_empty(), "it waits for a key of Bob's");
    assert_eq!(alice.problems(), ["bad_prekey"]);
    let own = Claimed { prekeys: vec![bob.prekey()] };
    alice.hears(&question, &answers(&own));
    let offer = only(alice.offers(NOW));
    assert_eq!(offer.row, row);
    bob.gets(&offer.envelope);
    assert_eq!(bob.texts(), ["for Bob alone"]);
    // The same key once more, for another session: Bob has used it up.
    alice.execute("DELETE FROM session");
    alice.execute("DELETE FROM prekey");
    alice.hears(&question, &answers(&own));
    alice.writes("bob", "again").unwrap();
    bob.gets(&alice.offers(NOW).pop().unwrap().envelope);
    assert_eq!((bob.texts().len(), bob.problems()), (1, vec!["unopened".to_owned()]));
}
