//! Stories of accounts that go.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use cluster::persona::Persona;
use cluster::{Cluster, stored, two_friends};
use postroad_core::SessionId;
use postroad_proto::SigningKey;
use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{AccountDelete, Done, RecordsGet};
use postroad_proto::ids::NodeId;
use postroad_proto::record::{Deletion, RECORD_VERSION};
use postroad_proto::signed::Signed;
use postroad_proto::token::Proof;

const DAY: u64 = 86_400;

/// What `of` says to `node`, signed by `by`.
fn said(of: &Persona, by: &SigningKey, node: NodeId, at: u64, delete_at: u64) -> Signed<Deletion> {
    let (version, account) = (RECORD_VERSION, of.account());
    let deletion = Deletion { version, flags: 0, account, node, at, delete_at };
    Signed::new(&deletion, by, &of.network).unwrap()
}

fn put(world: &mut Cluster, session: SessionId, statement: Signed<Deletion>) -> Done {
    world.say(session, AccountDelete { request: 1, statement });
    world.turn();
    world.done(session)
}

/// Says it now, to this node, with the account's own key.
fn say(world: &mut Cluster, session: SessionId, of: &Persona, delete_at: u64) -> Option<ErrorCode> {
    let statement = said(of, &of.key, world.node(), world.seconds(), delete_at);
    put(world, session, statement).code
}

fn tick(world: &mut Cluster, seconds: u64) {
    world.wait(seconds);
    let now = world.now;
    world.core().tick(now);
    world.turn();
}

fn is_here(world: &mut Cluster, of: &Persona) -> bool {
    world.core().user(&of.account()).is_some()
}

#[test]
fn an_account_goes_on_until_its_time_and_is_gone_then() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, at_bob) = two_friends(&mut world);
    let delete_at = world.seconds() + 7 * DAY;
    assert_eq!(say(&mut world, at_bob, &bob, delete_at), None);
    assert_eq!(world.core().user(&bob.account()).unwrap().delete_at, delete_at);

    tick(&mut world, 7 * DAY - 1);
    world.send(at_alice, 1, alice.envelope(&bob, world.seconds() + 60, b"still there?"));
    world.turn();
    world.accepted(at_alice);
    let again = world.connect(&bob, 1);
    assert_eq!(world.welcome(again).delete_at, Some(delete_at));
    let other = world.connect(&alice, 1);
    assert_eq!(world.welcome(other).delete_at, None);

    tick(&mut world, 1);
    assert_eq!(world.closed.get(&again), Some(&ErrorCode::Denied));
    assert!(!is_here(&mut world, &bob));
    assert_eq!(stored(world.store(), &bob, 1), 0);
    world.send(other, 2, alice.envelope(&bob, world.seconds() + 60, b"gone"));
    world.turn();
    assert_eq!(world.refused(other).code, ErrorCode::Denied);
    let handle = Some(bob.name.parse().unwrap());
    let (node, proof) = (world.node(), Proof::default());
    world.say(other, RecordsGet { request: 3, node, account: None, handle, proof });
    world.turn();
    assert_eq!(world.done(other).code, Some(ErrorCode::NotFound));
    let mut heir = Persona::new(5, world.node(), world.network());
    heir.name = bob.name.clone();
    let session = world.connect_as(&heir, 1);
    world.say(session, heir.hello(None));
    world.say(session, heir.register(None));
    world.turn();
    assert_eq!(world.done(session).code, Some(ErrorCode::Taken), "for a year");
}

#[test]
fn at_once_is_after_the_answer() {
    for back in [0, 600] {
        let mut world = Cluster::new();
        let (_, _, bob, at_bob) = two_friends(&mut world);
        let then = world.seconds() - back;
        let statement = said(&bob, &bob.key, world.node(), then, then);
        assert_eq!(put(&mut world, at_bob, statement).code, None);
        tick(&mut world, 1);
        assert_eq!(world.closed.get(&at_bob), Some(&ErrorCode::Denied));
        assert!(!is_here(&mut world, &bob));
        world.kill();
        world.start();
        assert!(!is_here(&mut world, &bob));
    }
}

#[test]
fn it_is_called_off_and_what_was_said_before_does_not_come_back() {
    let mut world = Cluster::new();
    let (_, _, bob, at_bob) = two_friends(&mut world);
    let (now, node) = (world.seconds(), world.node());
    let word = |at, delete_at| said(&bob, &bob.key, node, at, delete_at);
    let first = word(now, now + 7 * DAY);
    assert_eq!(put(&mut world, at_bob, first.clone()).code, None);
    assert_eq!(put(&mut world, at_bob, first.clone()).code, None, "a repeat");
    assert_eq!(put(&mut world, at_bob, word(now, 0)).code, Some(ErrorCode::Conflict), "no later");
    let called_off = word(now + 1, 0);
    assert_eq!(put(&mut world, at_bob, called_off.clone()).code, None);
    let again = world.connect(&bob, 1);
    assert_eq!(world.welcome(again).delete_at, None);
    for restarted in [false, true] {
        if restarted {
            world.kill();
            world.start();
        }
        let session = world.connect(&bob, 1);
        let refused = put(&mut world, session, first.clone());
        assert_eq!(refused.code, Some(ErrorCode::Conflict));
        let held: Signed<Deletion> = codec::decode(&refused.result.unwrap(), 4096).unwrap();
        assert_eq!(held, called_off);
    }
    tick(&mut world, 8 * DAY);
    assert!(is_here(&mut world, &bob));
}

#[test]
fn it_is_put_off_and_brought_forward() {
    let mut world = Cluster::new();
    let (_, _, bob, at_bob) = two_friends(&mut world);
    let now = world.seconds();
    let word = |at, delete_at| said(&bob, &bob.key, bob.home, at, delete_at);
    assert_eq!(put(&mut world, at_bob, word(now, now + DAY)).code, None);
    assert_eq!(put(&mut world, at_bob, word(now + 1, now + 3 * DAY)).code, None);
    tick(&mut world, DAY);
    assert!(is_here(&mut world, &bob));
    assert_eq!(put(&mut world, at_bob, word(now + 2, now + 2 * DAY)).code, None);
    tick(&mut world, DAY);
    assert!(!is_here(&mut world, &bob));
}

#[test]
fn it_outlives_a_restart_even_when_its_time_comes_meanwhile() {
    for down in [0, 2 * DAY] {
        let mut world = Cluster::new();
        let (_, _, bob, at_bob) = two_friends(&mut world);
        let delete_at = world.seconds() + DAY;
        assert_eq!(say(&mut world, at_bob, &bob, delete_at), None);
        world.power_loss(7);
        world.wait(down);
        world.start();
        tick(&mut world, 0);
        assert_eq!(is_here(&mut world, &bob), down == 0);
        tick(&mut world, DAY);
        assert!(!is_here(&mut world, &bob));
    }
}

#[test]
fn only_the_accounts_key_says_it_about_this_account_to_this_node() {
    let mut world = Cluster::new();
    let (alice, _, mut bob, at_bob) = two_friends(&mut world);
    bob.set_devices(2);
    world.say(at_bob, bob.records_put(2));
    world.turn();
    let linked = world.connect(&bob, 2);
    let (now, node) = (world.seconds(), world.node());
    let statement = |of: &Persona, by: &SigningKey, node| said(of, by, node, now, now + DAY);
    let cases = [
        (statement(&bob, &bob.olm(), node), ErrorCode::BadSignature),
        (statement(&bob, &alice.key, node), ErrorCode::BadSignature),
        (statement(&alice, &alice.key, node), ErrorCode::Denied),
        (statement(&bob, &bob.key, NodeId([9; 32])), ErrorCode::Malformed),
    ];
    for (statement, code) in cases {
        assert_eq!(put(&mut world, linked, statement).code, Some(code));
    }
    let times = [
        (now, now + 30 * DAY + 601, ErrorCode::TooLarge),
        (now + 30 * DAY + 601, 0, ErrorCode::TooLarge),
        (now - 601, now - 601, ErrorCode::Expired),
    ];
    for (at, delete_at, code) in times {
        let statement = said(&bob, &bob.key, node, at, delete_at);
        assert_eq!(put(&mut world, linked, statement).code, Some(code));
    }
    assert_eq!(world.core().user(&bob.account()).unwrap().delete_at, 0);
    let statement = said(&bob, &bob.key, node, now, now + 30 * DAY + 600);
    assert_eq!(put(&mut world, linked, statement).code, None, "any device may bring it");
}

#[test]
fn an_account_that_moved_away_is_deleted_where_it_was() {
    let mut world = Cluster::new();
    let (alice, at_alice, mut bob, at_bob) = two_friends(&mut world);
    let old_home = bob.home;
    bob.home = NodeId([9; 32]);
    world.say(at_bob, bob.records_put(2));
    world.turn();
    world.send(at_alice, 1, {
        let mut envelope = alice.envelope(&bob, world.seconds() + 60, b"where are you?");
        envelope.routes[0].home = old_home;
        envelope
    });
    world.turn();
    assert_eq!(world.refused(at_alice).code, ErrorCode::Moved);
    let now = world.seconds();
    let statement = said(&bob, &bob.key, old_home, now, now);
    assert_eq!(put(&mut world, at_bob, statement).code, None);
    tick(&mut world, 1);
    assert!(!is_here(&mut world, &bob));
    assert_eq!(world.core().moved(&bob.account()), None);
}

#[test]
fn many_at_once_do_not_fill_one_group() {
    let mut world = Cluster::new();
    let delete_at = world.seconds() + DAY;
    let contacts: Vec<_> = (0..250).map(|n| postroad_proto::ids::AccountId([n; 32])).collect();
    let leaving: Vec<Persona> =
        (1..=40).map(|n| Persona::new(n, world.node(), world.network())).collect();
    for persona in &leaving {
        let session = world.join(persona);
        world.say(session, persona.tokens_put(&contacts));
        assert_eq!(say(&mut world, session, persona, delete_at), None);
    }
    world.wait(DAY);
    let now = world.now;
    world.core().tick(now);
    assert!(world.core().staged_bytes() < 512 << 10);
    let left = world.core().account_count();
    assert!(left > 0 && left < leaving.len(), "{left}");
    while world.core().account_count() > 0 {
        world.turn();
        let next = world.core().next_timeout().unwrap();
        world.now = world.now.max(next);
        tick(&mut world, 0);
    }
}
