//! Stories of recovery: an account's key brings it back, and nobody else does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use cluster::persona::Persona;
use cluster::{Cluster, stored, two_friends};
use postroad_core::{Registration, SessionId};
use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Done, Frame, Records, Registered};
use postroad_proto::ids::NodeId;
use postroad_proto::record::{AccountRecord, DeviceList};
use postroad_proto::signed::{Signable, Signed};

/// A new device registers under a record with the number `seq`.
fn restore(world: &mut Cluster, persona: &Persona, device: u8, seq: u64) -> (SessionId, Done) {
    let session = world.connect_as(persona, device);
    world.say(session, persona.hello(None));
    (session, again(world, session, persona, seq))
}

fn again(world: &mut Cluster, session: SessionId, persona: &Persona, seq: u64) -> Done {
    world.say(session, persona.register_as(seq, None));
    world.turn();
    world.done(session)
}

fn held(done: &Done) -> Records {
    assert_eq!(done.code, Some(ErrorCode::Conflict));
    codec::decode(done.result.as_ref().unwrap(), 1 << 16).unwrap()
}

/// From now on the node takes accounts by invite only.
fn close_registration(world: &mut Cluster) {
    world.house.config.registration = Registration::Invite;
    world.kill();
    world.start();
}

#[test]
fn a_new_device_comes_in_by_the_accounts_key_and_the_others_stay() {
    let mut world = Cluster::new();
    let (alice, _, mut bob, _) = two_friends(&mut world);
    close_registration(&mut world);
    let (at_alice, at_bob) = (world.connect(&alice, 1), world.connect(&bob, 1));
    world.say(at_bob, bob.prekeys_put(1, 1, 3));
    world.send(at_alice, 1, alice.envelope(&bob, world.seconds() + 60, b"before"));
    world.turn();
    world.accepted(at_alice);
    let registered = world.core().counters().registered;

    bob.set_devices(2);
    let (session, done) = restore(&mut world, &bob, 2, 2);
    assert_eq!((done.code, done.detail.as_str()), (None, ""), "no invite is needed");
    let result: Registered = codec::decode(&done.result.unwrap(), 4096).unwrap();
    let handle = result.handle.unwrap().open(world.network()).unwrap();
    assert_eq!((handle.handle.as_str(), handle.account), (bob.name.as_str(), bob.account()));
    assert_eq!(world.core().counters().registered, registered, "it is no new account");

    assert!(!world.closed.contains_key(&at_bob));
    assert_eq!(stored(world.store(), &bob, 1), 1, "mail of the other device waits on");
    world.send(at_alice, 2, alice.envelope(&bob, world.seconds() + 60, b"to both"));
    world.turn();
    assert_eq!(world.accepted(at_alice).items[0].copies, 2);
    world.credit(session, 9, 1 << 20);
    assert_eq!(world.pushes(session).len(), 1, "the session is the new device's");
    let first = world.connect(&bob, 1);
    assert_eq!(world.welcome(first).one_time_keys, 3);

    world.kill();
    world.start();
    let back = world.connect(&bob, 2);
    assert_eq!(world.welcome(back).record, Some(bob.record(2)), "it was promised");
}

#[test]
fn a_raised_epoch_cuts_the_others_off() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, at_bob) = two_friends(&mut world);
    world.send(at_alice, 1, alice.envelope(&bob, world.seconds() + 60, b"for the thief"));
    world.turn();
    let mut restored = bob.clone();
    (restored.epoch, restored.first, restored.devices, restored.edition) = (1, 2, 2, 1);
    let (session, done) = restore(&mut world, &restored, 2, 1);
    assert_eq!(done.code, None, "{}", done.detail);
    assert_eq!(world.closed.get(&at_bob), Some(&ErrorCode::Denied), "its session ends");
    assert_eq!(stored(world.store(), &bob, 1), 0, "its mailbox is gone");
    let thief = world.connect(&bob, 1);
    assert_eq!(world.done(thief).code, Some(ErrorCode::Denied));
    // With all that it ever had from the account's key it does not come back either.
    let (_, done) = restore(&mut world, &bob, 1, 999);
    assert_eq!(held(&done).record, restored.record(1));
    assert!(!world.closed.contains_key(&session));
}

#[test]
fn who_is_not_higher_is_told_what_is_held_and_signs_above_it() {
    let mut world = Cluster::new();
    let (_, _, mut bob, at_bob) = two_friends(&mut world);
    world.say(at_bob, bob.records_put(7));
    world.turn();
    bob.set_devices(2);
    let (session, done) = restore(&mut world, &bob, 2, 2);
    let records = held(&done);
    assert_eq!(records.record.open(world.network()).unwrap().seq, 7);
    let handle = records.handle.unwrap().open(world.network()).unwrap();
    assert_eq!((handle.handle.as_str(), records.fallback.len()), (bob.name.as_str(), 0));
    held(&again(&mut world, session, &bob, 7));
    assert_eq!(again(&mut world, session, &bob, 8).code, None, "the third try may succeed");

    // A list that is older than the one held does not come with a higher record either.
    let (mut old, newer) = (bob.clone(), bob.list());
    (old.edition, old.devices) = (1, 3);
    let (session, done) = restore(&mut world, &old, 3, 9);
    assert_eq!(held(&done).devices, newer);
    held(&again(&mut world, session, &old, 10));
    world.say(session, old.register_as(11, None));
    world.turn();
    assert_eq!(world.closed.get(&session), Some(&ErrorCode::Rate), "three failures");
}

#[test]
fn two_that_come_back_at_once_are_both_listed_in_the_end() {
    let mut world = Cluster::new();
    let (_, _, mut bob, _) = two_friends(&mut world);
    bob.set_devices(2);
    let mut other = bob.clone();
    other.change_keys(2);
    let sessions = [&bob, &other].map(|persona| {
        let session = world.connect_as(persona, 2);
        world.say(session, persona.hello(None));
        world.say(session, persona.register_as(2, None));
        session
    });
    world.turn();
    assert_eq!(world.done(sessions[0]).code, None);
    let records = held(&world.done(sessions[1]));
    assert_eq!((&records.record, &records.devices), (&bob.record(2), &bob.list()));

    // A higher record alone does not help: the list would cut the first one off.
    let (_, done) = restore(&mut world, &other, 2, 5);
    assert_eq!(held(&done).devices, bob.list());

    // It takes the next number. The keys of a persona's third device are others; so it connects anew.
    bob.set_devices(3);
    let (_, done) = restore(&mut world, &bob, 3, 3);
    assert_eq!(done.code, None);
    for device in 1..=3 {
        let session = world.connect(&bob, device);
        assert_eq!(world.welcome(session).record, Some(bob.record(3)));
    }
    assert_eq!(world.closed.get(&sessions[0]), Some(&ErrorCode::Busy), "but for the newer session");
}

#[test]
fn a_device_that_registers_again_keeps_what_is_held_or_raises_it() {
    let mut world = Cluster::new();
    let (_, _, mut bob, at_bob) = two_friends(&mut world);
    bob.set_devices(2);
    world.say(at_bob, bob.records_put(2));
    world.turn();
    let mut at_first = bob.clone();
    (at_first.devices, at_first.edition) = (1, 1);
    let (_, done) = restore(&mut world, &at_first, 1, 1);
    assert_eq!(done.code, None, "after a lost answer");
    let second = world.connect(&bob, 2);
    assert_eq!(world.welcome(second).record, Some(bob.record(2)));
    let (session, done) = restore(&mut world, &bob, 1, 3);
    assert_eq!(done.code, None);
    let second = world.connect(&bob, 2);
    assert_eq!(world.welcome(second).record, Some(bob.record(3)));

    // A session is one device's: the same key in another account's list makes it no other.
    let carol = Persona::new(3, world.node(), world.network());
    let Frame::Register(mut ask) = carol.register(None) else { unreachable!() };
    ask.devices = changed(&ask.devices, &carol, |list| list.devices[0].noise = bob.noise(1));
    let devices = ask.devices.hash();
    ask.record = changed(&ask.record, &carol, |record| record.devices = devices);
    world.say(session, *ask);
    world.turn();
    assert_eq!(world.done(session).code, Some(ErrorCode::Denied));
}

#[test]
fn an_account_that_moved_away_is_not_brought_back_by_a_new_device() {
    let mut world = Cluster::new();
    let (_, _, mut bob, at_bob) = two_friends(&mut world);
    let mut moved = bob.clone();
    moved.home = NodeId([9; 32]);
    world.say(at_bob, moved.records_put(2));
    world.turn();
    bob.set_devices(2);
    let (_, done) = restore(&mut world, &bob, 2, 3);
    assert_eq!(done.code, Some(ErrorCode::Moved));
    let record: Signed<AccountRecord> = codec::decode(&done.result.unwrap(), 4096).unwrap();
    assert_eq!(record, moved.record(2), "it is looked for where it went");
    let (_, done) = restore(&mut world, &bob, 1, 3);
    assert_eq!(done.code, None, "a device that it had here brings it back");
    let second = world.connect(&bob, 2);
    assert_eq!(world.welcome(second).record, Some(bob.record(3)));
}

/// Something signed, after a change, with the key of `by`.
fn changed<T: Signable>(signed: &Signed<T>, by: &Persona, change: impl Fn(&mut T)) -> Signed<T> {
    let mut value: T = codec::decode(&signed.payload, 4096).unwrap();
    change(&mut value);
    Signed::new(&value, &by.key, &by.network).unwrap()
}

#[test]
fn who_does_not_hold_the_key_gets_nothing_and_learns_nothing() {
    let mut world = Cluster::new();
    let (_, _, mut bob, at_bob) = two_friends(&mut world);
    let mut absent = Persona::new(3, world.node(), world.network());
    let eve = Persona::new(4, world.node(), world.network());
    bob.set_devices(2);
    absent.set_devices(2);
    let attempt = |world: &mut Cluster, of: &Persona, forge: [bool; 2]| {
        let Frame::Register(mut ask) = of.register_as(2, None) else { unreachable!() };
        let (record, devices): (_, Signed<DeviceList>) = (ask.record, ask.devices);
        ask.record = if forge[0] { changed(&record, &eve, |_| ()) } else { record };
        ask.devices = if forge[1] { changed(&devices, &eve, |_| ()) } else { devices };
        // With the key of the device that is listed, unless all is genuine and was only seen.
        let genuine = forge == [false, false];
        let session = world.connect_as(if genuine { &eve } else { of }, 2);
        world.say(session, eve.hello(None));
        world.say(session, *ask);
        world.turn();
        let done = world.done(session);
        (done.code, done.detail, done.result)
    };
    let ways = [[true, false], [false, true], [true, true], [false, false]];
    for forge in ways {
        let (code, _, result) = attempt(&mut world, &bob, forge);
        assert_eq!((code, result), (Some(ErrorCode::BadSignature), None));
    }
    close_registration(&mut world);
    for forge in ways {
        let told = attempt(&mut world, &bob, forge);
        assert_eq!(told.0, Some(ErrorCode::InviteUnknown));
        assert_eq!(told, attempt(&mut world, &absent, forge), "here or not");
    }
    assert!(!world.closed.contains_key(&at_bob));
}
