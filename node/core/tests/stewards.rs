//! Stories of stewards: a linked device keeps the account's record when the first one is away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use cluster::persona::Persona;
use cluster::{Cluster, two_friends};
use postroad_core::SessionId;
use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Done, Frame, RecordsPut};
use postroad_proto::ids::NodeId;
use postroad_proto::record::{AccountRecord, AccountRecordOrder, DeviceList};
use postroad_proto::signed::Signed;

/// Long after all of this.
const LATER: u64 = u64::MAX;

/// Bob with three devices; the sessions of the second and the third, who may be stewards.
fn household(world: &mut Cluster) -> (Persona, [SessionId; 2]) {
    let (_, _, mut bob, at_bob) = two_friends(world);
    bob.set_devices(3);
    world.say(at_bob, bob.records_put(2));
    world.turn();
    assert_eq!(world.done(at_bob).code, None);
    let sessions = [2, 3].map(|device| world.connect(&bob, device));
    (bob, sessions)
}

fn put(world: &mut Cluster, session: SessionId, record: &Signed<AccountRecord>) -> Done {
    world.say(session, RecordsPut { request: 1, record: Some(record.clone()), devices: None });
    world.turn();
    world.done(session)
}

fn held(world: &mut Cluster, bob: &Persona) -> Signed<AccountRecord> {
    let session = world.connect(bob, 1);
    world.welcome(session).record.unwrap()
}

#[test]
fn a_steward_refreshes_the_record_and_moves_the_account() {
    let mut world = Cluster::new();
    let (mut bob, [at_second, _]) = household(&mut world);
    let refreshed = bob.steward_record(3, 2, LATER);
    assert_eq!(put(&mut world, at_second, &refreshed).code, None);
    assert_eq!(put(&mut world, at_second, &refreshed).code, None, "the same again");
    assert_eq!(held(&mut world, &bob), refreshed);
    world.kill();
    world.start();
    assert_eq!(held(&mut world, &bob), refreshed, "it was promised");

    // The new home first, where the steward's device registers the account.
    let mut new_home = Cluster::new();
    bob.home = new_home.node();
    let session = new_home.connect_as(&bob, 2);
    new_home.say(session, bob.hello(None));
    let Frame::Register(mut ask) = bob.register(None) else { unreachable!() };
    ask.record = bob.steward_record(4, 2, LATER);
    new_home.say(session, *ask.clone());
    new_home.turn();
    assert_eq!(new_home.done(session).code, None);
    let at_second = world.connect(&bob, 2);
    bob.home = NodeId([9; 32]);
    let moved = bob.steward_record(4, 2, LATER);
    assert_eq!(put(&mut world, at_second, &moved).code, None);
    assert_eq!(world.core().moved(&bob.account()), Some(bob.home));
}

#[test]
fn a_steward_keeps_to_the_list_of_its_own_epoch() {
    let mut world = Cluster::new();
    let (bob, [at_second, _]) = household(&mut world);
    // A list that only its own key signed.
    let mut other = bob.clone();
    other.set_devices(2);
    let list: DeviceList = codec::decode(&other.list().payload, 4096).unwrap();
    let forged = Signed::new(&list, &bob.olm(), world.network()).unwrap();
    let record = bob.steward_record_of(3, 2, LATER, |record| record.devices = forged.hash());
    world.say(at_second, RecordsPut { request: 1, record: Some(record), devices: Some(forged) });
    world.turn();
    assert_eq!(world.done(at_second).code, Some(ErrorCode::BadSignature));
    // A list of another epoch, which the account did sign, and a certificate of this one.
    let mut raised = bob.clone();
    raised.epoch = 1;
    let list = raised.list();
    let record = bob.steward_record_of(3, 2, LATER, |record| record.devices = list.hash());
    world.say(at_second, RecordsPut { request: 2, record: Some(record), devices: Some(list) });
    world.turn();
    assert_eq!(world.done(at_second).code, Some(ErrorCode::BadSignature));
    // An epoch that its certificate does not have.
    let record = bob.steward_record_of(3, 2, LATER, |record| record.epoch = 1);
    assert_eq!(put(&mut world, at_second, &record).code, Some(ErrorCode::BadSignature));
    // The certificate of a device that is not there.
    let record = bob.steward_record(3, 4, LATER);
    assert_eq!(put(&mut world, at_second, &record).code, Some(ErrorCode::BadSignature));
    assert_eq!(held(&mut world, &bob), bob.record(2));
}

#[test]
fn a_certificate_that_is_over_changes_nothing() {
    let mut world = Cluster::new();
    let (bob, [at_second, _]) = household(&mut world);
    let expires = world.seconds() + 60;
    let record = bob.steward_record(3, 2, expires);
    assert_eq!(put(&mut world, at_second, &record).code, None);
    world.wait(661);
    // Its records say that they were issued in 1970, and so they open.
    let late = bob.steward_record(4, 2, expires);
    assert!(late.open(world.network()).is_ok());
    assert_eq!(put(&mut world, at_second, &late).code, Some(ErrorCode::Expired));
    assert_eq!(put(&mut world, at_second, &record).code, None, "which is held already");
    let elsewhere = Persona::new(7, world.node(), world.network());
    let session = world.connect_as(&elsewhere, 1);
    world.say(session, elsewhere.hello(None));
    let Frame::Register(mut ask) = elsewhere.register(None) else { unreachable!() };
    ask.record = elsewhere.steward_record(1, 1, expires);
    world.say(session, *ask);
    world.turn();
    assert_eq!(world.done(session).code, Some(ErrorCode::Expired));
}

#[test]
fn a_steward_is_taken_back_by_the_list_and_by_the_epoch() {
    let mut world = Cluster::new();
    let (mut bob, [at_second, at_third]) = household(&mut world);
    let first = world.connect(&bob, 1);
    let old = bob.steward_record(9, 3, LATER);
    bob.set_devices(2);
    world.say(first, bob.records_put(3));
    world.turn();
    assert_eq!(world.closed.get(&at_third), Some(&ErrorCode::Denied));
    // Whoever took its key brings what it signed: under the new list, and under the old one.
    let record = bob.steward_record(9, 3, LATER);
    assert_eq!(put(&mut world, at_second, &record).code, Some(ErrorCode::BadSignature));
    assert_eq!(put(&mut world, at_second, &old).code, Some(ErrorCode::BadSignature));

    let of_before = bob.steward_record(99, 2, LATER);
    bob.epoch = 1;
    bob.edition = 1;
    world.say(first, bob.records_put(1));
    world.turn();
    assert_eq!(world.done(first).code, None);
    let (at_second, devices) = (world.connect(&bob, 2), bob.list());
    let mut before = bob.clone();
    before.epoch = 0;
    let record = before.steward_record_of(99, 2, LATER, |record| record.devices = devices.hash());
    assert_eq!(put(&mut world, at_second, &record).code, Some(ErrorCode::BadSignature));
    assert_eq!(
        bob.record(1).compare(&of_before),
        Ok(AccountRecordOrder::Older),
        "for everybody, whatever its number"
    );
    assert_eq!(held(&mut world, &bob), bob.record(1));
}

#[test]
fn of_two_stewards_who_race_everybody_ends_with_the_same_record() {
    let mut ends = Vec::new();
    for second_first in [true, false] {
        let mut world = Cluster::new();
        let (bob, sessions) = household(&mut world);
        let records = [2, 3].map(|device| bob.steward_record(3, device, LATER));
        let winner = records.iter().min_by_key(|record| record.hash()).unwrap().clone();
        let order = if second_first { [0, 1] } else { [1, 0] };
        let answers = order.map(|who| put(&mut world, sessions[who], &records[who]));
        assert_eq!(answers[0].code, None);
        if records[order[1]] == winner {
            assert_eq!(answers[1].code, None, "the second one is the smaller");
        } else {
            assert_eq!(answers[1].code, Some(ErrorCode::Conflict));
            let told = codec::decode(answers[1].result.as_ref().unwrap(), 4096);
            assert_eq!(told, Ok(winner.clone()), "and signs above this one");
        }
        assert_eq!(held(&mut world, &bob), winner);

        // The account's key goes before both; two of its own are for people to sort out.
        let first = world.connect(&bob, 1);
        assert_eq!(put(&mut world, first, &bob.record(3)).code, None);
        assert_eq!(put(&mut world, first, &winner).code, Some(ErrorCode::Conflict));
        let mut twice = bob.clone();
        twice.home = NodeId([9; 32]);
        assert_eq!(put(&mut world, first, &twice.record(3)).code, Some(ErrorCode::Conflict));
        assert_eq!(held(&mut world, &bob), bob.record(3));
        ends.push(winner);
    }
    assert_eq!(ends[0], ends[1]);
}
