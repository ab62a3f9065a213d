//! Stories of accounts: invites, handles, tokens, requests, prekeys, devices.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use cluster::persona::Persona;
use cluster::{Cluster, stored, two_friends};
use postroad_core::Registration;
use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{
    Claimed, Done, Frame, InvitesDrop, InvitesPut, PrekeysClaim, Records, RecordsGet, RecordsPut,
    RequestsSettle, SettingsPut, Tokens, TokensDrop, TokensList, TokensPut, TokensRedeem, settle,
};
use postroad_proto::ids::Hash;
use postroad_proto::token::{DeliveryToken, InviteCode, InviteEntry, Proof, TokenEntry};

const PLENTY: u64 = 1 << 20;

#[test]
fn an_invite_counts_its_uses_and_registering_again_is_success() {
    let mut world = Cluster::new();
    world.house.config.registration = Registration::Invite;
    world.kill();
    world.start();
    let code = InviteCode([7; 16]);
    world.core().create_invite(0, &code, 1, 0).unwrap();
    let (node, network) = (world.node(), world.network().clone());
    let try_join = |world: &mut Cluster, number: u8, invite: Option<InviteCode>| {
        let persona = Persona::new(number, node, &network);
        let session = world.connect_as(&persona, 1);
        world.say(session, persona.hello(None));
        world.say(session, persona.register(invite));
        world.turn();
        world.done(session).code
    };
    assert_eq!(try_join(&mut world, 1, None), Some(ErrorCode::InviteUnknown));
    let unknown = Some(InviteCode([8; 16]));
    assert_eq!(try_join(&mut world, 1, unknown), Some(ErrorCode::InviteUnknown));
    assert_eq!(try_join(&mut world, 1, Some(code.clone())), None);
    assert_eq!(try_join(&mut world, 1, Some(code.clone())), None, "the same account again");
    assert_eq!(try_join(&mut world, 2, Some(code.clone())), Some(ErrorCode::InviteUsed));
    let revoked = InviteCode([9; 16]);
    let hash = world.core().create_invite(0, &revoked, 0, 0).unwrap();
    assert!(world.core().revoke_invite(&hash));
    assert_eq!(try_join(&mut world, 3, Some(revoked)), Some(ErrorCode::InviteRevoked));
    let seconds = world.seconds();
    let late = InviteCode([10; 16]);
    world.core().create_invite(0, &late, 0, seconds + 5).unwrap();
    world.wait(6);
    assert_eq!(try_join(&mut world, 3, Some(late)), Some(ErrorCode::InviteExpired));
}

#[test]
fn a_handle_has_one_holder_and_stays_reserved_after_deletion() {
    let mut world = Cluster::new();
    let alice = Persona::new(1, world.node(), world.network());
    world.join(&alice);
    let mut thief = Persona::new(2, world.node(), world.network());
    thief.name = alice.name.clone();
    for _ in 0..2 {
        let session = world.connect_as(&thief, 1);
        world.say(session, thief.hello(None));
        world.say(session, thief.register(None));
        world.turn();
        assert_eq!(world.done(session).code, Some(ErrorCode::Taken));
        let now = world.now;
        world.core().delete_account(now, &alice.account());
        world.turn();
    }
}

#[test]
fn a_device_gets_in_by_its_own_key_only() {
    let mut world = Cluster::new();
    let alice = Persona::new(1, world.node(), world.network());
    let eve = Persona::new(2, world.node(), world.network());
    world.join(&alice);
    let session = world.connect_as(&eve, 1);
    world.say(session, alice.hello(Some(1)));
    world.turn();
    assert_eq!(world.done(session).code, Some(ErrorCode::Denied));
    assert_eq!(world.closed.get(&session), Some(&ErrorCode::Denied));
    let session = world.connect_as(&eve, 1);
    world.say(session, eve.hello(Some(1)));
    world.turn();
    assert_eq!(world.done(session).code, Some(ErrorCode::Denied), "absent looks the same");
}

#[test]
fn a_contact_invite_is_redeemed_once_and_then_opens_the_way() {
    let mut world = Cluster::new();
    let alice = Persona::new(1, world.node(), world.network());
    let bob = Persona::new(2, world.node(), world.network());
    let (at_alice, at_bob) = (world.join(&alice), world.join(&bob));
    world.send(at_alice, 1, alice.envelope(&bob, world.seconds() + 60, b"no token yet"));
    world.turn();
    assert_eq!(world.refused(at_alice).code, ErrorCode::Denied);

    let code = InviteCode([5; 16]);
    let invites = vec![InviteEntry { hash: code.hash(), uses: 1, expires: 0 }];
    world.say(at_bob, InvitesPut { request: 1, invites });
    let redeem = |token: DeliveryToken| TokensRedeem {
        request: 2,
        node: bob.home,
        account: bob.account(),
        invite: code.clone(),
        token: token.hash(),
    };
    let chosen = bob.token_for(&alice.account());
    for _ in 0..2 {
        world.say(at_alice, redeem(chosen.clone()));
        world.turn();
        let done = world.done(at_alice);
        assert_eq!(done.code, None, "the same token again is success");
        let records: Records = codec::decode(&done.result.unwrap(), 1 << 16).unwrap();
        assert_eq!(records.record, bob.record(1));
    }
    world.say(at_alice, redeem(DeliveryToken([9; 16])));
    world.turn();
    assert_eq!(world.done(at_alice).code, Some(ErrorCode::InviteUsed));
    world.send(at_alice, 3, alice.envelope(&bob, world.seconds() + 60, b"now"));
    world.turn();
    world.accepted(at_alice);

    world.say(at_bob, TokensDrop { request: 4, hashes: vec![chosen.hash()] });
    world.turn();
    world.send(at_alice, 5, alice.envelope(&bob, world.seconds() + 60, b"blocked"));
    world.turn();
    assert_eq!(world.refused(at_alice).code, ErrorCode::Denied, "at once");
    world.say(at_bob, InvitesDrop { request: 6, hashes: vec![code.hash()] });
    world.say(at_alice, redeem(DeliveryToken([9; 16])));
    world.turn();
    assert_eq!(world.done(at_alice).code, Some(ErrorCode::InviteRevoked));
}

#[test]
fn a_stranger_may_leave_one_request_until_it_is_settled() {
    let mut world = Cluster::new();
    let alice = Persona::new(1, world.node(), world.network());
    let bob = Persona::new(2, world.node(), world.network());
    let (at_alice, at_bob) = (world.join(&alice), world.join(&bob));
    let deadline = world.seconds() + 86_400;
    world.send(at_alice, 1, alice.request(&bob, deadline, b"may I?"));
    world.send(at_alice, 2, alice.request(&bob, deadline, b"please?"));
    world.turn();
    let heard = world.heard(at_alice);
    assert!(heard.iter().any(|f| matches!(f, Frame::Accepted(a) if a.numbers == [1])));
    assert!(
        heard.iter().any(|f| matches!(f, Frame::Refused(r) if r.code == ErrorCode::Rate)),
        "one at a time"
    );
    world.credit(at_bob, 9, PLENTY);
    let push = world.pushes(at_bob).remove(0);
    let (origin, tag) = (push.origin.unwrap(), push.tag.unwrap());
    assert_eq!(origin, world.node());
    let settle = |how| RequestsSettle { request: 3, origin, tag, how };
    world.say(at_bob, settle(settle::IGNORED));
    world.turn();
    world.send(at_alice, 4, alice.request(&bob, deadline, b"again?"));
    world.turn();
    world.accepted(at_alice);
    world.say(at_bob, settle(settle::BLOCKED));
    world.turn();
    world.send(at_alice, 5, alice.request(&bob, deadline, b"and again?"));
    world.turn();
    assert_eq!(world.refused(at_alice).code, ErrorCode::Denied, "as if there were nobody");
}

#[test]
fn handles_can_be_looked_up_unless_their_holder_minds() {
    let mut world = Cluster::new();
    let alice = Persona::new(1, world.node(), world.network());
    let bob = Persona::new(2, world.node(), world.network());
    let (at_alice, at_bob) = (world.join(&alice), world.join(&bob));
    world.say(at_bob, bob.prekeys_put(1, 1, 3));
    let look_up = |handle: &str| RecordsGet {
        request: 1,
        node: bob.home,
        account: None,
        handle: Some(handle.parse().unwrap()),
        proof: Proof::default(),
    };
    world.say(at_alice, look_up(&bob.name));
    world.turn();
    let records: Records = codec::decode(&world.done(at_alice).result.unwrap(), 1 << 16).unwrap();
    assert!(records.fallback[0].prekey.fallback, "strangers get no one-time key");
    world.say(at_alice, look_up("nobody"));
    world.turn();
    let nobody = world.done(at_alice).code;
    world.say(at_bob, SettingsPut { request: 2, lookups: false });
    world.say(at_alice, look_up(&bob.name));
    world.turn();
    assert_eq!((nobody, world.done(at_alice).code), (Some(ErrorCode::NotFound), nobody));
}

#[test]
fn one_time_keys_are_handed_out_once_then_the_fallback() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, at_bob) = two_friends(&mut world);
    world.say(at_bob, bob.prekeys_put(1, 1, 2));
    world.turn();
    let mut keys = Vec::new();
    for _ in 0..4 {
        let proof = Proof { token: Some(bob.token_for(&alice.account())), ..Proof::default() };
        let (node, account) = (bob.home, bob.account());
        world.say(at_alice, PrekeysClaim { request: 1, node, account, devices: vec![1], proof });
        world.turn();
        let claimed: Claimed =
            codec::decode(&world.done(at_alice).result.unwrap(), 1 << 16).unwrap();
        keys.push(claimed.prekeys[0].prekey.clone());
    }
    assert_ne!(keys[0].key, keys[1].key);
    assert_eq!(keys.iter().map(|k| k.fallback).collect::<Vec<_>>(), [false, false, true, true]);
    let forged = match bob.prekeys_put(1, 50, 1) {
        Frame::PrekeysPut(mut put) => {
            put.one_time[0].key = Hash([51; 32]);
            put
        }
        _ => unreachable!(),
    };
    world.say(at_bob, *forged);
    world.turn();
    assert_eq!(world.done(at_bob).code, Some(ErrorCode::BadSignature));
}

#[test]
fn a_second_device_gets_its_own_mailbox_and_one_taken_off_loses_it() {
    let mut world = Cluster::new();
    let (alice, at_alice, mut bob, at_bob) = two_friends(&mut world);
    bob.set_devices(2);
    world.say(at_bob, bob.records_put(2));
    world.turn();
    assert_eq!(world.done(at_bob).code, None);
    world.send(at_alice, 1, alice.envelope(&bob, world.seconds() + 60, b"to both"));
    world.turn();
    assert_eq!(world.accepted(at_alice).items[0].copies, 2);
    assert_eq!((stored(world.store(), &bob, 1), stored(world.store(), &bob, 2)), (1, 1));
    world.send(at_bob, 2, bob.own_copy(world.seconds() + 60, b"to my other device"));
    world.turn();
    assert_eq!((stored(world.store(), &bob, 1), stored(world.store(), &bob, 2)), (1, 2));

    let stale = RecordsPut { request: 3, record: Some(bob.record(1)), devices: None };
    world.say(at_bob, stale);
    world.turn();
    assert_eq!(world.done(at_bob).code, Some(ErrorCode::Conflict), "a newer one is held");
    bob.set_devices(1);
    world.say(at_bob, bob.records_put(3));
    world.turn();
    assert_eq!(world.done(at_bob).code, None);
    assert_eq!((stored(world.store(), &bob, 1), stored(world.store(), &bob, 2)), (1, 0));
    world.send(at_alice, 5, {
        let mut stale = alice.envelope(&bob, world.seconds() + 60, b"stale");
        stale.routes[0].parcels[0].headers[0].device = 2;
        stale
    });
    world.turn();
    let refused = world.refused(at_alice);
    assert_eq!(refused.code, ErrorCode::StaleDevices);
    assert_eq!(refused.records.unwrap().devices, bob.list());
}

#[test]
fn a_malformed_ack_or_frame_out_of_turn_closes_the_session() {
    let mut world = Cluster::new();
    let (_, at_alice, _, at_bob) = two_friends(&mut world);
    world.say(at_bob, postroad_proto::frame::Ack { generation: 1, ranges: vec![(5, 1)] });
    // A frame that only a node says.
    world.say(
        at_alice,
        Done { request: 0, code: None, result: None, retry_after: 0, detail: String::new() },
    );
    world.turn();
    assert_eq!(world.closed.get(&at_bob), Some(&ErrorCode::Malformed));
    assert_eq!(world.closed.get(&at_alice), Some(&ErrorCode::Malformed));
}

#[test]
fn a_number_with_other_keys_is_another_device() {
    let mut world = Cluster::new();
    let (alice, at_alice, mut bob, at_bob) = two_friends(&mut world);
    bob.set_devices(2);
    world.say(at_bob, bob.records_put(2));
    world.turn();
    let second = world.connect(&bob, 2);
    let envelope = alice.envelope(&bob, world.seconds() + 60, b"to both");
    world.send(at_alice, 1, envelope.clone());
    world.turn();
    assert_eq!(world.accepted(at_alice).items[0].copies, 2);

    bob.change_keys(2);
    bob.set_devices(2);
    world.say(at_bob, bob.records_put(3));
    world.turn();
    assert_eq!(world.closed.get(&second), Some(&ErrorCode::Denied), "the old key is out");
    assert_eq!(stored(world.store(), &bob, 2), 0, "and its mail is not the new one's");
}

#[test]
fn mail_that_was_dropped_with_its_device_is_judged_anew() {
    let mut world = Cluster::new();
    let (alice, at_alice, mut bob, at_bob) = two_friends(&mut world);
    bob.set_devices(2);
    world.say(at_bob, bob.records_put(2));
    let mut envelope = alice.envelope(&bob, world.seconds() + 60, b"to the second");
    envelope.routes[0].parcels[0].headers.remove(0);
    world.send(at_alice, 1, envelope.clone());
    world.turn();
    world.accepted(at_alice);
    bob.set_devices(1);
    world.say(at_bob, bob.records_put(3));
    world.send(at_alice, 2, envelope);
    world.turn();
    assert_eq!(world.refused(at_alice).code, ErrorCode::StaleDevices, "nobody holds it");
}

#[test]
fn strangers_learn_no_handles_by_registering() {
    let mut world = Cluster::new();
    let alice = Persona::new(1, world.node(), world.network());
    world.join(&alice);
    world.house.config.registration = Registration::Invite;
    world.kill();
    world.start();
    for name in [alice.name.clone(), "free".to_owned()] {
        let mut stranger = Persona::new(2, world.node(), world.network());
        stranger.name = name;
        let session = world.connect_as(&stranger, 1);
        world.say(session, stranger.hello(None));
        world.say(session, stranger.register(None));
        world.turn();
        assert_eq!(world.done(session).code, Some(ErrorCode::InviteUnknown));
        world.say(session, stranger.register(None));
        world.say(session, stranger.register(None));
        world.turn();
        assert_eq!(world.closed.get(&session), Some(&ErrorCode::Rate), "three tries");
    }
}

#[test]
fn one_contact_cannot_use_up_the_one_time_keys() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, at_bob) = two_friends(&mut world);
    world.say(at_bob, bob.prekeys_put(1, 1, 100));
    world.turn();
    let claim = |devices| {
        let proof = Proof { token: Some(bob.token_for(&alice.account())), ..Proof::default() };
        PrekeysClaim { request: 1, node: bob.home, account: bob.account(), devices, proof }
    };
    world.say(at_alice, claim(vec![1, 1, 1]));
    world.turn();
    assert_eq!(world.done(at_alice).code, Some(ErrorCode::Malformed));
    for _ in 0..20 {
        world.say(at_alice, claim(vec![1]));
    }
    world.turn();
    let again = world.connect(&bob, 1);
    assert_eq!(world.welcome(again).one_time_keys, 92);
}

#[test]
fn all_that_is_staged_counts() {
    let mut world = Cluster::new();
    let (_, _, bob, at_bob) = two_friends(&mut world);
    let contacts: Vec<_> = (0..200).map(|n| postroad_proto::ids::AccountId([n; 32])).collect();
    world.say(at_bob, bob.tokens_put(&contacts));
    let staged = world.core().staged_bytes();
    assert!(staged > 200 * 100, "{staged}");
    world.turn();
    world.say(at_bob, bob.tokens_put(&contacts));
    assert_eq!(world.core().staged_bytes(), 0, "the same again writes nothing");
}

#[test]
fn a_token_that_has_ended_is_forgotten() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, at_bob) = two_friends(&mut world);
    let token = bob.token_for(&alice.account());
    let (label, expires) = (*b"contact1", world.seconds() + 60);
    let entry = |hash, expires| TokenEntry { hash, label, rate: 0, byte_share: 0, expires };
    let put = |world: &mut Cluster, tokens| {
        world.say(at_bob, TokensPut { request: 7, tokens });
        world.turn();
        assert_eq!(world.done(at_bob).code, None);
    };
    put(&mut world, vec![entry(token.hash(), expires), entry(Hash([8; 32]), 0)]);
    world.send(at_alice, 1, alice.envelope(&bob, expires + 600, b"in time"));
    world.turn();
    assert_eq!(world.accepted(at_alice).items.len(), 1);
    world.wait(61);
    world.send(at_alice, 2, alice.envelope(&bob, expires + 600, b"too late"));
    world.turn();
    assert_eq!(world.refused(at_alice).code, ErrorCode::Denied);
    world.say(at_bob, TokensList { request: 8 });
    world.turn();
    let listed: Tokens = codec::decode(&world.done(at_bob).result.unwrap(), 4096).unwrap();
    assert_eq!(listed.tokens.iter().map(|entry| entry.hash).collect::<Vec<_>>(), [Hash([8; 32])]);
}
