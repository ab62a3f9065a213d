//! Stories of vaults: replaced as a whole, by whoever has seen what is replaced.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use cluster::persona::Persona;
use cluster::{Cluster, two_friends};
use postroad_core::{Config, SessionId};
use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{VaultGet, VaultPart, VaultPut, VaultState};
use postroad_proto::limits::{MAX_VAULT, MAX_VAULT_PART};
use postroad_store::Store as _;

/// Part `part` of `parts` of a vault that replaces the one with the version `previous`.
fn part(version: u64, previous: u64, part: u64, parts: u64, data: &[u8]) -> VaultPut {
    VaultPut { request: 5, version, previous, part, parts, data: data.to_vec().into() }
}

fn put(world: &mut Cluster, at: SessionId, part: VaultPut) -> Option<ErrorCode> {
    world.say(at, part);
    world.turn();
    world.done(at).code
}

/// A part that conflicts with what is held: version and parts of that.
fn conflict(world: &mut Cluster, at: SessionId, part: VaultPut) -> (u64, u64) {
    world.say(at, part);
    world.turn();
    let done = world.done(at);
    assert_eq!(done.code, Some(ErrorCode::Conflict));
    let held: VaultState = codec::decode(&done.result.unwrap(), 64).unwrap();
    (held.version, held.parts)
}

fn get(world: &mut Cluster, at: SessionId, part: u64) -> Result<VaultPart, ErrorCode> {
    world.say(at, VaultGet { request: 6, part });
    world.turn();
    let done = world.done(at);
    match done.code {
        None => Ok(codec::decode(&done.result.unwrap(), 1 << 16).unwrap()),
        Some(code) => Err(code),
    }
}

/// The version and all parts of the vault.
fn fetch(world: &mut Cluster, at: SessionId) -> Option<(u64, Vec<Vec<u8>>)> {
    let VaultPart { version, parts, data } = get(world, at, 0).ok()?;
    let mut whole = vec![data.to_vec()];
    for part in 1..parts {
        let next = get(world, at, part).unwrap();
        assert_eq!((next.version, next.parts), (version, parts));
        whole.push(next.data.to_vec());
    }
    assert_eq!(get(world, at, parts), Err(ErrorCode::NotFound));
    Some((version, whole))
}

fn whole(version: u64, parts: &[&[u8]]) -> Option<(u64, Vec<Vec<u8>>)> {
    Some((version, parts.iter().map(|part| part.to_vec()).collect()))
}

fn keys(world: &mut Cluster) -> u64 {
    world.store().stats().live_keys
}

/// Bob with two devices, both connected.
fn two_devices(world: &mut Cluster) -> (Persona, SessionId, SessionId) {
    let (_, _, mut bob, at_bob) = two_friends(world);
    bob.set_devices(2);
    world.say(at_bob, bob.records_put(2));
    let second = world.connect(&bob, 2);
    world.heard(at_bob);
    world.heard(second);
    (bob, at_bob, second)
}

#[test]
fn a_vault_is_replaced_by_its_last_part_and_outlives_the_node() {
    let mut world = Cluster::new();
    let (bob, first, second) = two_devices(&mut world);
    assert_eq!(fetch(&mut world, second), None);
    let before = keys(&mut world);
    let largest = vec![9; MAX_VAULT_PART];
    let parts = (MAX_VAULT / MAX_VAULT_PART) as u64;
    for n in 0..parts {
        assert_eq!(fetch(&mut world, second), None, "not before all are there");
        assert_eq!(put(&mut world, first, part(3, 0, n, parts, &largest)), None);
    }
    let (version, found) = fetch(&mut world, second).unwrap();
    assert_eq!((version, found.concat().len()), (3, MAX_VAULT));

    assert_eq!(put(&mut world, second, part(4, 3, 0, 2, b"a")), None);
    assert_eq!(fetch(&mut world, first).unwrap().0, 3);
    assert_eq!(put(&mut world, second, part(4, 3, 1, 2, b"b")), None);
    assert_eq!(fetch(&mut world, first), whole(4, &[b"a", b"b"]));
    assert_eq!(keys(&mut world), before + 3, "of the old one nothing is left");

    // Power fails as another one is under way: what was promised is there, and nothing of the rest.
    assert_eq!(put(&mut world, second, part(5, 4, 0, 3, b"lost")), None);
    world.power_loss(1);
    world.start();
    let first = world.connect(&bob, 1);
    assert_eq!(fetch(&mut world, first), whole(4, &[b"a", b"b"]));
    assert_eq!(keys(&mut world), before + 3 + 1, "a run more");
    assert_eq!(put(&mut world, first, part(5, 4, 1, 3, b"x")), Some(ErrorCode::Malformed));
}

#[test]
fn of_two_that_replace_the_same_one_the_first_to_be_whole_is_held() {
    let mut world = Cluster::new();
    let (_, first, second) = two_devices(&mut world);
    // Under one version even: their parts do not mix.
    assert_eq!(put(&mut world, first, part(1, 0, 0, 2, b"1a")), None);
    assert_eq!(put(&mut world, second, part(1, 0, 0, 2, b"2a")), None);
    assert_eq!(put(&mut world, second, part(1, 0, 1, 2, b"2b")), None);
    assert_eq!(conflict(&mut world, first, part(1, 0, 1, 2, b"1b")), (1, 2));
    assert_eq!(fetch(&mut world, first), whole(1, &[b"2a", b"2b"]));
    let held = keys(&mut world);
    assert_eq!(put(&mut world, first, part(2, 1, 0, 1, b"both")), None);
    assert_eq!(keys(&mut world), held - 1, "nothing of the first attempt stayed");
    assert_eq!(fetch(&mut world, second), whole(2, &[b"both"]));

    // Not above what is held, and not on what is not.
    assert_eq!(conflict(&mut world, second, part(2, 2, 0, 1, b"x")), (2, 1));
    assert_eq!(conflict(&mut world, second, part(9, 1, 0, 1, b"x")), (2, 1));
    assert_eq!(conflict(&mut world, second, part(9, 0, 0, 1, b"x")), (2, 1));
}

#[test]
fn a_vault_that_is_put_again_after_a_lost_answer_is_success() {
    let mut world = Cluster::new();
    let (_, first, second) = two_devices(&mut world);
    for _ in 0..2 {
        assert_eq!(put(&mut world, first, part(1, 0, 0, 2, b"a")), None);
        assert_eq!(put(&mut world, first, part(1, 0, 1, 2, b"b")), None);
    }
    world.say(first, part(1, 0, 1, 2, b"b"));
    assert_eq!(world.core().staged_bytes(), 0, "and writes nothing");
    assert_eq!(conflict(&mut world, second, part(1, 0, 0, 2, b"another")), (1, 2));
    assert_eq!(conflict(&mut world, second, part(1, 0, 0, 1, b"a")), (1, 2));
    assert_eq!(fetch(&mut world, second), whole(1, &[b"a", b"b"]));
}

#[test]
fn parts_come_in_order_and_within_their_limits() {
    let mut world = Cluster::new();
    let (_, first, second) = two_devices(&mut world);
    let malformed = Some(ErrorCode::Malformed);
    assert_eq!(put(&mut world, first, part(1, 0, 1, 2, b"b")), malformed, "none before it");
    assert_eq!(put(&mut world, first, part(1, 0, 0, 3, b"a")), None);
    assert_eq!(put(&mut world, first, part(1, 0, 2, 3, b"c")), malformed, "one is missing");
    assert_eq!(put(&mut world, first, part(1, 0, 1, 2, b"b")), malformed, "of another vault");
    assert_eq!(put(&mut world, first, part(2, 0, 1, 3, b"b")), malformed, "of another version");
    assert_eq!(put(&mut world, second, part(1, 0, 1, 3, b"b")), malformed, "of another session");
    assert_eq!(put(&mut world, first, part(1, 0, 0, 0, b"")), malformed);
    assert_eq!(put(&mut world, first, part(1, 0, 3, 3, b"")), malformed);
    let large = Some(ErrorCode::TooLarge);
    assert_eq!(put(&mut world, first, part(1, 0, 1, 3, &[0; MAX_VAULT_PART + 1])), large);
    assert_eq!(put(&mut world, first, part(1, 0, 0, 33, b"a")), large);
    assert_eq!(put(&mut world, first, part(1, 0, 1, 3, b"b")), None, "it still goes on");
    assert_eq!(put(&mut world, first, part(1, 0, 0, 2, b"A")), None, "part 0 begins anew");
    assert_eq!(put(&mut world, first, part(1, 0, 2, 3, b"c")), malformed);
    assert_eq!(put(&mut world, first, part(1, 0, 1, 2, b"B")), None);
    assert_eq!(fetch(&mut world, second), whole(1, &[b"A", b"B"]));
}

#[test]
fn what_does_not_become_whole_goes_with_its_session() {
    let mut world = Cluster::new();
    let (bob, first, second) = two_devices(&mut world);
    assert_eq!(put(&mut world, second, part(1, 0, 0, 1, b"held")), None);
    let before = keys(&mut world);
    assert_eq!(put(&mut world, first, part(2, 1, 0, 2, b"a")), None);
    assert_eq!(keys(&mut world), before + 1);
    let again = world.connect(&bob, 1);
    assert_eq!(keys(&mut world), before, "the newer session begins with nothing");
    assert_eq!(put(&mut world, again, part(2, 1, 1, 2, b"b")), Some(ErrorCode::Malformed));
    assert_eq!(put(&mut world, again, part(2, 1, 0, 2, b"a")), None);
    world.disconnect(again);
    world.turn();
    assert_eq!(keys(&mut world), before);
    assert_eq!(fetch(&mut world, second), whole(1, &[b"held"]));
}

#[test]
fn it_goes_with_its_account_and_is_nobody_elses() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, at_bob) = two_friends(&mut world);
    let before = keys(&mut world);
    assert_eq!(put(&mut world, at_alice, part(1, 0, 0, 1, b"alice")), None);
    assert_eq!(put(&mut world, at_bob, part(7, 0, 0, 1, b"bob")), None);
    assert_eq!(put(&mut world, at_bob, part(8, 7, 0, 2, b"under way")), None);
    assert_eq!(fetch(&mut world, at_alice), whole(1, &[b"alice"]));
    let now = world.now;
    world.core().delete_account(now, &alice.account());
    world.core().delete_account(now, &bob.account());
    world.turn();
    // Two accounts and two tokens; their handles stay reserved.
    assert_eq!(keys(&mut world), before - 4);
}

#[test]
fn all_vaults_together_are_bounded_and_who_has_one_may_replace_it() {
    let mut world = Cluster::with(Config { vault_bytes: 100, ..Config::default() });
    let (_, at_alice, _, at_bob) = two_friends(&mut world);
    assert_eq!(put(&mut world, at_alice, part(1, 0, 0, 1, &[1; 60])), None);
    let quota = Some(ErrorCode::Quota);
    assert_eq!(put(&mut world, at_bob, part(1, 0, 0, 2, &[2; 41])), quota);
    assert_eq!(put(&mut world, at_bob, part(1, 0, 0, 2, &[2; 30])), None);
    assert_eq!(put(&mut world, at_bob, part(1, 0, 1, 2, &[2; 11])), quota);
    assert_eq!(put(&mut world, at_bob, part(1, 0, 1, 2, &[2; 10])), None, "it may come again");
    assert_eq!(put(&mut world, at_alice, part(2, 1, 0, 1, &[3; 60])), None);
    assert_eq!(put(&mut world, at_alice, part(3, 2, 0, 1, &[3; 61])), quota);
    assert_eq!(put(&mut world, at_alice, part(3, 2, 0, 1, &[3; 50])), None);
    assert_eq!(put(&mut world, at_bob, part(2, 1, 0, 1, &[2; 50])), None);
    world.core().set_full(true);
    world.say(at_bob, part(3, 2, 0, 1, b"x"));
    world.turn();
    assert_eq!(world.done(at_bob).code, Some(ErrorCode::NoSpace));
}
