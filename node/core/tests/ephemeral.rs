//! Stories of typing and presence: they reach whoever is there, and leave no trace.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod desk;

use cluster::persona::Persona;
use cluster::posthouse::Posthouse;
use cluster::{Cluster, two_friends};
use desk::*;
use postroad_core::roads::{Command, Event};
use postroad_core::{Config, Registration, SessionId};
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{
    EphemeralPush, EphemeralSend, Frame, MailOpen, MailOpened, Ping, RecordsGet, TokensDrop,
};
use postroad_proto::ids::NodeId;
use postroad_proto::limits::MAX_EPHEMERAL;
use postroad_proto::token::Proof;
use serde_bytes::ByteArray;

fn said(from: &Persona, to: &Persona, sealed: &[u8]) -> EphemeralSend {
    let (node, account, token) = (to.home, to.account(), to.token_for(&from.account()));
    EphemeralSend { node, account, token, sealed: sealed.to_vec().into() }
}

fn pushed(frame: &Frame) -> Option<EphemeralPush> {
    match frame {
        Frame::EphemeralPush(push) => Some(*push.clone()),
        _ => None,
    }
}

fn heard(world: &mut Cluster, session: SessionId) -> Vec<Vec<u8>> {
    world.turn();
    let pushes = world.heard(session).iter().filter_map(pushed).collect::<Vec<_>>();
    pushes.iter().map(|push| push.sealed.to_vec()).collect()
}

#[test]
fn it_reaches_each_device_that_is_there_under_a_token_and_is_not_stored() {
    let mut world = Cluster::new();
    let (alice, at_alice, mut bob, at_bob) = two_friends(&mut world);
    bob.set_devices(2);
    world.say(at_bob, bob.records_put(2));
    let second = world.connect(&bob, 2);
    world.credit(at_bob, 10, 1 << 20);
    world.credit(second, 10, 1 << 20);
    world.turn();
    let commits = world.core().counters().roots;
    world.say(at_alice, said(&alice, &bob, b"typing"));
    world.turn();
    for session in [at_bob, second] {
        let frames = world.heard(session);
        let pushes: Vec<EphemeralPush> = frames.iter().filter_map(pushed).collect();
        assert_eq!(pushes.len(), 1);
        assert_eq!(pushes[0].label.as_slice(), &alice.account().0[..8], "its token's label");
    }
    assert_eq!(world.core().counters().roots, commits, "nobody got a receipt");
    world.disconnect(second);
    let third = world.connect(&bob, 2);
    world.credit(third, 10, 1 << 20);
    assert!(heard(&mut world, third).is_empty(), "who was away does not get it later");

    // Without a token, with a large one, to somebody who reads nothing: nothing, and no answer.
    let forged =
        EphemeralSend { token: alice.token_for(&bob.account()), ..said(&alice, &bob, b"x") };
    world.say(at_alice, forged);
    world.say(at_alice, said(&alice, &bob, &[0; MAX_EPHEMERAL + 1]));
    world.say(at_alice, EphemeralSend { node: NodeId([9; 32]), ..said(&alice, &bob, b"x") });
    assert!(heard(&mut world, at_bob).is_empty());
    let silent = world.connect(&bob, 1);
    world.say(at_alice, said(&alice, &bob, b"x"));
    assert!(heard(&mut world, silent).is_empty(), "no credit, no mail, no typing");
    assert!(world.heard(at_alice).is_empty());

    let hashes = vec![bob.token_for(&alice.account()).hash()];
    world.credit(silent, 10, 1 << 20);
    world.say(silent, TokensDrop { request: 9, hashes });
    world.say(at_alice, said(&alice, &bob, b"x"));
    assert!(heard(&mut world, silent).is_empty(), "blocked at once");
}

#[test]
fn nobody_gets_more_than_one_a_second_for_long() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, at_bob) = two_friends(&mut world);
    world.credit(at_bob, 10, 1 << 20);
    for n in 0..100u8 {
        world.say(at_alice, said(&alice, &bob, &[n]));
    }
    assert_eq!(heard(&mut world, at_bob).len(), 20);
    world.wait(5);
    for n in 0..100u8 {
        world.say(at_alice, said(&alice, &bob, &[n]));
    }
    assert_eq!(heard(&mut world, at_bob).len(), 5);
    world.say(at_alice, Ping { request: 1 });
    world.turn();
    assert_eq!(world.done(at_alice).code, None, "and mail goes on");
}

#[test]
fn it_crosses_on_the_mail_stream_or_within_ten_seconds_of_one() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    let crossed = |desk: &mut Desk| {
        desk.next(|command| match command {
            Command::Frame { link: LINK, frame: Frame::EphemeralSend(said) } => Some(*said.clone()),
            _ => None,
        })
    };
    desk.client(session, said(&alice, &bob, b"first"));
    peer.take_link(&mut desk);
    let first = crossed(&mut desk).expect("held until there was a stream");
    assert_eq!(first, said(&alice, &bob, b"first"));
    desk.client(session, said(&alice, &bob, b"second"));
    assert!(crossed(&mut desk).is_some(), "at once on a stream that stands");

    // It keeps the stream from being closed, and is not offered again on the next.
    desk.wait(15);
    desk.client(session, said(&alice, &bob, b"third"));
    desk.wait(10);
    assert!(crossed(&mut desk).is_some() && !desk.is_hung_up());
    desk.wait(21);
    assert!(desk.is_hung_up(), "a stream without use is closed");

    desk.client(session, said(&alice, &bob, b"late"));
    desk.wait(11);
    peer.take_link(&mut desk);
    assert!(crossed(&mut desk).is_none(), "what is old is worth nothing");
}

#[test]
fn a_node_that_is_away_is_not_called_for_it() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    let calls = |desk: &mut Desk| {
        desk.next(|command| matches!(command, Command::OpenLink { .. }).then_some(())).is_some()
    };
    desk.client(session, said(&alice, &bob, b"x"));
    assert!(!calls(&mut desk), "no way to it");
    peer.introduce(&mut desk);
    desk.client(session, said(&alice, &bob, b"x"));
    assert!(calls(&mut desk));
    desk.road(Event::LinkFailed { node: peer.node(), reason: "refused".into() });
    desk.client(session, said(&alice, &bob, b"x"));
    assert!(!calls(&mut desk), "it was away a moment ago");
    desk.wait(700);
    assert!(!calls(&mut desk), "and nothing waits for another attempt");
    assert!(desk.house.core().outboxes().is_empty());
    desk.client(session, said(&alice, &bob, b"x"));
    assert!(calls(&mut desk), "by now it may be back");
}

#[test]
fn a_stream_that_opens_slowly_costs_one_question() {
    let registration = Registration::Open;
    let config = Config { registration, lookups_per_hour: 2, ..Config::default() };
    let (mut desk, peer) = (Desk::on(Posthouse::new(1, config)), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    for _ in 0..9 {
        desk.client(session, said(&alice, &bob, b"x"));
        desk.wait(1);
    }
    peer.take_link(&mut desk);
    let crosses = |command: &Command| match command {
        Command::Frame { link: LINK, frame: Frame::EphemeralSend(_) } => Some(()),
        _ => None,
    };
    let crossed = std::iter::from_fn(|| desk.next(crosses)).count();
    assert_eq!(crossed, 9);
    let ask = RecordsGet {
        request: 9,
        node: desk.house.node(),
        account: None,
        handle: Some("nobody".parse().unwrap()),
        proof: Proof::default(),
    };
    desk.client(session, ask);
    let done = desk.told(session, |frame| match frame {
        Frame::Done(done) => Some(done.code),
        _ => None,
    });
    assert_eq!(done, [Some(ErrorCode::NotFound)], "one is left");
}

#[test]
fn another_node_brings_only_what_is_for_this_one() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    let alice = Persona::new(1, desk.house.node(), desk.house.network());
    let bob = Persona::new(2, peer.node(), desk.house.network());
    let session = desk.connect(&alice, true);
    desk.client(session, alice.tokens_put(&[bob.account()]));
    desk.road(Event::LinkUp { link: LINK, node: peer.node(), outbound: false });
    let run = ByteArray::new(peer.run);
    desk.say(MailOpen { versions: (1, 1), generation: 1, run, quoted: None });
    desk.heard(|frame| matches!(frame, Frame::MailOpened(_)).then_some(()));
    desk.say(EphemeralSend { node: peer.node(), ..said(&bob, &alice, b"x") });
    assert!(desk.told(session, pushed).is_empty());
    desk.say(said(&bob, &alice, b"typing"));
    assert_eq!(desk.told(session, pushed).len(), 1);
    assert!(!desk.is_hung_up());
    desk.say(MailOpened { version: 1, generation: 1, run, quoted: None });
    assert!(desk.is_hung_up(), "and whoever says anything else is still hung up on");
}
