//! Stories of accounts that moved away: their old home says where they went, for a time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use cluster::persona::Persona;
use cluster::{Cluster, stored, two_friends};
use postroad_core::SessionId;
use postroad_core::changes::{Changes, StateChange};
use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{
    Done, Frame, InvitesDrop, InvitesPut, PrekeysClaim, RecordsGet, SettingsPut, TokensRedeem,
};
use postroad_proto::ids::NodeId;
use postroad_proto::limits::FORWARD_SECONDS;
use postroad_proto::record::AccountRecord;
use postroad_proto::signed::Signed;
use postroad_proto::token::{DeliveryToken, InviteCode, InviteEntry, Proof};
use postroad_store::Store as _;

const CODE: InviteCode = InviteCode([5; 16]);

fn tick(world: &mut Cluster, seconds: u64) {
    world.wait(seconds);
    let now = world.now;
    world.core().tick(now);
    world.turn();
}

fn ask(world: &mut Cluster, session: SessionId, frame: impl Into<Frame>) -> Done {
    world.say(session, frame);
    world.turn();
    world.done(session)
}

/// Bob leaves, under a record with this number.
fn move_away(world: &mut Cluster, at_bob: SessionId, bob: &Persona, seq: u64) -> Persona {
    let mut moved = bob.clone();
    moved.home = NodeId([9; 32]);
    assert_eq!(ask(world, at_bob, moved.records_put(seq)).code, None);
    moved
}

fn is_here(world: &mut Cluster, of: &Persona) -> bool {
    world.core().user(&of.account()).is_some()
}

/// What the old home is asked about Bob, by whoever has a right to.
fn questions(world: &Cluster, alice: &Persona, bob: &Persona) -> Vec<(&'static str, Frame)> {
    let (node, account) = (world.node(), bob.account());
    let by_token = Proof { token: Some(bob.token_for(&alice.account())), ..Proof::default() };
    let by_invite = Proof { invite: Some(CODE), ..Proof::default() };
    let by_handle = Proof { handle: Some(bob.name.parse().unwrap()), ..Proof::default() };
    let get = |proof: &Proof| RecordsGet {
        request: 1,
        node,
        account: proof.handle.is_none().then_some(account),
        handle: proof.handle.clone(),
        proof: proof.clone(),
    };
    let claim = |proof: &Proof| {
        let proof = proof.clone();
        PrekeysClaim { request: 2, node, account, devices: vec![1], proof }
    };
    let token = DeliveryToken([8; 16]).hash();
    vec![
        ("records by handle", get(&by_handle).into()),
        ("records by token", get(&by_token).into()),
        ("records by invite", get(&by_invite).into()),
        ("prekeys by handle", claim(&by_handle).into()),
        ("prekeys by token", claim(&by_token).into()),
        ("prekeys by invite", claim(&by_invite).into()),
        ("an invite", TokensRedeem { request: 3, node, account, invite: CODE, token }.into()),
    ]
}

#[test]
fn whoever_may_write_learns_where_it_went_for_90_days() {
    let mut world = Cluster::new();
    let (alice, at_alice, bob, at_bob) = two_friends(&mut world);
    let invites = vec![InviteEntry { hash: CODE.hash(), uses: 0, expires: 0 }];
    world.say(at_bob, InvitesPut { request: 1, invites });
    world.say(at_bob, bob.prekeys_put(1, 1, 3));
    let deadline = world.seconds() + 30 * 86_400;
    world.send(at_alice, 1, alice.envelope(&bob, deadline, b"before"));
    world.turn();
    let moved = move_away(&mut world, at_bob, &bob, 2);
    assert_eq!(stored(world.store(), &bob, 1), 1, "what is there is handed out");

    for wait in [0, FORWARD_SECONDS - 1] {
        tick(&mut world, wait);
        for (about, question) in questions(&world, &alice, &bob) {
            let done = ask(&mut world, at_alice, question);
            assert_eq!(done.code, Some(ErrorCode::Moved), "{about}");
            let told: Signed<AccountRecord> = codec::decode(&done.result.unwrap(), 4096).unwrap();
            assert_eq!(told, moved.record(2), "{about}");
        }
        world.send(at_alice, 2, alice.envelope(&bob, world.seconds() + 60, b"where?"));
        world.turn();
        let refused = world.refused(at_alice);
        assert_eq!(refused.code, ErrorCode::Moved);
        assert_eq!(refused.records.unwrap().record, moved.record(2));
    }

    tick(&mut world, 1);
    assert_eq!(world.closed.get(&at_bob), Some(&ErrorCode::Denied));
    assert_eq!(world.done(at_bob).detail, "the account has moved; its forward has ended");
    assert!(!is_here(&mut world, &bob));
    for (about, question) in questions(&world, &alice, &bob) {
        let code = ask(&mut world, at_alice, question).code.unwrap();
        let unknown = [ErrorCode::Denied, ErrorCode::NotFound, ErrorCode::InviteUnknown];
        assert!(unknown.contains(&code), "{about}: {code:?}");
    }
    let mut heir = Persona::new(5, world.node(), world.network());
    heir.name = bob.name.clone();
    let session = world.connect_as(&heir, 1);
    world.say(session, heir.hello(None));
    assert_eq!(ask(&mut world, session, heir.register(None)).code, Some(ErrorCode::Taken));
}

#[test]
fn whoever_may_not_write_learns_nothing() {
    let mut world = Cluster::new();
    let (_, at_alice, bob, at_bob) = two_friends(&mut world);
    let invites = vec![InviteEntry { hash: CODE.hash(), uses: 1, expires: 0 }];
    world.say(at_bob, InvitesPut { request: 1, invites });
    let (node, account, invite) = (world.node(), bob.account(), CODE);
    let redeem = |token| TokensRedeem {
        request: 2,
        node,
        account,
        invite: invite.clone(),
        token: DeliveryToken(token).hash(),
    };
    assert_eq!(ask(&mut world, at_alice, redeem([1; 16])).code, None);
    world.say(at_bob, SettingsPut { request: 3, lookups: false });
    move_away(&mut world, at_bob, &bob, 2);
    let again = ask(&mut world, at_alice, redeem([1; 16]));
    assert_eq!(again.code, Some(ErrorCode::Moved), "a repeat of what succeeded");
    let other = ask(&mut world, at_alice, redeem([2; 16]));
    assert_eq!(other.code, Some(ErrorCode::InviteUsed));
    world.say(at_bob, InvitesDrop { request: 4, hashes: vec![CODE.hash()] });
    let other = ask(&mut world, at_alice, redeem([2; 16]));
    assert_eq!(other.code, Some(ErrorCode::InviteRevoked));
    let by = |account, handle| RecordsGet {
        request: 5,
        node,
        account,
        handle,
        proof: Proof { token: Some(DeliveryToken([3; 16])), ..Proof::default() },
    };
    let by_handle = by(None, Some(bob.name.parse().unwrap()));
    assert_eq!(ask(&mut world, at_alice, by_handle).code, Some(ErrorCode::NotFound));
    let by_token = by(Some(account), None);
    assert_eq!(ask(&mut world, at_alice, by_token).code, Some(ErrorCode::Denied));
}

#[test]
fn coming_back_ends_the_forward_and_further_records_do_not_prolong_it() {
    let mut world = Cluster::new();
    let (_, _, bob, at_bob) = two_friends(&mut world);
    move_away(&mut world, at_bob, &bob, 2);
    tick(&mut world, FORWARD_SECONDS - 1);
    assert_eq!(ask(&mut world, at_bob, bob.records_put(3)).code, None);
    tick(&mut world, FORWARD_SECONDS);
    assert!(is_here(&mut world, &bob), "it is at home");
    assert!(!world.closed.contains_key(&at_bob));

    move_away(&mut world, at_bob, &bob, 4);
    tick(&mut world, FORWARD_SECONDS - 1);
    let mut further = bob.clone();
    further.home = NodeId([8; 32]);
    assert_eq!(ask(&mut world, at_bob, further.records_put(5)).code, None);
    assert_eq!(world.core().moved(&bob.account()), Some(further.home));
    world.kill();
    world.start();
    tick(&mut world, 0);
    assert!(is_here(&mut world, &bob));
    tick(&mut world, 1);
    assert!(!is_here(&mut world, &bob), "90 days from when it left");
}

/// As an earlier version wrote it down: without the time.
fn forget_when(world: &mut Cluster) {
    world.kill();
    let recovered = world.house.start(world.now).unwrap();
    let rows = recovered.state.iter().filter(|(key, _)| key[0] == 2);
    let (key, row) = rows.max_by_key(|(_, row)| row.len()).unwrap();
    // The last of the entries: key 10, and seconds in four bytes.
    let (rest, last) = row.split_at(row.len() - 6);
    assert_eq!((row[0], &last[..2]), (0xab, [10, 0x1a].as_slice()));
    let value = [&[0xaa], &rest[1..]].concat();
    let change = StateChange { key: key.clone(), value: Some(value.into()), promised: true };
    let commit = recovered.commit + 1;
    world.store().commit(&Changes { commit, state: vec![change], ..Changes::default() }).unwrap();
    world.kill();
}

#[test]
fn of_who_left_before_this_was_counted_it_counts_from_the_first_start() {
    let mut world = Cluster::new();
    let bob = Persona::new(2, world.node(), world.network());
    let at_bob = world.join(&bob);
    move_away(&mut world, at_bob, &bob, 2);
    forget_when(&mut world);
    world.wait(FORWARD_SECONDS);
    for part in [0, FORWARD_SECONDS - 1] {
        world.start();
        tick(&mut world, part);
        assert!(is_here(&mut world, &bob));
        world.kill();
    }
    world.start();
    tick(&mut world, 1);
    assert!(!is_here(&mut world, &bob));
}

#[test]
fn devices_that_are_there_are_sent_after_it_and_may_come_back_for_their_mail() {
    let mut world = Cluster::new();
    let (alice, at_alice, mut bob, at_bob) = two_friends(&mut world);
    bob.set_devices(2);
    assert_eq!(ask(&mut world, at_bob, bob.records_put(2)).code, None);
    let at_second = world.connect(&bob, 2);
    let deadline = world.seconds() + 30 * 86_400;
    world.send(at_alice, 1, alice.envelope(&bob, deadline, b"before"));
    world.turn();

    let moved = move_away(&mut world, at_bob, &bob, 3);
    assert_eq!(world.closed.get(&at_second), Some(&ErrorCode::Moved));
    assert_eq!(world.closed.get(&at_bob), None, "who moved it stays");
    let again = world.connect(&bob, 2);
    assert_eq!(world.welcome(again).record.unwrap(), moved.record(3));
    assert_eq!(stored(world.store(), &bob, 2), 1, "its mail is there");
    // It is not sent away again by what comes later.
    assert_eq!(ask(&mut world, at_bob, moved.records_put(4)).code, None);
    assert_eq!(world.closed.get(&again), None);
}
