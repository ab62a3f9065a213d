//! A node, two of its users, and another node that brings them mail: what the benches of the core
//! and the count of instructions act on.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod nodes;
#[path = "../../tests/cluster/persona.rs"]
mod persona;

use nodes::NOW;
use persona::Persona;
use postroad_core::changes::{Changes, Recovered};
use postroad_core::roads::{Command, Event};
use postroad_core::{Core, Input, Output, SessionId};
use postroad_proto::SigningKey;
use postroad_proto::envelope::Envelope;
use postroad_proto::frame::{Ack, Batch, Credit, Frame, MailOpen, Push, Send};
use postroad_proto::ids::NodeId;
use postroad_store::{MemoryStore, Store as _};
use serde_bytes::ByteArray;

/// Messages in one step: a full batch between nodes, and what a device gets at a time.
pub(crate) const GROUP: usize = 64;
/// Bytes of a sealed header around an ordinary Olm message, as `postroad-load` has them.
const HEADER: usize = 219;
const ALICE: SessionId = 1;
const BOB: SessionId = 2;
const LINK: u64 = 7;

/// The node and who talks to it. Each step leaves it as it was before the first, once what came in
/// was fetched.
pub(crate) struct Stage {
    pub(crate) core: Core,
    pub(crate) store: MemoryStore,
    carol: Persona,
    /// From Alice, whose home this is, to Bob, whose it is, too.
    local: Envelope,
    /// From somebody homed at the other node to Bob.
    foreign: Envelope,
    made: u64,
    batches: u64,
    sessions: SessionId,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let core = nodes::starting(1, &Recovered::default());
        let (home, network) = (core.node(), nodes::network());
        let peer = NodeId(SigningKey::from_bytes(&[99; 32]).verifying_key().to_bytes());
        let person = |number, home| Persona::new(number, home, &network);
        let (alice, bob, carol) = (person(11, home), person(12, home), person(13, home));
        let dora = person(14, peer);
        let deadline = NOW / 1000 + 86_400;
        let mut stage = Self {
            core,
            store: MemoryStore::default(),
            local: letter(&alice, &bob, deadline),
            foreign: letter(&dora, &bob, deadline),
            carol,
            made: 0,
            batches: 0,
            sessions: 2,
        };
        stage.settle();
        stage.join(ALICE, &alice, &[]);
        stage.join(BOB, &bob, &[&alice, &dora]);
        let carol = stage.carol.clone();
        stage.join(3, &carol, &[]);
        stage.core.handle(NOW, Input::Disconnected { session: 3 });
        stage.open_link(peer);
        stage
    }

    fn join(&mut self, session: SessionId, person: &Persona, contacts: &[&Persona]) {
        let contacts: Vec<_> = contacts.iter().map(|contact| contact.account()).collect();
        self.core.handle(NOW, Input::Connected { session, key: person.noise(1) });
        let register = person.register(None);
        for frame in [person.hello(None), register, person.tokens_put(&contacts)] {
            self.core.handle(NOW, Input::Frame { session, frame });
        }
        self.settle();
    }

    fn open_link(&mut self, node: NodeId) {
        let open =
            MailOpen { versions: (1, 1), generation: 1, run: ByteArray::new([9; 8]), quoted: None };
        self.core.handle(NOW, Input::Road(Event::LinkUp { link: LINK, node, outbound: false }));
        self.core.handle(NOW, Input::Road(Event::Frame { link: LINK, frame: open.into() }));
        self.settle();
    }

    /// The rest of a step: what it changed is durable, and what it promised is said.
    pub(crate) fn settle(&mut self) -> Vec<Output> {
        if let Some(changes) = self.core.seal(NOW) {
            self.keep(&changes);
        }
        self.core.committed();
        self.core.take_outputs()
    }

    pub(crate) fn keep(&mut self, changes: &Changes) {
        self.store.commit(changes).unwrap();
    }

    /// Alice hands over messages to Bob.
    pub(crate) fn sends(&mut self) -> Vec<Input> {
        let envelopes = self.letters(self.local.clone());
        let sends = (1..).zip(envelopes).map(|(number, envelope)| Send { number, envelope });
        sends.map(|send| Input::Frame { session: ALICE, frame: send.into() }).collect()
    }

    /// The other node brings messages to Bob.
    pub(crate) fn batch(&mut self) -> Input {
        self.batches += 1;
        let (number, envelopes) = (self.batches, self.letters(self.foreign.clone()));
        let frame = Batch { number, envelopes }.into();
        Input::Road(Event::Frame { link: LINK, frame })
    }

    /// Copies of an envelope that are no repeats of each other.
    fn letters(&mut self, envelope: Envelope) -> Vec<Envelope> {
        let mut letters = vec![envelope; GROUP];
        for letter in &mut letters {
            self.made += 1;
            let mut sealed = vec![0x5a; HEADER];
            sealed[..8].copy_from_slice(&self.made.to_be_bytes());
            letter.routes[0].parcels[0].headers[0].sealed = sealed.into();
        }
        letters
    }

    /// Bob may be given messages.
    pub(crate) fn credit(&mut self) {
        let frame = Credit { messages: GROUP as u64, bytes: 1 << 20 }.into();
        self.core.handle(NOW, Input::Frame { session: BOB, frame });
    }

    /// Gives Bob what there is for him.
    pub(crate) fn deliver(&mut self) -> Vec<Output> {
        while self.core.deliver(&self.store).unwrap() {}
        self.core.take_outputs()
    }

    /// Bob has these.
    pub(crate) fn ack(pushes: &[Push]) -> Input {
        let (first, last) = (pushes[0].seq, pushes[pushes.len() - 1].seq);
        let frame = Ack { generation: 1, ranges: vec![(first, last)] }.into();
        Input::Frame { session: BOB, frame }
    }

    /// Bob gets all of a step and acks it: the node is as it was.
    pub(crate) fn fetch(&mut self) {
        self.credit();
        let pushes = pushes(self.deliver());
        self.core.handle(NOW, Self::ack(&pushes));
        self.settle();
        assert!(self.store.stats().live_items == 0, "all was fetched");
    }

    /// What a device says that comes back, in a new session.
    pub(crate) fn login(&mut self) -> (SessionId, [Input; 2]) {
        self.sessions += 1;
        let (session, key) = (self.sessions + 1, self.carol.noise(1));
        let hello = Input::Frame { session, frame: self.carol.hello(Some(1)) };
        (session, [Input::Connected { session, key }, hello])
    }
}

/// A message whose body is as small as a sealed one may be.
fn letter(from: &Persona, to: &Persona, deadline: u64) -> Envelope {
    from.envelope(to, deadline, &[0xb0; 256])
}

/// The messages of a step that were taken into custody.
pub(crate) fn receipts(outputs: &[Output]) -> usize {
    let receipts = outputs.iter().map(|output| match output {
        Output::Frame { frame: Frame::Accepted(accepted), .. } => accepted.items.len(),
        Output::Road(Command::Frame { frame: Frame::BatchReply(reply), .. }) => reply.items.len(),
        _ => 0,
    });
    receipts.sum()
}

/// The messages among what is said to clients.
pub(crate) fn pushes(outputs: Vec<Output>) -> Vec<Push> {
    let pushes = outputs.into_iter().filter_map(|output| match output {
        Output::Frame { frame: Frame::Push(push), .. } => Some(*push),
        _ => None,
    });
    pushes.collect()
}
