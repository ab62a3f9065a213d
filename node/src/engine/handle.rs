//! How the rest of the node talks to the engine.

use std::sync::Arc;

use postroad_core::{Core, Input, SessionId};
use postroad_proto::frame::Frame;
use postroad_proto::ids::Hash;
use postroad_store::StoreStats;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::outgoing::Outgoing;

/// Commands that may wait for the engine; senders wait when there are more.
const QUEUE: usize = 4096;

pub(super) type Look = Box<dyn FnOnce(&Core, &StoreStats) + Send>;
pub(super) type Act = Box<dyn FnOnce(&mut Core, u64) + Send>;

/// What the engine is asked to do.
pub(super) enum Command {
    Connected {
        session: SessionId,
        key: Hash,
        outgoing: Arc<Outgoing>,
    },
    /// What one read of a client's connection brought.
    Frames {
        session: SessionId,
        frames: Vec<Frame>,
        permit: Option<OwnedSemaphorePermit>,
    },
    Input {
        input: Input,
        permit: Option<OwnedSemaphorePermit>,
    },
    Look(Look),
    Act {
        act: Act,
        durable: oneshot::Sender<()>,
    },
    Stop(oneshot::Sender<()>),
}

/// A handle, and where what is asked through it arrives.
pub(super) fn channel() -> (EngineHandle, mpsc::Receiver<Command>) {
    let (commands, receiver) = mpsc::channel(QUEUE);
    (EngineHandle { commands }, receiver)
}

/// How the rest of the node talks to the engine.
#[derive(Clone)]
pub(crate) struct EngineHandle {
    commands: mpsc::Sender<Command>,
}

/// The engine has stopped.
#[derive(Debug, thiserror::Error)]
#[error("the node is stopping")]
pub(crate) struct Stopped;

impl EngineHandle {
    pub(crate) async fn connected(
        &self,
        session: SessionId,
        key: Hash,
        outgoing: Arc<Outgoing>,
    ) -> Result<(), Stopped> {
        self.send(Command::Connected { session, key, outgoing }).await
    }

    /// `permit` is given back once the engine has dealt with all of them.
    pub(crate) async fn frames(
        &self,
        session: SessionId,
        frames: Vec<Frame>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Stopped> {
        self.send(Command::Frames { session, frames, permit }).await
    }

    /// `permit` is given back once the engine has dealt with the input.
    pub(crate) async fn input(
        &self,
        input: Input,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Stopped> {
        self.send(Command::Input { input, permit }).await
    }

    /// Reads something off the core.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core, &StoreStats) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |core: &Core, stats: &StoreStats| {
            let _ = reply.send(look(core, stats));
        });
        self.send(Command::Look(look)).await?;
        answer.await.map_err(|_| Stopped)
    }

    /// Changes something; returns when the change is durable.
    pub(crate) async fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Core, u64) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        let (durable, committed) = oneshot::channel();
        let act = Box::new(move |core: &mut Core, now| {
            let _ = reply.send(act(core, now));
        });
        self.send(Command::Act { act, durable }).await?;
        committed.await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Finishes what is queued, closes the store, ends the engine.
    pub(crate) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.send(Command::Stop(done)).await.is_ok() {
            let _ = stopped.await;
        }
    }

    async fn send(&self, command: Command) -> Result<(), Stopped> {
        self.commands.send(command).await.map_err(|_| Stopped)
    }
}

/// Stands in for the engine: whoever tests a room that talks to it reads here what it was told.
#[cfg(test)]
pub(crate) struct Inputs(mpsc::Receiver<Command>);

#[cfg(test)]
impl Inputs {
    pub(crate) fn new() -> (Self, EngineHandle) {
        let (handle, commands) = channel();
        (Self(commands), handle)
    }

    /// The next input; others are passed over.
    pub(crate) async fn next(&mut self) -> Option<Input> {
        loop {
            if let Command::Input { input, .. } = self.0.recv().await? {
                return Some(input);
            }
        }
    }
}
