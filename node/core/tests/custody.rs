//! Stories of custody: what is accepted is kept, delivered, and let go.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use cluster::{Cluster, stored, two_friends};
use postroad_core::Config;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Ack, Frame, Ping};
use postroad_proto::receipt::{self, ReceiptKind};

const PLENTY: u64 = 1 << 20;

#[test]
fn a_message_accepted_outlives_the_node_and_is_delivered_once() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, at_bob) = two_friends(&mut world);
    world.disconnect(at_bob);
    let envelope = alice.envelope(&bob, world.seconds() + 60, b"hello");
    let id = envelope.parcel_id(&envelope.routes[0].parcels[0], world.network());
    world.send(at_alice, 7, envelope);
    world.turn();
    let accepted = world.accepted(at_alice);
    assert_eq!(accepted.numbers, [7]);
    let receipts = receipt::split(&accepted.items, &accepted.path, &accepted.root).unwrap();
    let root = receipts[0].verify(world.network()).unwrap();
    assert_eq!((root.node, receipts[0].item.parcel), (world.node(), id));
    assert_eq!(receipts[0].item.kind, ReceiptKind::AtNode.number());

    world.power_loss(9);
    world.start();
    let at_bob = world.connect(&bob, 1);
    let generation = world.welcome(at_bob).generation;
    world.credit(at_bob, 10, PLENTY);
    let pushes = world.pushes(at_bob);
    assert_eq!(pushes.len(), 1);
    assert_eq!(&*pushes[0].body, b"hello");
    world.say(at_bob, Ack { generation, ranges: vec![(pushes[0].seq, pushes[0].seq)] });
    world.turn();
    assert_eq!(stored(world.store(), &bob, 1), 0);
    let again = world.connect(&bob, 1);
    world.credit(again, 10, PLENTY);
    assert!(world.pushes(again).is_empty());
}

#[test]
fn nothing_is_answered_when_the_sync_fails() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, _) = two_friends(&mut world);
    world.files().fail_next_sync(1);
    world.send(at_alice, 1, alice.envelope(&bob, world.seconds() + 60, b"lost"));
    world.turn();
    assert!(!world.is_running(), "a node that cannot sync stops");
    assert!(world.heard(at_alice).is_empty(), "and has said nothing");
}

#[test]
fn a_repeat_gets_a_fresh_receipt_and_is_stored_once() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, at_bob) = two_friends(&mut world);
    let envelope = alice.envelope(&bob, world.seconds() + 60, b"again");
    for number in 1..=3 {
        world.send(at_alice, number, envelope.clone());
        world.send(at_alice, number + 10, envelope.clone());
        world.turn();
        let accepted = world.accepted(at_alice);
        assert_eq!(accepted.numbers, [number, number + 10]);
    }
    assert_eq!(stored(world.store(), &bob, 1), 1);
    world.credit(at_bob, 10, PLENTY);
    let pushes = world.pushes(at_bob);
    world.say(at_bob, Ack { generation: 1, ranges: vec![(0, pushes[0].seq)] });
    world.turn();
    world.send(at_alice, 9, envelope);
    world.turn();
    assert_eq!(world.accepted(at_alice).numbers, [9], "known after it was delivered, too");
    assert_eq!(stored(world.store(), &bob, 1), 0);
}

#[test]
fn pushes_keep_within_credit_and_a_ping_comes_after_them() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, at_bob) = two_friends(&mut world);
    for n in 0..200u8 {
        world.send(at_alice, u64::from(n), alice.envelope(&bob, world.seconds() + 60, &[n; 300]));
    }
    world.turn();
    world.say(at_bob, Ping { request: 5 });
    world.turn();
    assert_eq!(world.done(at_bob).request, 5, "without credit nothing can be pushed");
    world.say(at_bob, Ping { request: 6 });
    world.credit(at_bob, 150, PLENTY);
    let heard = world.heard(at_bob);
    assert_eq!(heard.len(), 151);
    assert!(matches!(heard.last(), Some(Frame::Done(done)) if done.request == 6));
    let order: Vec<u8> = heard
        .iter()
        .filter_map(|frame| match frame {
            Frame::Push(push) => Some(push.body[0]),
            _ => None,
        })
        .collect();
    assert_eq!(order, (0..150).collect::<Vec<_>>());
    world.credit(at_bob, 150, PLENTY);
    assert_eq!(world.pushes(at_bob).len(), 50);
}

#[test]
fn a_full_mailbox_refuses_and_names_the_limit() {
    let config = Config { mailbox_messages: 5, ..Config::default() };
    let mut world = Cluster::with(config);
    let (alice, at_alice, bob, _) = two_friends(&mut world);
    for n in 0..6u8 {
        world.send(at_alice, u64::from(n), alice.envelope(&bob, world.seconds() + 60, &[n]));
    }
    world.turn();
    let heard = world.heard(at_alice);
    let refused = heard.iter().find_map(|frame| match frame {
        Frame::Refused(refused) => Some(refused),
        _ => None,
    });
    let refused = refused.expect("the sixth is refused");
    assert_eq!((refused.number, refused.code, refused.retriable), (5, ErrorCode::Quota, true));
    assert!(refused.detail.contains("5 messages"), "{}", refused.detail);
    assert_eq!(stored(world.store(), &bob, 1), 5);
}

#[test]
fn one_contact_fills_no_more_than_its_share() {
    let config = Config { mailbox_bytes: 100_000, token_share: 30, ..Config::default() };
    let mut world = Cluster::with(config);
    let (alice, at_alice, bob, _) = two_friends(&mut world);
    for n in 0..9u8 {
        world.send(at_alice, u64::from(n), alice.envelope(&bob, world.seconds() + 60, &[n; 8000]));
    }
    world.turn();
    let heard = world.heard(at_alice);
    let refused =
        heard.iter().filter(|f| matches!(f, Frame::Refused(r) if r.code == ErrorCode::Quota));
    assert_eq!(refused.count(), 6);
    assert_eq!(stored(world.store(), &bob, 1), 3);
}

#[test]
fn what_nobody_fetches_expires_and_its_sender_is_told() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, _) = two_friends(&mut world);
    let envelope = alice.envelope(&bob, world.seconds() + 60, b"too late");
    let id = envelope.parcel_id(&envelope.routes[0].parcels[0], world.network());
    world.send(at_alice, 1, envelope);
    world.turn();
    world.wait(60 + 599);
    world.turn();
    assert_eq!(stored(world.store(), &bob, 1), 1, "clocks differ by up to ten minutes");
    world.kill();
    world.wait(2);
    world.start();
    world.turn();
    assert_eq!(stored(world.store(), &bob, 1), 0);
    let at_alice = world.connect(&alice, 1);
    world.credit(at_alice, 10, PLENTY);
    let notices = world.notices(at_alice);
    let receipt = notices[0].receipts.clone().expect("receipts").split().next().unwrap();
    receipt.verify(world.network()).unwrap();
    assert_eq!((receipt.item.parcel, receipt.item.kind), (id, ReceiptKind::Expired.number()));
    let seq = notices[0].seq;
    world.say(at_alice, Ack { generation: 1, ranges: vec![(seq, seq)] });
    world.turn();
    assert_eq!(stored(world.store(), &alice, 1), 0);
}

#[test]
fn deadlines_past_or_too_far_are_refused() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, _) = two_friends(&mut world);
    world.send(at_alice, 1, alice.envelope(&bob, world.seconds() - 601, b"past"));
    world.turn();
    assert_eq!(world.refused(at_alice).code, ErrorCode::Expired);
    world.send(at_alice, 2, alice.envelope(&bob, world.seconds() + 40 * 86_400, b"far"));
    world.turn();
    assert_eq!(world.refused(at_alice).code, ErrorCode::TooLarge);
}

#[test]
fn a_full_disk_refuses_new_mail_delivers_the_old_and_recovers_by_itself() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, at_bob) = two_friends(&mut world);
    world.files().set_capacity(Some(3 << 20));
    let mut accepted = 0;
    let mut full = false;
    for n in 0..2000u64 {
        let body = vec![n as u8; 16_000];
        world.send(
            at_alice,
            n,
            alice.envelope(&bob, world.seconds() + 86_400, &[&body[..], &n.to_be_bytes()].concat()),
        );
        world.turn();
        match world.heard(at_alice).remove(0) {
            Frame::Accepted(_) => accepted += 1,
            Frame::Refused(refused) => {
                assert_eq!((refused.code, refused.retriable), (ErrorCode::NoSpace, true));
                full = true;
                break;
            }
            other => panic!("{}", other.name()),
        }
    }
    assert!(full && accepted > 20, "{accepted} accepted");
    let mut delivered = 0;
    while delivered < accepted {
        world.credit(at_bob, 16, PLENTY);
        let pushes = world.pushes(at_bob);
        assert!(!pushes.is_empty(), "delivery goes on: {delivered} of {accepted}");
        delivered += pushes.len();
        let ranges = vec![(pushes[0].seq, pushes.last().unwrap().seq)];
        world.say(at_bob, Ack { generation: 1, ranges });
        world.turn();
    }
    for _ in 0..50 {
        world.wait(1);
        world.maintain();
        world.turn();
    }
    world.send(at_alice, 9999, alice.envelope(&bob, world.seconds() + 60, b"room again"));
    world.turn();
    assert_eq!(world.accepted(at_alice).numbers, [9999]);
}

#[test]
fn sequence_numbers_are_never_used_twice() {
    let mut world = Cluster::new();
    let (alice, _, bob, _) = two_friends(&mut world);
    let mut last = 0;
    for round in 0..6u8 {
        let at_alice = world.connect(&alice, 1);
        let at_bob = world.connect(&bob, 1);
        world.heard(at_bob);
        world.send(at_alice, 1, alice.envelope(&bob, world.seconds() + 60, &[round]));
        world.turn();
        world.credit(at_bob, 10, PLENTY);
        // Earlier ones come again when the power took their ack along.
        let newest = world.pushes(at_bob).pop().expect("the new message");
        assert_eq!(&*newest.body, &[round]);
        assert!(newest.seq > last, "{} after {last}", newest.seq);
        last = newest.seq;
        world.say(at_bob, Ack { generation: 1, ranges: vec![(0, last)] });
        world.turn();
        world.maintain();
        world.power_loss(u64::from(round));
        world.start();
    }
}

#[test]
fn what_one_device_has_acked_does_not_expire_even_after_a_restart() {
    let mut world = Cluster::new();
    let (alice, at_alice, mut bob, at_bob) = two_friends(&mut world);
    bob.set_devices(2);
    world.say(at_bob, bob.records_put(2));
    world.send(at_alice, 1, alice.envelope(&bob, world.seconds() + 60, b"to both"));
    world.credit(at_bob, 9, PLENTY);
    let seq = world.pushes(at_bob)[0].seq;
    world.say(at_bob, Ack { generation: 1, ranges: vec![(seq, seq)] });
    world.turn();
    world.kill();
    world.wait(1000);
    world.start();
    world.turn();
    assert_eq!(stored(world.store(), &bob, 2), 0, "the other copy is gone");
    let at_alice = world.connect(&alice, 1);
    world.credit(at_alice, 9, PLENTY);
    assert!(world.notices(at_alice).is_empty(), "but it was delivered");
}
