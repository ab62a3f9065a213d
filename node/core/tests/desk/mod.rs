//! A desk with one real posthouse on it, and another that the test plays frame by frame.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use postroad_core::roads::{Command, Event, News, Verdict};
use postroad_core::{Config, Input, Output, Registration, SessionId};
use postroad_proto::SigningKey;
use postroad_proto::codec;
use postroad_proto::envelope::Envelope;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{
    Accepted, Batch, BatchReply, Credit, Frame, MailOpen, MailOpened, Notice, RefusedParcel,
};
use postroad_proto::ids::{NodeId, ParcelId};
use postroad_proto::merkle;
use postroad_proto::receipt::{Receipt, ReceiptItem, ReceiptKind, ReceiptRoot, role};
use postroad_proto::record::NodeRecord;
use postroad_proto::signed::Signed;
use postroad_store::{Files as _, JournalFile as _, SimFiles};
use serde_bytes::ByteArray;

use crate::cluster::persona::Persona;
use crate::cluster::posthouse::Posthouse;

pub const LINK: u64 = 7;
pub const PLENTY: u64 = 1 << 30;

/// The real node, and what it wants of the roads.
pub struct Desk {
    pub house: Posthouse,
    pub now: u64,
    pub commands: Vec<Command>,
    pub told: Vec<(SessionId, Frame)>,
    pub sessions: u64,
}

impl Desk {
    pub fn new() -> Self {
        let config = Config { registration: Registration::Open, ..Config::default() };
        Self::on(Posthouse::new(1, config))
    }

    pub fn on(house: Posthouse) -> Self {
        let now = 1_800_000_000_000;
        let mut desk = Self { house, now, commands: Vec::new(), told: Vec::new(), sessions: 0 };
        desk.start();
        desk
    }

    pub fn start(&mut self) {
        self.house.start(self.now).unwrap();
        self.turn();
    }

    pub fn turn(&mut self) {
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

    pub fn wait(&mut self, seconds: u64) {
        self.now += seconds * 1000;
        self.turn();
    }

    pub fn road(&mut self, event: Event) {
        self.house.input(self.now, Input::Road(event));
        self.turn();
    }

    pub fn say(&mut self, frame: impl Into<Frame>) {
        self.road(Event::Frame { link: LINK, frame: frame.into() });
    }

    /// Takes the first command that `pick` likes, and all before it.
    pub fn next<T>(&mut self, pick: impl Fn(&Command) -> Option<T>) -> Option<T> {
        let at = self.commands.iter().position(|command| pick(command).is_some())?;
        let found = pick(&self.commands[at]);
        self.commands.drain(..=at);
        found
    }

    /// The next frame on the mail stream.
    pub fn heard<T: Clone>(&mut self, pick: impl Fn(&Frame) -> Option<T>) -> T {
        let found = self.next(|command| match command {
            Command::Frame { link: LINK, frame } => pick(frame),
            _ => None,
        });
        found.expect("a frame on the stream")
    }

    pub fn is_hung_up(&mut self) -> bool {
        self.next(|command| matches!(command, Command::CloseLink { .. }).then_some(())).is_some()
    }

    pub fn news(&mut self) -> Vec<News> {
        self.house.core().events(0).0.into_iter().map(|happening| happening.news).collect()
    }

    pub fn connect(&mut self, persona: &Persona, register: bool) -> SessionId {
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

    pub fn client(&mut self, session: SessionId, frame: impl Into<Frame>) {
        self.house.input(self.now, Input::Frame { session, frame: frame.into() });
        self.turn();
    }

    /// What a client was told since the last time.
    pub fn told<T>(&mut self, session: SessionId, pick: impl Fn(&Frame) -> Option<T>) -> Vec<T> {
        let told = std::mem::take(&mut self.told);
        let (own, others): (Vec<_>, Vec<_>) = told.into_iter().partition(|(to, _)| *to == session);
        self.told = others;
        own.iter().filter_map(|(_, frame)| pick(frame)).collect()
    }

    pub fn notices(&mut self, session: SessionId) -> Vec<Notice> {
        self.told(session, |frame| match frame {
            Frame::Notice(notice) => Some(*notice.clone()),
            _ => None,
        })
    }
}

/// The node that the test plays.
pub struct Peer {
    pub key: SigningKey,
    pub run: [u8; 8],
    pub commit: u64,
}

impl Peer {
    pub fn new() -> Self {
        Self { key: SigningKey::from_bytes(&[99; 32]), run: [9; 8], commit: 0 }
    }

    pub fn node(&self) -> NodeId {
        NodeId(self.key.verifying_key().to_bytes())
    }

    pub fn record(
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

    pub fn introduce(&self, desk: &mut Desk) {
        let record = self.record(desk, 1, |_| {});
        assert_eq!(gossip(desk, &record), Verdict::Accept);
    }

    /// The real node opens its stream for mail, and gets credit.
    pub fn take_link(&self, desk: &mut Desk) -> MailOpen {
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

    pub fn batch(&self, desk: &mut Desk) -> Batch {
        desk.heard(|frame| match frame {
            Frame::Batch(batch) => Some(*batch.clone()),
            _ => None,
        })
    }

    pub fn receipt(&mut self, desk: &Desk, parcel: ParcelId, kind: ReceiptKind) -> Receipt {
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

    pub fn reply(&mut self, desk: &Desk, number: u64, parcel: ParcelId) -> BatchReply {
        let Receipt { item, path, root } = self.receipt(desk, parcel, ReceiptKind::AtNode);
        BatchReply { number, items: vec![item], path, root: Some(root), refused: vec![] }
    }
}

/// What a disk holds now, as a disk of its own.
pub fn copy(files: &SimFiles) -> SimFiles {
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

pub fn gossip(desk: &mut Desk, record: &Signed<NodeRecord>) -> Verdict {
    let record = codec::encode(record).unwrap().into();
    desk.road(Event::Gossip { id: 5, from: NodeId([8; 32]), record });
    let verdict = desk.next(|command| match command {
        Command::Verdict { id: 5, verdict } => Some(*verdict),
        _ => None,
    });
    verdict.expect("a verdict")
}

pub fn refusal(envelope: u64, code: ErrorCode, retry_after: u64) -> RefusedParcel {
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
pub fn alice_and_bob(desk: &mut Desk, peer: &Peer) -> (Persona, SessionId, Persona) {
    let alice = Persona::new(1, desk.house.node(), desk.house.network());
    let bob = Persona::new(2, peer.node(), desk.house.network());
    let session = desk.connect(&alice, true);
    desk.told(session, |_| Some(()));
    (alice, session, bob)
}

pub fn id_of(desk: &Desk, envelope: &Envelope) -> ParcelId {
    envelope.parcel_id(&envelope.routes[0].parcels[0], desk.house.network())
}

pub fn accepted(desk: &mut Desk, session: SessionId) -> Vec<Accepted> {
    desk.told(session, |frame| match frame {
        Frame::Accepted(accepted) => Some(*accepted.clone()),
        _ => None,
    })
}

/// The peer opens a stream, brings a batch and takes the answer.
pub fn bring(desk: &mut Desk, peer: &Peer, envelopes: Vec<Envelope>) -> BatchReply {
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
