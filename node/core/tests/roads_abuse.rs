//! What goes wrong on the roads, by chance or on purpose, and whom it must not hurt.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod desk;

use cluster::persona::Persona;
use cluster::posthouse::Posthouse;
use desk::*;
use postroad_core::roads::{Command, Event, News, Verdict};
use postroad_core::{Config, Registration, RoadsConfig};
use postroad_proto::SigningKey;
use postroad_proto::codec;
use postroad_proto::envelope::Class;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Ack, BatchReply, Credit, Frame, MailOpened, RefusedParcel, Send};
use postroad_proto::ids::{NodeId, ParcelId};
use serde_bytes::ByteArray;

fn third() -> Peer {
    Peer { key: SigningKey::from_bytes(&[77; 32]), ..Peer::new() }
}

fn refused(desk: &mut Desk, number: u64, refused: RefusedParcel) {
    desk.say(BatchReply {
        number,
        items: vec![],
        path: vec![],
        root: None,
        refused: vec![refused],
    });
}

fn opens_to(desk: &mut Desk, wanted: NodeId) -> bool {
    let opened = desk.next(|command| match command {
        Command::OpenLink { node, .. } if *node == wanted => Some(()),
        _ => None,
    });
    opened.is_some()
}

#[test]
fn what_is_put_off_for_one_sender_holds_up_no_other() {
    let (mut desk, mut peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    let mallory = Persona::new(3, desk.house.node(), desk.house.network());
    let at_mallory = desk.connect(&mallory, true);
    let deadline = desk.now / 1000 + 86_000;
    let nuisance = mallory.envelope(&bob, deadline, b"nuisance");
    desk.client(at_mallory, Send { number: 1, envelope: nuisance });
    peer.take_link(&mut desk);
    let number = peer.batch(&mut desk).number;
    refused(&mut desk, number, refusal(0, ErrorCode::Rate, 80_000));
    let letter = alice.envelope(&bob, deadline, b"letter");
    let id = id_of(&desk, &letter);
    desk.client(session, Send { number: 1, envelope: letter });
    let batch = peer.batch(&mut desk);
    assert_eq!(id_of(&desk, &batch.envelopes[0]), id);
    let reply = peer.reply(&desk, batch.number, id);
    desk.say(reply);
    assert_eq!(desk.notices(session).len(), 1);
}

#[test]
fn a_recipients_refusal_of_one_contact_puts_off_no_other() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    desk.client(session, alice.tokens_put(&[bob.account()]));
    let stranger = Persona::new(4, peer.node(), desk.house.network());
    let deadline = desk.now / 1000 + 600;
    let request = |body: &[u8]| {
        let mut envelope = stranger.envelope(&alice, deadline, body);
        envelope.class = Class::Request.number();
        envelope.routes[0].parcels[0].token = None;
        envelope.routes[0].parcels[0].tag = Some(ByteArray::new([5; 16]));
        envelope
    };
    let letter = bob.envelope(&alice, deadline, b"letter");
    let reply = bring(&mut desk, &peer, vec![request(b"one"), request(b"two"), letter.clone()]);
    let codes: Vec<_> = reply.refused.iter().map(|r| (r.envelope, r.code)).collect();
    assert_eq!(codes, [(1, ErrorCode::Rate)], "one request at a time");
    let taken: Vec<ParcelId> = reply.items.iter().map(|item| item.parcel).collect();
    assert!(taken.contains(&id_of(&desk, &letter)), "Bob's letter waits for nobody's request");
}

#[test]
fn mail_for_a_home_that_is_not_known_yet_stays_in_custody_and_goes_once_it_is() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, mut bob) = alice_and_bob(&mut desk, &peer);
    let envelope = alice.envelope(&bob, desk.now / 1000 + 6000, b"after you");
    let id = id_of(&desk, &envelope);
    desk.client(session, Send { number: 1, envelope });
    peer.take_link(&mut desk);
    let number = peer.batch(&mut desk).number;
    bob.home = third().node();
    let record = Some(bob.record(2));
    refused(&mut desk, number, RefusedParcel { record, ..refusal(0, ErrorCode::Moved, 0) });
    desk.wait(1);
    let [outbox] = desk.house.core().outboxes().try_into().expect("it waits");
    assert_eq!(outbox.node, third().node());
    assert!(outbox.reason.text.contains("no record"), "{}", outbox.reason.text);
    assert_eq!(desk.notices(session).len(), 1, "the device learns the new home");
    desk.house.power_loss(1);
    desk.start();
    desk.commands.clear();
    let record = codec::encode(&third().record(&desk, 1, |_| {})).unwrap().into();
    desk.road(Event::Gossip { id: 5, from: peer.node(), record });
    assert!(opens_to(&mut desk, third().node()));
    desk.road(Event::LinkUp { link: LINK, node: third().node(), outbound: true });
    let run = ByteArray::new([9; 8]);
    desk.say(MailOpened { version: 1, generation: 1, run, quoted: None });
    desk.say(Credit { messages: 64, bytes: 1 << 20 });
    let batch = third().batch(&mut desk);
    assert_eq!(id_of(&desk, &batch.envelopes[0]), id);
}

#[test]
fn two_nodes_words_about_one_parcel_both_reach_the_device() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    third().introduce(&mut desk);
    let (alice, session, mut bob) = alice_and_bob(&mut desk, &peer);
    let envelope = alice.envelope(&bob, desk.now / 1000 + 6000, b"after you");
    desk.client(session, Send { number: 1, envelope });
    peer.take_link(&mut desk);
    let number = peer.batch(&mut desk).number;
    bob.home = third().node();
    let record = Some(bob.record(2));
    refused(&mut desk, number, RefusedParcel { record, ..refusal(0, ErrorCode::Moved, 0) });
    desk.wait(1);
    // The device is away and has acked nothing when the new home refuses.
    third().take_link(&mut desk);
    let number = third().batch(&mut desk).number;
    refused(&mut desk, number, refusal(0, ErrorCode::Denied, 0));
    let codes: Vec<_> =
        desk.notices(session).into_iter().filter_map(|n| Some(n.refused?.code)).collect();
    assert_eq!(codes, [ErrorCode::Moved, ErrorCode::Denied]);
}

#[test]
fn a_parcel_sent_here_and_there_and_here_again_is_kept_once() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (alice, session, _) = alice_and_bob(&mut desk, &peer);
    let carol = Persona::new(5, desk.house.node(), desk.house.network());
    let at_carol = desk.connect(&carol, true);
    desk.client(at_carol, carol.tokens_put(&[alice.account()]));
    let mut envelope = alice.envelope(&carol, desk.now / 1000 + 6000, b"to and fro");
    let id = id_of(&desk, &envelope);
    for number in 0..600 {
        let home = if number % 2 == 0 { desk.house.node() } else { peer.node() };
        envelope.routes[0].home = home;
        desk.client(session, Send { number, envelope: envelope.clone() });
    }
    let copies = desk.house.core().parcel(&id).unwrap().copies;
    assert!(copies <= 2, "{copies} copies");
    let pushes = desk.told(at_carol, |frame| matches!(frame, Frame::Push(_)).then_some(()));
    assert_eq!(pushes.len(), 1);
}

#[test]
fn nobody_but_its_sender_takes_a_parcel_out_of_an_outbox() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    third().introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    let mallory = Persona::new(3, desk.house.node(), desk.house.network());
    let at_mallory = desk.connect(&mallory, true);
    let mut envelope = alice.envelope(&bob, desk.now / 1000 + 6000, b"mine");
    desk.client(session, Send { number: 1, envelope: envelope.clone() });
    envelope.routes[0].home = third().node();
    desk.client(at_mallory, Send { number: 1, envelope });
    let waiting: Vec<NodeId> = desk.house.core().outboxes().iter().map(|o| o.node).collect();
    assert!(waiting.contains(&peer.node()), "Alice's still waits where she sent it");
}

#[test]
fn a_stream_that_is_opened_and_not_used_is_closed() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    desk.road(Event::LinkUp { link: LINK, node: peer.node(), outbound: false });
    desk.wait(29);
    assert!(!desk.is_hung_up());
    desk.wait(2);
    assert!(desk.is_hung_up());
}

#[test]
fn a_node_that_can_only_be_reached_by_its_own_connection_gets_its_mail() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    let record = peer.record(&desk, 1, |record| record.p2p.clear());
    gossip(&mut desk, &record);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    let envelope = alice.envelope(&bob, desk.now / 1000 + 6000, b"inwards");
    desk.client(session, Send { number: 1, envelope: envelope.clone() });
    let refused = desk.told(session, |frame| match frame {
        Frame::Refused(refused) => Some((refused.code, refused.detail.clone())),
        _ => None,
    });
    assert_eq!(refused[0].0, ErrorCode::Unroutable);
    assert!(refused[0].1.contains("not connected"), "{}", refused[0].1);
    let address = "/ip4/127.0.0.1/tcp/4242".into();
    desk.road(Event::PeerUp { node: peer.node(), outbound: false, address });
    desk.client(session, Send { number: 2, envelope });
    assert_eq!(accepted(&mut desk, session).len(), 1);
    peer.take_link(&mut desk);
    peer.batch(&mut desk);
}

#[test]
fn a_batch_of_people_who_moved_is_answered_within_a_frame() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    peer.introduce(&mut desk);
    let (mut alice, session, bob) = alice_and_bob(&mut desk, &peer);
    desk.client(session, alice.tokens_put(&[bob.account()]));
    alice.home = peer.node();
    let record = Some(alice.record(2));
    desk.client(session, postroad_proto::frame::RecordsPut { request: 4, record, devices: None });
    let deadline = desk.now / 1000 + 600;
    let envelopes: Vec<_> = (0..60_u8)
        .map(|number| {
            let mut envelope = bob.envelope(&alice, deadline, &[number; 8]);
            envelope.routes[0].home = desk.house.node();
            envelope
        })
        .collect();
    let reply = bring(&mut desk, &peer, envelopes);
    let proofs = reply.refused.iter().filter(|refused| refused.record.is_some()).count();
    assert!(proofs >= 1 && reply.refused.len() == 60);
    for refused in &reply.refused {
        let again = refused.retriable && refused.code == ErrorCode::Busy;
        assert!(refused.record.is_some() || again, "{:?} without proof", refused.code);
    }
    let mut bytes = Vec::new();
    Frame::from(reply).encode_into(&mut bytes).expect("it fits a frame");
}

#[test]
fn a_node_that_falls_back_a_generation_is_reported_and_held_to_the_higher() {
    let (mut desk, peer) = (Desk::new(), Peer::new());
    let record = peer.record(&desk, 1, |record| record.generation = 3);
    assert_eq!(gossip(&mut desk, &record), Verdict::Accept);
    let record = peer.record(&desk, 2, |record| record.generation = 1);
    assert_eq!(gossip(&mut desk, &record), Verdict::Accept);
    assert_eq!(desk.house.core().route(&peer.node(), desk.now).unwrap().generation, 3);
    let node = peer.node();
    assert!(desk.news().contains(&News::SetBack { node, generation: 1 }));
}

#[test]
fn a_full_table_makes_room_of_what_is_over() {
    let config = Config {
        registration: Registration::Open,
        roads: RoadsConfig { max_routes: 10, ..RoadsConfig::default() },
        ..Config::default()
    };
    let mut desk = Desk::on(Posthouse::new(1, config));
    let peer =
        |number: u8| Peer { key: SigningKey::from_bytes(&[100 + number; 32]), ..Peer::new() };
    for number in 0..10 {
        peer(number).introduce(&mut desk);
    }
    let late = peer(10).record(&desk, 1, |_| {});
    assert_eq!(gossip(&mut desk, &late), Verdict::Ignore, "there is no room");
    desk.wait(8 * 86_400);
    let late = peer(10).record(&desk, 2, |_| {});
    assert_eq!(gossip(&mut desk, &late), Verdict::Accept);
}

#[test]
fn a_device_that_never_fetches_its_notices_sends_no_more() {
    let config =
        Config { registration: Registration::Open, mailbox_messages: 2, ..Config::default() };
    let mut desk = Desk::on(Posthouse::new(1, config));
    let mut peer = Peer::new();
    peer.introduce(&mut desk);
    let (alice, session, bob) = alice_and_bob(&mut desk, &peer);
    let letter = |desk: &mut Desk, number: u64| {
        let envelope = alice.envelope(&bob, desk.now / 1000 + 600, &number.to_be_bytes());
        let id = id_of(desk, &envelope);
        desk.client(session, Send { number, envelope });
        id
    };
    for number in 1..=2 {
        let id = letter(&mut desk, number);
        if number == 1 {
            peer.take_link(&mut desk);
        }
        let batch = peer.batch(&mut desk);
        let reply = peer.reply(&desk, batch.number, id);
        desk.say(reply);
    }
    let seqs: Vec<u64> = desk.notices(session).iter().map(|notice| notice.seq).collect();
    letter(&mut desk, 3);
    let refused = desk.told(session, |frame| match frame {
        Frame::Refused(refused) => Some(refused.code),
        _ => None,
    });
    assert_eq!(refused, [ErrorCode::SenderQuota]);
    let ranges = seqs.iter().map(|seq| (*seq, *seq)).collect();
    desk.client(session, Ack { generation: 1, ranges });
    letter(&mut desk, 4);
    assert_eq!(accepted(&mut desk, session).len(), 1);
}

#[test]
fn one_peer_introduces_so_many_nodes_by_gossip_and_no_more() {
    let mut desk = Desk::new();
    let told = |desk: &mut Desk, number: u64, from: u8| {
        let mut seed = [1; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let new = Peer { key: SigningKey::from_bytes(&seed), ..Peer::new() };
        let record = codec::encode(&new.record(desk, 1, |_| {})).unwrap().into();
        desk.road(Event::Gossip { id: 5, from: NodeId([from; 32]), record });
        desk.next(|command| match command {
            Command::Verdict { id: 5, verdict } => Some(*verdict),
            _ => None,
        })
    };
    for number in 0..1200 {
        assert_eq!(told(&mut desk, number, 8), Some(Verdict::Accept));
    }
    assert_eq!(told(&mut desk, 1200, 8), Some(Verdict::Ignore));
    assert_eq!(told(&mut desk, 1200, 9), Some(Verdict::Accept), "another peer may");
}

#[test]
fn a_connection_that_mail_made_is_no_neighbour() {
    let config = Config {
        registration: Registration::Open,
        roads: RoadsConfig { outbound_peers: 1, ..RoadsConfig::default() },
        ..Config::default()
    };
    let mut desk = Desk::on(Posthouse::new(1, config));
    let peer = Peer::new();
    third().introduce(&mut desk);
    peer.introduce(&mut desk);
    let address = "/ip4/127.0.0.1/tcp/9".into();
    desk.road(Event::PeerUp { node: third().node(), outbound: true, address });
    desk.commands.clear();
    desk.wait(1);
    let chosen = desk.next(|command| match command {
        Command::Connect { node, .. } => Some(*node),
        _ => None,
    });
    assert_eq!(chosen, Some(peer.node()), "a neighbour is looked for all the same");
}
