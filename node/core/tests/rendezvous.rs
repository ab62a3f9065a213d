//! Stories of rendezvous: two devices meet and talk through their home, which only passes on bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use cluster::persona::Persona;
use cluster::{Cluster, two_friends};
use postroad_core::SessionId;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{
    Frame, Ping, RendezvousJoin, RendezvousOpen, RendezvousSend, TokensList,
};
use postroad_proto::limits::{MAX_RENDEZVOUS, MAX_RENDEZVOUS_DATA};
use postroad_store::Store as _;
use serde_bytes::ByteArray;

const ID: u8 = 0x5e;

/// What a guest hears, in short.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Done(u64, Option<ErrorCode>),
    Here(bool),
    Data(Vec<u8>),
}

fn open(id: u8, until: u64) -> RendezvousOpen {
    RendezvousOpen { request: 7, id: ByteArray::new([id; 16]), until }
}

fn join(id: u8, side: u64) -> RendezvousJoin {
    RendezvousJoin { request: 1, id: ByteArray::new([id; 16]), side }
}

fn say(data: &[u8]) -> RendezvousSend {
    RendezvousSend { data: data.to_vec().into() }
}

/// Opens a rendezvous, or moves its end; `until` in seconds from now.
fn opens(world: &mut Cluster, at: SessionId, id: u8, ahead: u64) -> Option<ErrorCode> {
    let until = world.seconds() + ahead;
    world.say(at, open(id, until));
    world.turn();
    world.done(at).code
}

fn closes(world: &mut Cluster, at: SessionId, id: u8) -> Option<ErrorCode> {
    world.say(at, open(id, 0));
    world.turn();
    world.done(at).code
}

/// A session that said hello without account.
fn stranger(world: &mut Cluster) -> SessionId {
    let nobody = Persona::new(77, world.node(), world.network());
    let session = world.connect_as(&nobody, 1);
    world.say(session, nobody.hello(None));
    world.turn();
    world.heard(session);
    session
}

fn guest(world: &mut Cluster, id: u8, side: u64) -> SessionId {
    let session = stranger(world);
    world.say(session, join(id, side));
    session
}

fn heard(world: &mut Cluster, session: SessionId) -> Vec<Heard> {
    world.turn();
    let short = |frame| match frame {
        Frame::Done(done) => Heard::Done(done.request, done.code),
        Frame::RendezvousPeer(peer) => Heard::Here(peer.here),
        Frame::RendezvousPush(push) => Heard::Data(push.data.to_vec()),
        other => panic!("{} was not awaited", other.name()),
    };
    world.heard(session).into_iter().map(short).collect()
}

/// An account with a rendezvous of ten minutes, and guests on both sides that know of each other.
fn met(world: &mut Cluster) -> (SessionId, SessionId, SessionId) {
    let alice = Persona::new(1, world.node(), world.network());
    let at_alice = world.join(&alice);
    assert_eq!(opens(world, at_alice, ID, 600), None);
    let (one, two) = (guest(world, ID, 1), guest(world, ID, 2));
    assert_eq!(heard(world, one), [Heard::Done(1, None), Heard::Here(true)]);
    assert_eq!(heard(world, two), [Heard::Done(1, None), Heard::Here(true)]);
    (at_alice, one, two)
}

fn tick(world: &mut Cluster, seconds: u64) {
    world.wait(seconds);
    let now = world.now;
    world.core().tick(now);
    world.turn();
}

#[test]
fn what_one_side_says_the_other_hears_in_order_and_nobody_else() {
    let mut world = Cluster::new();
    let (at_alice, one, two) = met(&mut world);
    let uninvited = stranger(&mut world);
    let (commit, roots) = (world.store().stats().commit, world.core().counters().roots);
    for n in 0..100u8 {
        world.say(one, say(&[1, n]));
        world.say(two, say(&[2, n]));
    }
    let said = |side| (0..100).map(|n| Heard::Data(vec![side, n])).collect::<Vec<_>>();
    assert_eq!(heard(&mut world, two), said(1));
    assert_eq!(heard(&mut world, one), said(2));
    world.say(one, Ping { request: 9 });
    assert_eq!(heard(&mut world, one), [Heard::Done(9, None)]);
    let largest = vec![7; MAX_RENDEZVOUS_DATA];
    world.say(one, say(&largest));
    assert_eq!(heard(&mut world, two), [Heard::Data(largest)]);
    assert!(heard(&mut world, at_alice).is_empty() && heard(&mut world, uninvited).is_empty());
    let after = (world.store().stats().commit, world.core().counters().roots);
    assert_eq!(after, (commit, roots), "nothing was written or signed");
}

#[test]
fn who_does_not_know_the_id_does_not_get_in() {
    let mut world = Cluster::new();
    let (_, one, two) = met(&mut world);
    let third = stranger(&mut world);
    let mut answers = Vec::new();
    for wrong in [join(ID ^ 1, 2), join(ID, 3)] {
        world.say(third, wrong);
        world.turn();
        let done = world.done(third);
        answers.push((done.code, done.detail));
    }
    assert_eq!(answers[0].0, Some(ErrorCode::Denied));
    assert_eq!(answers[0], answers[1], "what is wrong is not said");
    world.say(third, join(ID, 0));
    world.turn();
    assert_eq!(world.closed.get(&third), Some(&ErrorCode::Rate), "three tries");
    let fourth = stranger(&mut world);
    world.say(fourth, say(b"to whomever"));
    world.turn();
    assert_eq!(world.closed.get(&fourth), Some(&ErrorCode::Denied));
    assert!(heard(&mut world, one).is_empty() && heard(&mut world, two).is_empty());
}

#[test]
fn a_side_goes_to_whoever_came_last() {
    let mut world = Cluster::new();
    let (_, one, two) = met(&mut world);
    let again = guest(&mut world, ID, 2);
    assert_eq!(heard(&mut world, again), [Heard::Done(1, None), Heard::Here(true)]);
    assert_eq!(heard(&mut world, two), [Heard::Done(0, Some(ErrorCode::Busy))]);
    assert_eq!(world.closed.get(&two), Some(&ErrorCode::Busy));
    assert_eq!(heard(&mut world, one), [Heard::Here(true)], "it begins anew");
    world.say(one, say(b"to the new one"));
    assert_eq!(heard(&mut world, again), [Heard::Data(b"to the new one".to_vec())]);
    world.disconnect(two);
    assert!(heard(&mut world, one).is_empty(), "the old one's end is no news");
}

#[test]
fn who_is_away_misses_what_is_said_and_may_come_back() {
    let mut world = Cluster::new();
    let (_, one, two) = met(&mut world);
    world.disconnect(two);
    assert_eq!(heard(&mut world, one), [Heard::Here(false)]);
    world.say(one, say(b"into the wind"));
    let back = guest(&mut world, ID, 2);
    assert_eq!(heard(&mut world, back), [Heard::Done(1, None), Heard::Here(true)]);
    assert_eq!(heard(&mut world, one), [Heard::Here(true)]);
    world.say(back, say(b"here again"));
    assert_eq!(heard(&mut world, one), [Heard::Data(b"here again".to_vec())]);
}

#[test]
fn it_ends_at_its_time_which_can_be_moved() {
    let mut world = Cluster::new();
    let (at_alice, one, two) = met(&mut world);
    tick(&mut world, 300);
    assert_eq!(opens(&mut world, at_alice, ID, 600), None);
    tick(&mut world, 599);
    world.say(one, say(b"still here"));
    assert_eq!(heard(&mut world, two), [Heard::Data(b"still here".to_vec())]);
    tick(&mut world, 1);
    for session in [one, two] {
        assert_eq!(heard(&mut world, session), [Heard::Done(0, Some(ErrorCode::Expired))]);
        assert_eq!(world.closed.get(&session), Some(&ErrorCode::Expired));
    }
    let late = guest(&mut world, ID, 2);
    assert_eq!(heard(&mut world, late), [Heard::Done(1, Some(ErrorCode::Denied))]);
    // Between its end and the timer nobody gets in either.
    assert_eq!(opens(&mut world, at_alice, ID, 60), None);
    world.wait(60);
    let late = guest(&mut world, ID, 1);
    assert_eq!(heard(&mut world, late), [Heard::Done(1, Some(ErrorCode::Denied))]);
}

#[test]
fn its_opener_closes_it_and_so_does_the_end_of_the_account() {
    let mut world = Cluster::new();
    let (at_alice, one, two) = met(&mut world);
    assert_eq!(closes(&mut world, at_alice, ID), None);
    assert_eq!(closes(&mut world, at_alice, ID), None, "the same again is success");
    for session in [one, two] {
        assert_eq!(world.closed.get(&session), Some(&ErrorCode::Expired));
    }
    assert_eq!(opens(&mut world, at_alice, ID, 600), None);
    let one = guest(&mut world, ID, 1);
    assert_eq!(heard(&mut world, one), [Heard::Done(1, None)]);
    let alice = Persona::new(1, world.node(), world.network());
    let now = world.now;
    world.core().delete_account(now, &alice.account());
    assert_eq!(heard(&mut world, one), [Heard::Done(0, Some(ErrorCode::Expired))]);
}

#[test]
fn an_account_has_a_few_and_none_of_another_account() {
    let mut world = Cluster::new();
    let (_, at_alice, _, at_bob) = two_friends(&mut world);
    for id in 0..MAX_RENDEZVOUS as u8 {
        assert_eq!(opens(&mut world, at_alice, id, 600), None);
    }
    assert_eq!(opens(&mut world, at_alice, 99, 600), Some(ErrorCode::Quota));
    assert_eq!(opens(&mut world, at_alice, 0, 60), None, "one that is open is no new one");
    assert_eq!(opens(&mut world, at_bob, 0, 600), Some(ErrorCode::Denied));
    assert_eq!(closes(&mut world, at_bob, 0), Some(ErrorCode::Denied));
    assert_eq!(opens(&mut world, at_bob, 98, 600), None, "the others' do not count");
    assert_eq!(closes(&mut world, at_alice, 0), None);
    assert_eq!(opens(&mut world, at_alice, 99, 600), None);
    assert_eq!(opens(&mut world, at_alice, 99, 86_400 + 601), Some(ErrorCode::TooLarge));
    assert_eq!(opens(&mut world, at_alice, 99, u64::MAX / 2), Some(ErrorCode::TooLarge));
    assert_eq!(opens(&mut world, at_alice, 99, 86_400 + 600), None);
}

#[test]
fn a_guest_does_nothing_else() {
    let mut world = Cluster::new();
    let (at_alice, one, two) = met(&mut world);
    let alice = Persona::new(1, world.node(), world.network());
    world.say(one, TokensList { request: 1 });
    world.say(two, say(&vec![0; MAX_RENDEZVOUS_DATA + 1]));
    world.turn();
    assert_eq!(world.closed.get(&one), Some(&ErrorCode::Malformed));
    assert_eq!(world.closed.get(&two), Some(&ErrorCode::TooLarge));
    let out_of_place: [Frame; 4] =
        [alice.hello(Some(1)), alice.register(None), join(ID, 1).into(), open(ID, 0).into()];
    for frame in out_of_place {
        let session = guest(&mut world, ID, 1);
        world.say(session, frame);
        world.turn();
        assert_eq!(world.closed.get(&session), Some(&ErrorCode::Malformed));
    }
    // And what is a guest's is not a device's or a stranger's.
    let session = stranger(&mut world);
    world.say(session, open(ID, 0));
    world.say(at_alice, join(ID, 1));
    world.turn();
    assert_eq!(world.closed.get(&session), Some(&ErrorCode::Denied));
    assert_eq!(world.closed.get(&at_alice), Some(&ErrorCode::Malformed));
}

#[test]
fn a_node_that_was_started_anew_has_forgotten_it() {
    let mut world = Cluster::new();
    met(&mut world);
    world.kill();
    world.start();
    let one = guest(&mut world, ID, 1);
    assert_eq!(heard(&mut world, one), [Heard::Done(1, Some(ErrorCode::Denied))]);
    let alice = Persona::new(1, world.node(), world.network());
    let at_alice = world.connect(&alice, 1);
    assert_eq!(opens(&mut world, at_alice, ID, 600), None);
    world.say(one, join(ID, 1));
    assert_eq!(heard(&mut world, one), [Heard::Done(1, None)], "the session went on");
}
