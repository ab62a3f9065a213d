//! Stories of the roads: one real posthouse, and another that the test plays frame by frame.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;

use cluster::persona::Persona;
use cluster::posthouse::Posthouse;
use postroad_core::roads::{Command, Event, News, Verdict};
use postroad_core::{Config, Input, Output, Registration, SessionId};
use postroad_proto::SigningKey;
use postroad_proto::codec;
use postroad_proto::envelope::Envelope;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{
    Accepted, Batch, BatchReply, Credit, Done, Frame, Late, Locate, MailOpen, MailOpened, Notice,
    RecordsPut, Refused, RefusedParcel, Send, Waiting,
};
use postroad_proto::ids::{NodeId, ParcelId};
use postroad_proto::merkle;
use postroad_proto::receipt::{Receipt, ReceiptItem, ReceiptKind, ReceiptRoot, role};
use postroad_proto::record::NodeRecord;
use postroad_proto::signed::Signed;
use postroad_store::{Files as _, JournalFile as _, SimFiles};
use serde_bytes::ByteArray;

const LINK: u64 = 7;
const PLENTY: u64 = 1 << 30;

/// The real node, and what it wants of the roads.
struct Desk {
    house: Posthouse,
    now: u64,
    commands: Vec<Command>,
    told: Vec<(SessionId, Frame)>,
    sessions: u64,
}

impl Desk {
    fn new() -> Self {
        let config = Config { registration: Registration::Open, ..Config::default() };
        Self::on(Posthouse::new(1, config))
    }

    fn on(house: Posthouse) -> Self {
        let now = 1_800_000_000_000;
        let mut desk = Self { house, now, commands: Vec::new(), told: Vec::new(), sessions: 0 };
        desk.start();
        desk
    }

    fn start(&mut self) {
        self.house.start(self.now).unwrap();
        self.turn();
    }

    fn turn(&mut self) {
        let now = self.now;
        if self.house.core().next_timeout().is_some_and(|at| at <= now) {
            self.house.core().tick(now);
        }
        let turn = self.house.turn(now);
        for output in turn.outputs {
            match output {
                Output::Frame { session, frame } => self.told.push((session, frame)),
                Output::Road(command) => self.commands.push(command),
                _ => {}
            }
        }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += seconds * 1000;
        self.turn();
    }

    fn road(&mut self, event: Event) {
        self.house.input(self.now, Input::Road(event));
        self.turn();
    }

    fn say(&mut self, frame: impl Into<Frame>) {
        self.road(Event::Frame { link: LINK, frame: frame.into() });
    }

    /// Takes the first command that `pick` likes, and all before it.
    fn next<T>(&mut self, pick: impl Fn(&Command) -> Option<T>) -> Option<T> {
        let at = self.commands.iter().position(|command| pick(command).is_some())?;
        let found = pick(&self.commands[at]);
        self.commands.drain(..=at);
        found
    }

    /// The next frame on the mail stream.
    fn heard<T: Clone>(&mut self, pick: impl Fn(&Frame) -> Option<T>) -> T {
        let found = self.next(|command| match command {
            Command::Frame { link: LINK, frame } => pick(frame),
            _ => None,
        });
        found.expect("a frame on the stream")
    }

    fn is_hung_up(&mut self) -> bool {
        self.next(|command| matches!(command, Command::CloseLink { .. }).then_some(())).is_some()
    }

    fn news(&mut self) -> Vec<News> {
        self.house.core().events(0).0.into_iter().map(|happening| happening.news).collect()
    }

    fn connect(&mut self, persona: &Persona, register: bool) -> SessionId {
        self.sessions += 1;
        let session = self.sessions;
        let key = persona.noise(1);
        self.house.input(self.now, Input::Connected { session, key });
        let hello = persona.hello((!register).then_some(1));
        self.house.input(self.now, Input::Frame { session, frame: hello });
        if register {
            let frame = persona.register(None);
            self.house.input(self.now, Input::Frame { session, frame });
        }
        let frame = Credit { messages: 1000, bytes: PLENTY }.into();
        self.house.input(self.now, Input::Frame { session, frame });
        self.turn();
        session
    }

    fn client(&mut self, session: SessionId, frame: impl Into<Frame>) {
        self.house.input(self.now, Input::Frame { session, frame: frame.into() });
        self.turn();
    }

    /// What a client was told since the last time.
    fn told<T>(&mut self, session: SessionId, pick: impl Fn(&Frame) -> Option<T>) -> Vec<T> {
        let told = std::mem::take(&mut self.told);
        let (own, others): (Vec<_>, Vec<_>) = told.into_iter().partition(|(to, _)| *to == session);
        self.told = others;
        own.iter().filter_map(|(_, frame)| pick(frame)).collect()
    }

    fn notices(&mut self, session: SessionId) -> Vec<Notice> {
        self.told(session, |frame| match frame {
            Frame::Notice(notice) => Some(*notice.clone()),
            _ => None,
        })
    }
}

/// The node that the test plays.
struct Peer {
    key: SigningKey,
    run: [u8; 8],
    commit: u64,
}

impl Peer {
    fn new() -> Self {
        Self { key: SigningKey::from_bytes(&[99; 32]), run: [9; 8], commit: 0 }
    }

    fn node(&self) -> NodeId {
        NodeId(self.key.verifying_key().to_bytes())
    }

    fn record(
        &self,
        desk: &Desk,
        seq: u64,
        change: impl Fn(&mut NodeRecord),
    ) -> Signed<NodeRecord> {
        let issued = desk.now / 1000;
        let mut record = NodeRecord {
            version: 1,
            flags: 0,
            node: self.node(),
            seq,
            generation: 1,
            next_key: None,
            noise: postroad_proto::ids::Hash([1; 32]),
            next_noise: None,
            client: vec![],
            p2p: vec!["/ip4/127.0.0.1/tcp/9".into()],
            relays: vec![],
            name: "peer.example".into(),
            region: String::new(),
            versions: (1, 1),
            features: 0,
            max_body: 65_536,
            max_deadline: 86_400,
            issued,
            expires: issued + 7 * 86_400,
        };
        change(&mut record);
        Signed::new(&record, &self.key, desk.house.network()).unwrap()
    }

    fn introduce(&self, desk: &mut Desk) {
        let record = self.record(desk, 1, |_| {});
        assert_eq!(gossip(desk, &record), Verdict::Accept);
    }

    /// The real node opens its stream for mail, and gets credit.
    fn take_link(&self, desk: &mut Desk) -> MailOpen {
        let opening = desk.next(|command| match command {
            Command::OpenLink { node, .. } => Some(*node),
            _ => None,
        });
        assert_eq!(opening, Some(self.node()));
        desk.road(Event::LinkUp { link: LINK, node: self.node(), outbound: true });
        let open = desk.heard(|frame| match frame {
            Frame::MailOpen(open) => Some(*open.clone()),
            _ => None,
        });
        let run = ByteArray::new(self.run);
        desk.say(MailOpened { version: 1, generation: 1, run, quoted: None });
        desk.say(Credit { messages: 64, bytes: 1 << 20 });
        open
    }

    fn batch(&self, desk: &mut Desk) -> Batch {
        desk.heard(|frame| match frame {
            Frame::Batch(batch) => Some(*batch.clone()),
            _ => None,
        })
    }

    fn receipt(&mut self, desk: &Desk, parcel: ParcelId, kind: ReceiptKind) -> Receipt {
        self.commit += 1;
        let until = desk.now / 1000;
        let item = ReceiptItem {
            parcel,
            kind: kind.number(),
            role: role::HOME,
            copies: 1,
            until,
            devices: None,
        };
        let root = ReceiptRoot {
            version: 1,
            flags: 0,
            node: self.node(),
            generation: 1,
            run: self.run,
            commit: self.commit,
            at: desk.now,
            merkle_root: merkle::root(&[item.leaf().unwrap()]),
        };
        let root = Signed::new(&root, &self.key, desk.house.network()).unwrap();
        Receipt { item, path: vec![], root }
    }

    fn reply(&mut self, desk: &Desk, number: u64, parcel: ParcelId) -> BatchReply {
        let Receipt { item, path, root } = self.receipt(desk, parcel, ReceiptKind::AtNode);
        BatchReply { number, items: vec![item], path, root: Some(root), refused: vec![] }
    }
}

/// What a disk holds now, as a disk of its own.
fn copy(files: &SimFiles) -> SimFiles {
    let copied = SimFiles::new();
    for name in files.list_names() {
        let size = files.open(&name).unwrap().size().unwrap();
        let file = copied.create(&name, size).unwrap();
        file.write_at(&files.contents(&name), 0).unwrap();
        file.sync().unwrap();
    }
    copied.sync_dir().unwrap();
    copied
}

fn gossip(desk: &mut Desk, record: &Signed<NodeRecord>) -> Verdict {
    let record = codec::encode(record).unwrap().into();
    desk.road(Event::Gossip { id: 5, from: NodeId([8; 32]), record });
    let verdict = desk.next(|command| match command {
        Command::Verdict { id: 5, verdict } => Some(*verdict),
        _ => None,
    });
    verdict.expect("a verdict")
}

fn refusal(envelope: u64, code: ErrorCode, retry_after: u64) -> RefusedParcel {
    RefusedParcel {
        envelope,
        account: None,
        code,
        retriable: code.retriable(),
        retry_after,
        detail: "so it is".into(),
        record: None,
        records: None,
    }
}

/// Alice is at home here, Bob at the peer.
fn alice_and_bob(desk: &mut Desk, peer: &Peer) -> (Persona, SessionId, Persona) {
    let alice = Persona::new(1, desk.house.node(), desk.house.network());
    let bob = Persona::new(2, peer.node(), desk.house.network());
    let session = desk.connect(&alice, true);
    desk.told(session, |_| Some(()));
    (alice, session, bob)
}

fn id_of(desk: &Desk, envelope: &Envelope) -> ParcelId {
    envelope.parcel_id(&envelope.routes[0].parcels[0], desk.house.network())
}

fn accepted(desk: &mut Desk, session: SessionId) -> Vec<Accepted> {
    desk.told(session, |frame| match frame {
        Frame::Accepted(accepted) => Some(*accepted.clone()),
        _ => None,
    })
}

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
    let receipt = notice.receipt.unwrap();
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

/// The peer opens a stream, brings a batch and takes the answer.
fn bring(desk: &mut Desk, peer: &Peer, envelopes: Vec<Envelope>) -> BatchReply {
    desk.road(Event::LinkUp { link: LINK, node: peer.node(), outbound: false });
    let run = ByteArray::new(peer.run);
    desk.say(MailOpen { versions: (1, 1), generation: 1, run, quoted: None });
    desk.heard(|frame| matches!(frame, Frame::Credit(_)).then_some(()));
    desk.say(Batch { number: 1, envelopes });
    desk.heard(|frame| match frame {
        Frame::BatchReply(reply) => Some(*reply.clone()),
        _ => None,
    })
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
    assert_eq!(reply.refused[0].code, ErrorCode::Denied);
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
    assert_eq!(notice.receipt.unwrap().item.kind, ReceiptKind::Expired.number());
}
