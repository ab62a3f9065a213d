//! A posthouse on a simulated disk under a simulated clock, driven by hand or by a seed.
//!
//! The real core and the real journal run here; only sockets, clock and disk are played.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod persona;
pub mod posthouse;

use std::collections::BTreeMap;

use postroad_core::changes::MailView;
use postroad_core::{Config, Core, Input, Output, SessionId};
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Accepted, Credit, Done, Frame, Notice, Push, Refused, Send, Welcome};
use postroad_proto::ids::NodeId;
use postroad_proto::network::Network;
use postroad_store::{Journal, SimFiles};

use self::persona::Persona;
pub use self::posthouse::{Broken, Posthouse};

/// What a session was told, in order.
pub type Told = BTreeMap<SessionId, Vec<Frame>>;

/// A node with its clock and its clients.
pub struct Cluster {
    pub now: u64,
    pub house: Posthouse,
    next_session: SessionId,
    pub told: Told,
    pub closed: BTreeMap<SessionId, ErrorCode>,
}

impl Cluster {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(mut config: Config) -> Self {
        config.registration = postroad_core::Registration::Open;
        let mut cluster = Self {
            now: 1_800_000_000_000,
            house: Posthouse::new(42, config),
            next_session: 1,
            told: Told::new(),
            closed: BTreeMap::new(),
        };
        cluster.start();
        cluster
    }

    pub fn node(&self) -> NodeId {
        self.house.node()
    }

    pub fn network(&self) -> &Network {
        self.house.network()
    }

    pub fn files(&self) -> &SimFiles {
        &self.house.files
    }

    /// Starts the node on what its disk holds.
    pub fn start(&mut self) {
        self.house.start(self.now).expect("the journal opens");
        self.turn();
    }

    /// The process is gone; what the kernel has stays.
    pub fn kill(&mut self) {
        self.told.clear();
        self.house.kill();
    }

    /// The power is gone: what was not synced is lost or torn.
    pub fn power_loss(&mut self, seed: u64) {
        self.told.clear();
        self.house.power_loss(seed);
    }

    pub fn is_running(&self) -> bool {
        self.house.is_running()
    }

    pub fn core(&mut self) -> &mut Core {
        self.house.core()
    }

    pub fn store(&mut self) -> &mut Journal<SimFiles> {
        self.house.store()
    }

    pub fn input(&mut self, input: Input) {
        self.house.input(self.now, input);
    }

    pub fn say(&mut self, session: SessionId, frame: impl Into<Frame>) {
        self.input(Input::Frame { session, frame: frame.into() });
    }

    /// One group: commit, answers, deliveries. A storage fault ends the node, as it must.
    pub fn turn(&mut self) {
        for output in self.house.turn(self.now).outputs {
            match output {
                Output::Frame { session, frame } => {
                    self.told.entry(session).or_default().push(frame);
                }
                Output::Close { session, code } => {
                    self.closed.insert(session, code);
                }
                Output::Known { .. } | Output::Road(_) => {}
            }
        }
    }

    /// Background work of the store.
    pub fn maintain(&mut self) {
        self.house.maintain(self.now);
    }

    /// A handshake with this Noise key.
    pub fn connect_as(&mut self, persona: &Persona, device: u8) -> SessionId {
        let session = self.next_session;
        self.next_session += 1;
        self.input(Input::Connected { session, key: persona.noise(device) });
        session
    }

    /// Makes an account; returns its session.
    pub fn join(&mut self, persona: &Persona) -> SessionId {
        let session = self.connect_as(persona, 1);
        self.say(session, persona.hello(None));
        self.say(session, persona.register(None));
        self.turn();
        let done = self.done(session);
        assert_eq!(done.code, None, "{}", done.detail);
        session
    }

    /// A known device connects. No credit yet.
    pub fn connect(&mut self, persona: &Persona, device: u8) -> SessionId {
        let session = self.connect_as(persona, device);
        self.say(session, persona.hello(Some(device)));
        self.turn();
        session
    }

    pub fn disconnect(&mut self, session: SessionId) {
        self.input(Input::Disconnected { session });
        self.told.remove(&session);
    }

    pub fn credit(&mut self, session: SessionId, messages: u64, bytes: u64) {
        self.say(session, Credit { messages, bytes });
        self.turn();
    }

    pub fn send(
        &mut self,
        session: SessionId,
        number: u64,
        envelope: postroad_proto::envelope::Envelope,
    ) {
        self.say(session, Send { number, envelope });
    }

    /// Takes what a session was told.
    pub fn heard(&mut self, session: SessionId) -> Vec<Frame> {
        self.told.remove(&session).unwrap_or_default()
    }

    /// The last answer to a request.
    pub fn done(&mut self, session: SessionId) -> Done {
        let done = self.heard(session).into_iter().rev().find_map(|frame| match frame {
            Frame::Done(done) => Some(*done),
            _ => None,
        });
        done.expect("an answer")
    }

    pub fn accepted(&mut self, session: SessionId) -> Accepted {
        self.one(session, |frame| match frame {
            Frame::Accepted(accepted) => Some(*accepted),
            _ => None,
        })
    }

    pub fn refused(&mut self, session: SessionId) -> Refused {
        self.one(session, |frame| match frame {
            Frame::Refused(refused) => Some(*refused),
            _ => None,
        })
    }

    pub fn welcome(&mut self, session: SessionId) -> Welcome {
        self.one(session, |frame| match frame {
            Frame::Welcome(welcome) => Some(*welcome),
            _ => None,
        })
    }

    pub fn pushes(&mut self, session: SessionId) -> Vec<Push> {
        let pushes = self.heard(session).into_iter().filter_map(|frame| match frame {
            Frame::Push(push) => Some(*push),
            _ => None,
        });
        pushes.collect()
    }

    pub fn notices(&mut self, session: SessionId) -> Vec<Notice> {
        let notices = self.heard(session).into_iter().filter_map(|frame| match frame {
            Frame::Notice(notice) => Some(*notice),
            _ => None,
        });
        notices.collect()
    }

    fn one<T>(&mut self, session: SessionId, pick: impl Fn(Frame) -> Option<T>) -> T {
        let heard = self.heard(session);
        let names: Vec<_> = heard.iter().map(Frame::name).collect();
        heard.into_iter().find_map(pick).unwrap_or_else(|| panic!("only {names:?}"))
    }

    /// Lets time pass.
    pub fn wait(&mut self, seconds: u64) {
        self.now += seconds * 1000;
    }

    pub fn seconds(&self) -> u64 {
        self.now / 1000
    }
}

/// Two people who may write to each other; both connected, without credit.
pub fn two_friends(cluster: &mut Cluster) -> (Persona, SessionId, Persona, SessionId) {
    let alice = Persona::new(1, cluster.node(), cluster.network());
    let bob = Persona::new(2, cluster.node(), cluster.network());
    let at_alice = cluster.join(&alice);
    let at_bob = cluster.join(&bob);
    cluster.say(at_alice, alice.tokens_put(&[bob.account()]));
    cluster.say(at_bob, bob.tokens_put(&[alice.account()]));
    cluster.turn();
    cluster.heard(at_alice);
    cluster.heard(at_bob);
    (alice, at_alice, bob, at_bob)
}

/// What a mailbox of the store holds.
pub fn stored(view: &dyn MailView, persona: &Persona, device: u8) -> usize {
    let mailbox = postroad_core::changes::MailboxId { account: persona.account(), device };
    view.items(&mailbox, 0, usize::MAX, usize::MAX).unwrap().len()
}
