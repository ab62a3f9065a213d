//! A posthouse on a simulated disk under a simulated clock, driven by hand or by a seed.
//!
//! The real core and the real journal run here; only sockets, clock and disk are played.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod persona;

use std::collections::BTreeMap;

use postroad_core::changes::MailView;
use postroad_core::{Config, Core, Input, Keys, Output, SessionId};
use postroad_proto::SigningKey;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Accepted, Credit, Done, Frame, Notice, Push, Refused, Send, Welcome};
use postroad_proto::ids::NodeId;
use postroad_proto::network::Network;
use postroad_store::{Journal, Options, Room, SimFiles, Store};

use self::persona::Persona;

/// What a session was told, in order.
pub type Told = BTreeMap<SessionId, Vec<Frame>>;

/// A node that runs, or does not.
pub struct Cluster {
    pub now: u64,
    pub files: SimFiles,
    pub config: Config,
    network: Network,
    running: Option<(Core, Journal<SimFiles>)>,
    starts: u64,
    next_session: SessionId,
    pub told: Told,
    pub closed: BTreeMap<SessionId, ErrorCode>,
    /// The rule that is broken on purpose, to see whether anybody notices.
    pub broken: Broken,
}

/// Rules of the node's owner (the engine) that a test can break.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Broken {
    #[default]
    Nothing,
    /// Answers leave before the commit.
    AnswerBeforeCommit,
    /// A failed commit is answered as if it had not failed.
    IgnoreFaults,
}

impl Cluster {
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        let mut cluster = Self {
            now: 1_800_000_000_000,
            files: SimFiles::new(),
            config,
            network: "simulated".parse().unwrap(),
            running: None,
            starts: 0,
            next_session: 1,
            told: Told::new(),
            closed: BTreeMap::new(),
            broken: Broken::Nothing,
        };
        cluster.config.registration = postroad_core::Registration::Open;
        cluster.start();
        cluster
    }

    fn keys(&self) -> Keys {
        Keys {
            signing: SigningKey::from_bytes(&[42; 32]),
            secret: [43; 32],
            network: self.network.clone(),
            name: "posthouse.example".into(),
        }
    }

    pub fn node(&self) -> NodeId {
        self.keys().node()
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    pub fn options() -> Options {
        Options { segment_bytes: 256 * 1024, ..Options::default() }
    }

    /// Starts the node on what its disk holds.
    pub fn start(&mut self) {
        let (journal, recovered) =
            Journal::open(self.files.clone(), None, Self::options()).expect("the journal opens");
        self.starts += 1;
        let run = self.starts.to_be_bytes();
        let core =
            Core::start(self.config.clone(), self.keys(), &recovered, run, self.now).unwrap();
        self.running = Some((core, journal));
        self.turn();
    }

    /// The process is gone; what the kernel has stays.
    pub fn kill(&mut self) {
        self.running = None;
        self.told.clear();
        self.files.kill();
    }

    /// The power is gone: what was not synced is lost or torn.
    pub fn power_loss(&mut self, seed: u64) {
        self.running = None;
        self.told.clear();
        self.files.power_loss(seed);
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub fn core(&mut self) -> &mut Core {
        &mut self.running.as_mut().expect("the node runs").0
    }

    pub fn store(&mut self) -> &mut Journal<SimFiles> {
        &mut self.running.as_mut().expect("the node runs").1
    }

    pub fn input(&mut self, input: Input) {
        let now = self.now;
        if let Some((core, _)) = &mut self.running {
            core.handle(now, input);
        }
    }

    pub fn say(&mut self, session: SessionId, frame: impl Into<Frame>) {
        self.input(Input::Frame { session, frame: frame.into() });
    }

    /// One group: commit, answers, deliveries. A storage fault ends the node, as it must.
    pub fn turn(&mut self) {
        let now = self.now;
        let broken = self.broken;
        let Some((core, store)) = &mut self.running else { return };
        loop {
            let full = store.room(64 * 1024).is_ok_and(|room| room == Room::Full);
            core.set_full(full);
            if core.expire(now, store).is_err() {
                self.running = None;
                return;
            }
            let changes = core.seal(now);
            if broken == Broken::AnswerBeforeCommit {
                core.committed();
                let outputs = core.take_outputs();
                note(&mut self.told, &mut self.closed, outputs);
            }
            let failed = changes.is_some_and(|changes| store.commit(&changes).is_err());
            if failed && broken != Broken::IgnoreFaults {
                self.running = None;
                return;
            }
            core.committed();
            let Ok(more) = core.deliver(store) else {
                self.running = None;
                return;
            };
            let outputs = core.take_outputs();
            note(&mut self.told, &mut self.closed, outputs);
            if !more {
                return;
            }
        }
    }

    /// Background work of the store.
    pub fn maintain(&mut self) {
        let seconds = self.now / 1000;
        while let Some((_, store)) = &mut self.running {
            match store.maintain(seconds) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => self.running = None,
            }
        }
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

fn note(told: &mut Told, closed: &mut BTreeMap<SessionId, ErrorCode>, outputs: Vec<Output>) {
    for output in outputs {
        match output {
            Output::Frame { session, frame } => told.entry(session).or_default().push(frame),
            Output::Known { .. } => {}
            Output::Close { session, code } => {
                closed.insert(session, code);
            }
        }
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
