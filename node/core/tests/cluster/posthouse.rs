//! The owner of one core and its journal, on a simulated disk: what the engine is in the daemon.

use postroad_core::changes::{Changes, Recovered};
use postroad_core::{Config, Core, Input, Keys, Output};
use postroad_proto::SigningKey;
use postroad_proto::ids::{Millis, NodeId};
use postroad_proto::network::Network;
use postroad_store::{Journal, Options, Room, SimFiles, Store, StoreError};

/// Rules of the owner that a test can break.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Broken {
    #[default]
    Nothing,
    /// Answers leave before the commit.
    AnswerBeforeCommit,
    /// A failed commit is answered as if it had not failed.
    IgnoreFaults,
}

/// A posthouse that runs, or does not.
pub struct Posthouse {
    pub files: SimFiles,
    pub config: Config,
    /// The rule that is broken on purpose, to see whether anybody notices.
    pub broken: Broken,
    number: u8,
    network: Network,
    running: Option<(Core, Journal<SimFiles>)>,
    starts: u64,
}

/// What one group came to.
#[derive(Default)]
pub struct Turn {
    pub outputs: Vec<Output>,
    /// What was made durable.
    pub commits: Vec<Changes>,
    /// What may be durable, or not: its commit failed.
    pub torn: Option<Changes>,
    /// A storage fault ended the node.
    pub died: bool,
}

impl Posthouse {
    /// `number` stands for its keys.
    pub fn new(number: u8, config: Config) -> Self {
        Self {
            files: SimFiles::new(),
            config,
            broken: Broken::Nothing,
            number,
            network: "simulated".parse().unwrap(),
            running: None,
            starts: 0,
        }
    }

    pub fn signing(&self) -> SigningKey {
        SigningKey::from_bytes(blake3::hash(&[b'n', self.number]).as_bytes())
    }

    fn keys(&self) -> Keys {
        Keys {
            signing: self.signing(),
            secret: *blake3::hash(&[b's', self.number]).as_bytes(),
            network: self.network.clone(),
            name: self.name(),
        }
    }

    pub fn name(&self) -> String {
        format!("posthouse{}.example", self.number)
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

    /// Starts the node on what its disk holds. The first turn writes the run down.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn start(&mut self, now: Millis) -> Result<Recovered, StoreError> {
        let (journal, recovered) = Journal::open(self.files.clone(), None, Self::options())?;
        self.starts += 1;
        let run = blake3::hash(&[[self.number; 8], self.starts.to_be_bytes()].concat());
        let run = *run.as_bytes().first_chunk().unwrap();
        let core = Core::start(self.config.clone(), self.keys(), &recovered, run, now).unwrap();
        self.running = Some((core, journal));
        Ok(recovered)
    }

    /// The process is gone; what the kernel has stays.
    pub fn kill(&mut self) {
        self.running = None;
        self.files.kill();
    }

    /// The power is gone: what was not synced is lost or torn.
    pub fn power_loss(&mut self, seed: u64) {
        self.running = None;
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

    pub fn input(&mut self, now: Millis, input: Input) {
        if let Some((core, _)) = &mut self.running {
            core.handle(now, input);
        }
    }

    /// One group: commit, answers, deliveries. A storage fault ends the node, as it must.
    pub fn turn(&mut self, now: Millis) -> Turn {
        let mut turn = Turn::default();
        while !turn.died && self.running.is_some() {
            match self.group(now, &mut turn) {
                Some(true) => {}
                Some(false) => break,
                None => {
                    self.running = None;
                    turn.died = true;
                }
            }
        }
        turn
    }

    /// Whether there is more to deliver; nothing when the store failed.
    fn group(&mut self, now: Millis, turn: &mut Turn) -> Option<bool> {
        let (core, store) = self.running.as_mut()?;
        let full = store.room(64 * 1024).is_ok_and(|room| room == Room::Full);
        core.set_full(full);
        core.expire(now, store).ok()?;
        if let Some(changes) = core.seal(now) {
            if self.broken == Broken::AnswerBeforeCommit {
                core.committed();
                turn.outputs.append(&mut core.take_outputs());
            }
            match store.commit(&changes) {
                Ok(()) => turn.commits.push(changes),
                Err(_) if self.broken == Broken::IgnoreFaults => {}
                Err(_) => {
                    turn.torn = Some(changes);
                    return None;
                }
            }
        }
        core.committed();
        let more = core.deliver(store).ok()?;
        turn.outputs.append(&mut core.take_outputs());
        Some(more)
    }

    /// Background work of the store.
    pub fn maintain(&mut self, now: Millis) {
        while let Some((_, store)) = &mut self.running {
            match store.maintain(now / 1000) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => self.running = None,
            }
        }
    }
}
