//! Stories of the roads: one real posthouse, and another that the test plays frame by frame.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod desk;

use cluster::persona::Persona;
use desk::*;
use postroad_core::Input;
use postroad_core::roads::{Command, Event, News, Verdict};
use postroad_proto::SigningKey;
use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{
    Batch, BatchReply, Credit, Done, Frame, Late, Locate, MailOpen, MailOpened, RecordsPut,
    Refused, RefusedParcel, Send, Waiting,
};
use postroad_proto::ids::ParcelId;
use postroad_proto::receipt::{Receipt, ReceiptKind, ReceiptRoot, role};
use postroad_proto::record::NodeRecord;
use postroad_proto::signed::Signed;
use serde_bytes::ByteArray;

#[test]
fn mail_for_another_node_is_accepted_handed_over_and_its_receipt_comes_back() {
    let (mut desk, mut peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    let envelope = alice.envelope(&bob, desk.now / 1000 + 600, b"across");
    let id = id_of(&desk, &envelope);
    desk.client(session, Send { number: 1, envelope: envelope.clone() });
    let given = accepted(&mut desk, session);
    assert_eq!(given[0].items[0].kind, ReceiptKind::Accepted.number());
    assert_eq!(given[0].items[0].role, role::ORIGIN);

    let open = peer.take_link(&mut desk);
    assert_eq!(open.quoted, None);
    let batch = peer.batch(&mut desk);
    let [handed] = batch.envelopes.as_slice() else { panic!("one envelope") };
    assert_eq!(handed.body, envelope.body);
    assert_eq!(handed.routes.len(), 1);
    assert_eq!(id_of(&desk, handed), id);

    // Between the nodes' commits a crash: it is offered again, the same parcel.
    desk.house.power_loss(3);
    desk.start();
    peer.take_link(&mut desk);
    let batch = peer.batch(&mut desk);
    assert_eq!(id_of(&desk, &batch.envelopes[0]), id);
    let reply = peer.reply(&desk, batch.number, id);
    desk.say(reply);
    assert!(desk.house.core().outboxes().is_empty());
    desk.house.power_loss(4);
    desk.start();
    let session = desk.connect(&alice, false);
    let [notice] = desk.notices(session).try_into().expect("one notice");
    let receipt = notice.receipts.unwrap().split().next().unwrap();
    assert_eq!(receipt.verify(desk.house.network()).unwrap().node, peer.node());
    assert!(desk.house.core().outboxes().is_empty());
    desk.wait(1);
    let open = desk.next(|command| matches!(command, Command::OpenLink { .. }).then_some(()));
    assert!(open.is_none(), "nothing is left to hand over");
}

#[test]
fn nobody_takes_mail_for_a_node_that_was_never_heard_of() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    let envelope = alice.envelope(&bob, desk.now / 1000 + 600, b"whither");
    desk.client(session, Send { number: 1, envelope });
    let refused: Vec<Refused> = desk.told(session, |frame| match frame {
        Frame::Refused(refused) => Some(*refused.clone()),
        _ => None,
    });
    assert_eq!((refused[0].code, refused[0].retriable), (ErrorCode::Unroutable, true));
}

#[test]
fn receipts_that_do_not_hold_settle_nothing() {
    let (mut desk, mut peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    let envelope = alice.envelope(&bob, desk.now / 1000 + 86_000, b"prove it");
    let id = id_of(&desk, &envelope);
    desk.client(session, Send { number: 1, envelope });
    type Forgery = fn(&mut BatchReply, &Desk);
    let forgeries: [Forgery; 4] = [
        |reply, _| reply.items[0].copies += 1,
        |reply, _| reply.root = None,
        |reply, _| reply.items[0].parcel = ParcelId([1; 16]),
        |reply, desk| {
            // Well signed, by another node.
            let mut other = Peer { key: SigningKey::from_bytes(&[5; 32]), ..Peer::new() };
            *reply = other.reply(desk, reply.number, reply.items[0].parcel);
        },
    ];
    for forge in forgeries {
        peer.take_link(&mut desk);
        let batch = peer.batch(&mut desk);
        let mut reply = peer.reply(&desk, batch.number, id);
        forge(&mut reply, &desk);
        desk.say(reply);
        assert!(desk.is_hung_up());
        assert_eq!(desk.house.core().outboxes().len(), 1, "it still waits");
        desk.wait(700);
    }
    assert!(desk.notices(session).is_empty());
    assert!(desk.news().iter().any(|news| matches!(news, News::Misbehaved { .. })));
}

#[test]
fn what_one_recipient_puts_off_holds_up_nobody_else_and_is_not_overtaken() {
    let (mut desk, mut peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    let carol = Persona::new(3, peer.node(), desk.house.network());
    let deadline = desk.now / 1000 + 6000;
    let first = alice.envelope(&bob, deadline, b"first");
    desk.client(session, Send { number: 1, envelope: first.clone() });
    peer.take_link(&mut desk);
    let batch = peer.batch(&mut desk);
    let refused = vec![refusal(0, ErrorCode::Quota, 100)];
    let number = batch.number;
    desk.say(BatchReply { number, items: vec![], path: vec![], root: None, refused });

    let second = alice.envelope(&bob, deadline, b"second");
    desk.client(session, Send { number: 2, envelope: second.clone() });
    let other = alice.envelope(&carol, deadline, b"other");
    desk.client(session, Send { number: 3, envelope: other.clone() });
    let batch = peer.batch(&mut desk);
    let ids: Vec<ParcelId> = batch.envelopes.iter().map(|e| id_of(&desk, e)).collect();
    assert_eq!(ids, [id_of(&desk, &other)], "Bob's second message waits behind his first");
    let reply = peer.reply(&desk, batch.number, ids[0]);
    desk.say(reply);

    let parcels = vec![id_of(&desk, &first)];
    desk.client(session, Locate { request: 9, parcels });
    let waiting: Vec<Waiting> = desk.told(session, |frame| match frame {
        Frame::Waiting(waiting) => Some(*waiting.clone()),
        _ => None,
    });
    assert!(waiting[0].reason.contains("QUOTA"), "{}", waiting[0].reason);
    assert_eq!((waiting[0].node, waiting[0].next_try), (peer.node(), desk.now + 100_000));

    desk.wait(101);
    let batch = peer.batch(&mut desk);
    let ids: Vec<ParcelId> = batch.envelopes.iter().map(|e| id_of(&desk, e)).collect();
    assert_eq!(ids, [id_of(&desk, &first), id_of(&desk, &second)]);
}

#[test]
fn a_refusal_for_good_is_told_to_the_sender() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    let envelope = alice.envelope(&bob, desk.now / 1000 + 600, b"unwanted");
    desk.client(session, Send { number: 1, envelope });
    peer.take_link(&mut desk);
    let number = peer.batch(&mut desk).number;
    let refused = vec![refusal(0, ErrorCode::Denied, 0)];
    desk.say(BatchReply { number, items: vec![], path: vec![], root: None, refused });
    let [notice] = desk.notices(session).try_into().expect("one notice");
    let late = notice.refused.unwrap();
    assert_eq!((late.code, late.node), (ErrorCode::Denied, peer.node()));
    assert!(desk.house.core().outboxes().is_empty());
}

#[test]
fn mail_for_whoever_has_moved_goes_on_to_the_new_home() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let third = Peer { key: SigningKey::from_bytes(&[77; 32]), ..Peer::new() };
    third.introduce(&mut desk);
    let (alice, session, mut bob) = alice_and_bob(&mut desk, &peer);
    let envelope = alice.envelope(&bob, desk.now / 1000 + 600, b"after you");
    let id = id_of(&desk, &envelope);
    desk.client(session, Send { number: 1, envelope });
    peer.take_link(&mut desk);
    let number = peer.batch(&mut desk).number;
    bob.home = third.node();
    let moved = |record| {
        let refused = vec![RefusedParcel { record, ..refusal(0, ErrorCode::Moved, 0) }];
        BatchReply { number, items: vec![], path: vec![], root: None, refused }
    };
    desk.say(moved(Some(bob.record(2))));
    desk.wait(1);
    let opening = desk.next(|command| match command {
        Command::OpenLink { node, .. } => Some(*node),
        _ => None,
    });
    assert_eq!(opening, Some(third.node()));
    let [notice] = desk.notices(session).try_into().expect("one notice");
    assert_eq!(notice.refused.unwrap().record, Some(bob.record(2)));
    desk.road(Event::LinkUp { link: LINK, node: third.node(), outbound: true });
    let run = ByteArray::new(third.run);
    desk.say(MailOpened { version: 1, generation: 1, run, quoted: None });
    desk.say(Credit { messages: 64, bytes: 1 << 20 });
    let batch = third.batch(&mut desk);
    assert_eq!(
        (id_of(&desk, &batch.envelopes[0]), batch.envelopes[0].routes[0].home),
        (id, third.node())
    );
}

#[test]
fn what_waits_for_a_home_that_is_gone_follows_its_sender_to_the_new_one() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let third = Peer { key: SigningKey::from_bytes(&[77; 32]), ..Peer::new() };
    third.introduce(&mut desk);
    let (alice, session, mut bob) = alice_and_bob(&mut desk, &peer);
    let mut envelope = alice.envelope(&bob, desk.now / 1000 + 600, b"wherever you are");
    let id = id_of(&desk, &envelope);
    desk.client(session, Send { number: 1, envelope: envelope.clone() });
    bob.home = third.node();
    envelope.routes[0].home = bob.home;
    desk.client(session, Send { number: 2, envelope });
    assert_eq!(accepted(&mut desk, session).len(), 2);
    let waiting = desk.house.core().outboxes();
    assert_eq!(waiting.iter().map(|outbox| outbox.node).collect::<Vec<_>>(), [third.node()]);
    let (node, ..) = desk.house.core().parcel(&id).unwrap().waits.unwrap();
    assert_eq!(node, third.node());
    desk.house.power_loss(1);
    desk.start();
    assert_eq!(desk.house.core().outboxes().len(), 1, "over a crash, too");
}

#[test]
fn an_account_that_leaves_is_answered_for() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (mut alice, session, _) = alice_and_bob(&mut desk, &peer);
    let bob = Persona::new(2, peer.node(), desk.house.network());
    desk.client(session, alice.tokens_put(&[bob.account()]));
    desk.told(session, |_| Some(()));
    alice.home = peer.node();
    let record = Some(alice.record(2));
    desk.client(session, RecordsPut { request: 4, record, devices: None });
    let done: Vec<Done> = desk.told(session, |frame| match frame {
        Frame::Done(done) => Some(*done.clone()),
        _ => None,
    });
    assert_eq!(done[0].code, None, "{}", done[0].detail);
    let mut envelope = bob.envelope(&alice, desk.now / 1000 + 600, b"are you there");
    envelope.routes[0].home = desk.house.node();
    let reply = bring(&mut desk, &peer, vec![envelope]);
    assert_eq!(reply.refused[0].code, ErrorCode::Moved);
    assert_eq!(reply.refused[0].record, Some(alice.record(2)));
    let carol = Persona::new(3, peer.node(), desk.house.network());
    let mut envelope = carol.envelope(&alice, desk.now / 1000 + 600, b"are you there");
    envelope.routes[0].home = desk.house.node();
    let reply = bring(&mut desk, &peer, vec![envelope]);
    assert_eq!(reply.refused[0].code, ErrorCode::Denied, "a stranger learns nothing");
}

#[test]
fn mail_from_another_node_is_judged_like_any_and_answered_in_one_reply() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    desk.client(session, alice.tokens_put(&[bob.account()]));
    let stranger = Persona::new(4, peer.node(), desk.house.network());
    let deadline = desk.now / 1000 + 600;
    let mut elsewhere = bob.envelope(&alice, deadline, b"not for you");
    elsewhere.routes[0].home = peer.node();
    let good = bob.envelope(&alice, deadline, b"good");
    let late = bob.envelope(&alice, desk.now / 1000 - 7200, b"late");
    let unknown = stranger.envelope(&alice, deadline, b"who are you");
    let id = id_of(&desk, &good);
    let reply = bring(&mut desk, &peer, vec![elsewhere, good.clone(), late, unknown]);
    assert_eq!(reply.items.len(), 1);
    let root = reply.root.clone().unwrap();
    let receipt = Receipt { item: reply.items[0].clone(), path: reply.path.clone(), root };
    assert_eq!(receipt.verify(desk.house.network()).unwrap().node, desk.house.node());
    assert_eq!((receipt.item.parcel, receipt.item.kind), (id, ReceiptKind::AtNode.number()));
    let codes: Vec<_> = reply.refused.iter().map(|r| (r.envelope, r.code)).collect();
    let expected = [(0, ErrorCode::Malformed), (2, ErrorCode::Expired), (3, ErrorCode::Denied)];
    assert_eq!(codes, expected);
    let pushes = desk.told(session, |frame| matches!(frame, Frame::Push(_)).then_some(()));
    assert_eq!(pushes.len(), 1);

    desk.say(Batch { number: 2, envelopes: vec![good] });
    let again = desk.heard(|frame| match frame {
        Frame::BatchReply(reply) => Some(*reply.clone()),
        _ => None,
    });
    assert_eq!((again.items.len(), again.number), (1, 2), "a repeat gets a fresh receipt");
    assert!(desk.told(session, |frame| matches!(frame, Frame::Push(_)).then_some(())).is_empty());
}

#[test]
fn more_than_the_credit_or_out_of_turn_ends_the_stream() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, _, bob) = alice_and_bob(&mut desk, &peer);
    let envelope = bob.envelope(&alice, desk.now / 1000 + 600, &[0; 60_000]);
    bring(&mut desk, &peer, vec![envelope.clone()]);
    // Refused, so the window did not grow: 64 envelopes, 1 MiB.
    desk.say(Batch { number: 2, envelopes: vec![envelope; 20] });
    assert!(desk.is_hung_up());
    desk.road(Event::LinkUp { link: LINK, node: peer.node(), outbound: false });
    desk.say(Batch { number: 1, envelopes: vec![] });
    assert!(desk.is_hung_up(), "no batch before the greeting");
    desk.road(Event::LinkUp { link: LINK, node: peer.node(), outbound: false });
    let run = ByteArray::new(peer.run);
    desk.say(MailOpen { versions: (2, 3), generation: 1, run, quoted: None });
    assert!(desk.is_hung_up(), "no common version");
}

#[test]
fn a_node_that_takes_mail_and_never_answers_is_left_and_tried_again() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    let envelope = alice.envelope(&bob, desk.now / 1000 + 6000, b"hello?");
    desk.client(session, Send { number: 1, envelope });
    peer.take_link(&mut desk);
    peer.batch(&mut desk);
    desk.wait(31);
    assert!(desk.is_hung_up());
    let reason = desk.house.core().outboxes()[0].reason.clone();
    assert!(reason.text.contains("does not answer"), "{}", reason.text);
    let next = reason.next_try.unwrap();
    desk.wait((next - desk.now).div_ceil(1000));
    peer.take_link(&mut desk);
    peer.batch(&mut desk);
}

#[test]
fn contact_from_a_node_that_was_away_ends_the_wait() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    let envelope = alice.envelope(&bob, desk.now / 1000 + 86_000, b"hello?");
    desk.client(session, Send { number: 1, envelope });
    let node = peer.node();
    for _ in 0..12 {
        desk.next(|command| matches!(command, Command::OpenLink { .. }).then_some(())).unwrap();
        desk.road(Event::LinkFailed { node, reason: "connection refused".into() });
        let next = desk.house.core().outboxes()[0].reason.next_try.unwrap();
        desk.wait((next - desk.now).div_ceil(1000));
    }
    desk.next(|command| matches!(command, Command::OpenLink { .. }).then_some(())).unwrap();
    desk.road(Event::LinkFailed { node, reason: "connection refused".into() });
    let wait = desk.house.core().outboxes()[0].reason.next_try.unwrap() - desk.now;
    assert!((400_000..=600_000).contains(&wait), "the wait has grown to {wait} ms");
    let address = "/ip4/127.0.0.1/tcp/9".into();
    desk.road(Event::PeerUp { node, outbound: false, address });
    peer.take_link(&mut desk);
}

#[test]
fn only_a_receipt_of_its_own_makes_a_node_believe_that_it_was_rolled_back() {
    let (mut desk, mut peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    desk.client(session, alice.tokens_put(&[bob.account()]));
    let copy = copy(&desk.house.files);
    let envelope = bob.envelope(&alice, desk.now / 1000 + 600, b"remember me");
    let reply = bring(&mut desk, &peer, vec![envelope]);
    let real = reply.root.unwrap();
    let forged = peer.receipt(&desk, ParcelId([1; 16]), ReceiptKind::AtNode).root;
    let mut claimed: ReceiptRoot = codec::decode(&forged.payload, 1000).unwrap();
    claimed.node = desk.house.node();
    claimed.commit = 1 << 40;
    let claimed = Signed::new(&claimed, &peer.key, desk.house.network()).unwrap();
    let quote = |desk: &mut Desk, quoted| {
        desk.road(Event::LinkUp { link: LINK, node: peer.node(), outbound: false });
        let run = ByteArray::new(peer.run);
        desk.say(MailOpen { versions: (1, 1), generation: 1, run, quoted: Some(quoted) });
        desk.house.core().generation()
    };
    assert_eq!(quote(&mut desk, forged), 1, "another node's");
    assert_eq!(quote(&mut desk, claimed), 1, "not signed by it");
    assert_eq!(quote(&mut desk, real.clone()), 1, "it remembers");
    desk.house.power_loss(1);
    desk.start();
    assert_eq!(quote(&mut desk, real.clone()), 1, "still: a power loss is no rollback");

    desk.house.kill();
    desk.house.files = copy;
    desk.start();
    desk.commands.clear();
    assert_eq!(quote(&mut desk, real.clone()), 2);
    let renew = desk.next(|command| matches!(command, Command::RenewRecord).then_some(()));
    assert!(renew.is_some());
    assert_eq!(quote(&mut desk, real), 2, "once");
    // What it does not know it may have known.
    let carol = Persona::new(3, peer.node(), desk.house.network());
    let envelope = carol.envelope(&alice, desk.now / 1000 + 600, b"me too");
    let reply = bring(&mut desk, &peer, vec![envelope]);
    assert_eq!(reply.refused[0].code, ErrorCode::Busy);
    let session = desk.connect(&alice, false);
    desk.client(session, alice.tokens_put(&[bob.account()]));
    let envelope = carol.envelope(&alice, desk.now / 1000 + 600, b"me too");
    let reply = bring(&mut desk, &peer, vec![envelope]);
    assert_eq!(reply.refused[0].code, ErrorCode::Busy, "more of them may follow");
    desk.client(session, alice.tokens_put(&[]));
    let envelope = carol.envelope(&alice, desk.now / 1000 + 600, b"me too");
    let reply = bring(&mut desk, &peer, vec![envelope]);
    assert_eq!(reply.refused[0].code, ErrorCode::Denied, "these are all");
}

#[test]
fn records_are_taken_only_when_they_are_true_and_new() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    let day = 86_400;
    let good = peer.record(&desk, 5, |_| {});
    assert_eq!(gossip(&mut desk, &good), Verdict::Accept);
    assert_eq!(gossip(&mut desk, &good), Verdict::Ignore, "known");
    let stale = peer.record(&desk, 4, |_| {});
    assert_eq!(gossip(&mut desk, &stale), Verdict::Ignore, "stale");
    // Of two with one number everybody keeps the same one.
    let variant = |n: u32| peer.record(&desk, 5, |record| record.region = format!("zone {n}"));
    let larger = (0..).map(variant).find(|record| record.hash() > good.hash()).unwrap();
    assert_eq!(gossip(&mut desk, &larger), Verdict::Ignore);
    let variant = |n: u32| peer.record(&desk, 5, |record| record.region = format!("zone {n}"));
    let smaller = (0..).map(variant).find(|record| record.hash() < good.hash()).unwrap();
    assert_eq!(gossip(&mut desk, &smaller), Verdict::Accept);
    assert_eq!(gossip(&mut desk, &good), Verdict::Ignore);
    let future = peer.record(&desk, 6, |record| {
        record.issued += day;
        record.expires += day;
    });
    assert_eq!(gossip(&mut desk, &future), Verdict::Ignore, "from the future");
    let over = peer.record(&desk, 6, |record| {
        record.issued -= 8 * day;
        record.expires -= 8 * day;
    });
    assert_eq!(gossip(&mut desk, &over), Verdict::Ignore, "over");
    let long = peer.record(&desk, 6, |record| record.expires += 30 * day);
    assert_eq!(gossip(&mut desk, &long), Verdict::Reject, "too long");
    let mut forged = peer.record(&desk, 6, |_| {});
    forged.signature[0] ^= 1;
    assert_eq!(gossip(&mut desk, &forged), Verdict::Reject, "forged");
    let network = "elsewhere".parse().unwrap();
    let opened = good.open(desk.house.network()).unwrap();
    let foreign = NodeRecord { seq: 7, ..opened };
    let foreign = Signed::new(&foreign, &peer.key, &network).unwrap();
    assert_eq!(gossip(&mut desk, &foreign), Verdict::Reject, "of another network");
    let route = desk.house.core().route(&peer.node(), desk.now).unwrap();
    assert_eq!((route.seq, route.equivocates), (5, true));
    let news = desk.news();
    assert!(news.iter().any(|n| matches!(n, News::Equivocates { .. })));
    assert!(news.iter().any(|n| matches!(n, News::FutureRecord { .. })));
    // A restart does not make it forget.
    desk.wait(1);
    desk.house.kill();
    desk.start();
    assert_eq!(gossip(&mut desk, &stale), Verdict::Ignore);
    assert_eq!(desk.house.core().route(&peer.node(), desk.now).unwrap().seq, 5);
}

#[test]
fn a_sender_elsewhere_learns_that_nobody_fetched_it() {
    let (mut desk, mut peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    desk.client(session, alice.tokens_put(&[bob.account()]));
    desk.house.input(desk.now, Input::Disconnected { session });
    let mut envelope = bob.envelope(&alice, desk.now / 1000 + 60, b"in vain");
    envelope.stamp = vec![7; 30].into();
    let id = id_of(&desk, &envelope);
    bring(&mut desk, &peer, vec![envelope]);
    desk.commands.clear();
    desk.wait(60 + 601);
    peer.take_link(&mut desk);
    let late: Late = desk.heard(|frame| match frame {
        Frame::Late(late) => Some(*late.clone()),
        _ => None,
    });
    assert_eq!(&*late.stamp, &[7; 30]);
    assert_eq!(late.receipt.item.parcel, id);
    assert_eq!(late.receipt.item.kind, ReceiptKind::Expired.number());
    assert_eq!(late.receipt.verify(desk.house.network()).unwrap().node, desk.house.node());

    // The other way round: this node's user sent it, and the peer says that it expired.
    let session = desk.connect(&alice, false);
    let envelope = alice.envelope(&bob, desk.now / 1000 + 60, b"in vain too");
    let id = id_of(&desk, &envelope);
    desk.client(session, Send { number: 1, envelope });
    let batch = peer.batch(&mut desk);
    let reply = peer.reply(&desk, batch.number, id);
    desk.say(reply);
    desk.notices(session);
    desk.road(Event::LinkUp { link: 8, node: peer.node(), outbound: false });
    let run = ByteArray::new(peer.run);
    let open = MailOpen { versions: (1, 1), generation: 1, run, quoted: None }.into();
    desk.road(Event::Frame { link: 8, frame: open });
    let receipt = peer.receipt(&desk, id, ReceiptKind::Expired);
    let stamp = batch.envelopes[0].stamp.clone();
    let forged = Late { stamp: vec![1; 53].into(), receipt: receipt.clone() }.into();
    desk.road(Event::Frame { link: 8, frame: forged });
    assert!(desk.notices(session).is_empty());
    desk.road(Event::Frame { link: 8, frame: Late { stamp, receipt }.into() });
    let [notice] = desk.notices(session).try_into().expect("one notice");
    assert_eq!(notice.receipts.unwrap().entries[0].item.kind, ReceiptKind::Expired.number());
}
