//! The engine: one thread that owns the core and the store. Inputs are taken in groups, each group
//! is one commit; while a sync is under way the next group gathers, so that load makes groups
//! larger rather than syncs more.

mod handle;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use postroad_core::changes::{Changes, ReadError};
use postroad_core::{Core, Input, Output, SessionId};
use postroad_store::{Room, Store, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::handle::Command;
#[cfg(test)]
pub(crate) use self::handle::Inputs;
pub(crate) use self::handle::{EngineHandle, Stopped};

use crate::clock;
use crate::net::NetHandle;
use crate::outgoing::Outgoing;

/// Commands taken into one group at most.
const GROUP_COMMANDS: usize = 1024;
/// Most staged bytes of a group; one envelope may stand above it.
const GROUP_BYTES: u64 = 1 << 20;
/// What one envelope may add to a group, and the journal to it.
const LAST_ENVELOPE: usize = 160 << 10;
/// How often deadlines are looked at and the store does its background work.
const TICK: Duration = Duration::from_millis(500);
/// The core's timers are looked at so often at most: what cannot be done now must not be tried
/// without end.
const LEAST_PAUSE: Duration = Duration::from_millis(10);
/// How often a commit that found no room is tried again.
const FULL_RETRY: Duration = Duration::from_millis(200);
/// How long until a node that cannot even delete gives up. Whoever starts it again finds all.
const FULL_PATIENCE: Duration = Duration::from_secs(60);
/// Background work of the store per tick: a tenth of the time at most.
const CHORES: Duration = Duration::from_millis(50);

/// The core, the store, and who is connected.
pub(crate) struct Engine<S: Store> {
    core: Core,
    store: S,
    net: NetHandle,
    sessions: HashMap<SessionId, Arc<Outgoing>>,
    commands: mpsc::Receiver<Command>,
    /// Told once the group is durable.
    durable: Vec<oneshot::Sender<()>>,
    /// Staged bytes at which a group is sealed.
    group_bytes: usize,
    /// The journal's bytes above which new custody is refused; 0 for none.
    max_bytes: u64,
}

/// Why an engine ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error("storage fault, nothing is accepted any more: {0}")]
    Store(#[from] StoreError),
    #[error("the disk has had no room even for deletions for {FULL_PATIENCE:?}; free some")]
    Full,
}

impl<S: Store + 'static> Engine<S> {
    /// `max_bytes` 0 stands for the disk's own limit. Groups are small beside a segment, so that
    /// keeping room for one wastes little of a small disk.
    pub(crate) fn new(
        core: Core,
        store: S,
        net: NetHandle,
        segment_bytes: u64,
        max_bytes: u64,
    ) -> (Self, EngineHandle) {
        let (handle, commands) = handle::channel();
        let engine = Self {
            core,
            store,
            net,
            sessions: HashMap::new(),
            commands,
            durable: Vec::new(),
            group_bytes: (segment_bytes / 16).clamp(64 << 10, GROUP_BYTES) as usize,
            max_bytes,
        };
        (engine, handle)
    }

    /// Commits what the start staged. Call before listening.
    pub(crate) fn begin(&mut self) -> Result<(), EngineError> {
        self.finish_group().map(|_| ())
    }

    /// Runs until told to stop or the store fails. Blocks its thread while it syncs.
    pub(crate) async fn run(mut self) -> Result<(), EngineError> {
        let result = self.serve().await;
        // Whatever was not committed is not said: sessions just close.
        for outgoing in self.sessions.values() {
            outgoing.close();
        }
        let stop = result?;
        self.store.close()?;
        if let Some(stop) = stop {
            let _ = stop.send(());
        }
        Ok(())
    }

    async fn serve(&mut self) -> Result<Option<oneshot::Sender<()>>, EngineError> {
        let mut next_tick = Instant::now() + TICK;
        let mut next_timers = Instant::now();
        let (mut deliveries, mut chores) = (false, false);
        let mut batch = Vec::new();
        loop {
            let due = self.next_due(next_timers).min(next_tick);
            // Ordered: clients first. What is due cannot starve, it looks at the time itself.
            tokio::select! {
                biased;
                taken = self.commands.recv_many(&mut batch, GROUP_COMMANDS) => if taken == 0 {
                    return Ok(None);
                },
                () = std::future::ready(()), if deliveries || chores => {}
                () = tokio::time::sleep_until(due) => {}
            }
            let idle = batch.is_empty() && !deliveries;
            self.check_room()?;
            for command in batch.drain(..) {
                if let Some(stop) = self.take(command)? {
                    self.finish_group()?;
                    return Ok(Some(stop));
                }
            }
            deliveries = self.finish_group()?;
            let is_due = self.core.next_timeout().is_some_and(|due| due <= clock::now());
            if is_due && Instant::now() >= next_timers {
                next_timers = Instant::now() + LEAST_PAUSE;
                self.core.tick(clock::now());
                deliveries |= self.expire()?;
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                deliveries |= self.expire()?;
                chores = self.do_chores(CHORES)?;
            } else if chores && idle {
                // A node without clients' work gets on with its own, a step at a time.
                chores = self.do_chores(Duration::ZERO)?;
            }
        }
    }

    fn take(&mut self, command: Command) -> Result<Option<oneshot::Sender<()>>, EngineError> {
        match command {
            Command::Connected { session, key, outgoing } => {
                self.sessions.insert(session, outgoing);
                self.core.handle(clock::now(), Input::Connected { session, key });
            }
            // The permit frees the session's share of the queue.
            Command::Frames { session, frames, permit: _permit } => {
                let now = clock::now();
                for frame in frames {
                    self.core.handle(now, Input::Frame { session, frame });
                    self.finish_large_group()?;
                }
            }
            Command::Input { input, permit: _permit } => {
                if let Input::Disconnected { session } = &input {
                    self.sessions.remove(session);
                }
                self.core.handle(clock::now(), input);
            }
            Command::Look(look) => look(&self.core, &self.store.stats()),
            Command::Act { act, durable } => {
                act(&mut self.core, clock::now());
                self.durable.push(durable);
            }
            Command::Stop(stop) => return Ok(Some(stop)),
        }
        self.finish_large_group()?;
        Ok(None)
    }

    fn finish_large_group(&mut self) -> Result<(), EngineError> {
        if self.core.staged_bytes() >= self.group_bytes {
            self.finish_group()?;
            self.check_room()?;
        }
        Ok(())
    }

    /// Makes the group durable, then says what it promised and delivers. True when there is more
    /// to deliver at once.
    fn finish_group(&mut self) -> Result<bool, EngineError> {
        if let Some(changes) = self.core.seal(clock::now()) {
            self.commit(&changes)?;
        }
        self.core.committed();
        for durable in self.durable.drain(..) {
            let _ = durable.send(());
        }
        let more = match self.core.deliver(&self.store) {
            Ok(more) => more,
            Err(error) => self.mend_reads(&error)?,
        };
        let mut outputs = self.core.take_outputs().into_iter().peekable();
        while let Some(output) = outputs.next() {
            match output {
                Output::Frame { session, frame } => {
                    let Some(outgoing) = self.sessions.get(&session) else { continue };
                    // What one session is told mostly comes in a row.
                    let is_its = |next: &Output| matches!(next, Output::Frame { session: other, .. } if *other == session);
                    let others = std::iter::from_fn(|| match outputs.next_if(is_its) {
                        Some(Output::Frame { frame, .. }) => Some(frame),
                        _ => None,
                    });
                    outgoing.push(std::iter::once(frame).chain(others));
                }
                Output::Known { session } => {
                    if let Some(outgoing) = self.sessions.get(&session) {
                        outgoing.set_known();
                    }
                }
                Output::Close { session, code } => {
                    tracing::debug!(session, %code, "hanging up");
                    if let Some(outgoing) = self.sessions.remove(&session) {
                        outgoing.close();
                    }
                }
                Output::Road(command) => self.net.perform(command),
            }
        }
        Ok(more)
    }

    /// When the core's timers are due, but not before `least`.
    fn next_due(&self, least: Instant) -> Instant {
        let now = clock::now();
        let wait = self
            .core
            .next_timeout()
            .map_or(TICK, |due| Duration::from_millis(due.saturating_sub(now)).min(TICK));
        least.max(Instant::now() + wait)
    }

    /// One batch of deadlines at a time, so that nobody waits for the others. True when the group
    /// that it made leaves something to deliver.
    fn expire(&mut self) -> Result<bool, EngineError> {
        if let Err(error) = self.core.expire(clock::now(), &self.store) {
            self.mend_reads(&error)?;
        }
        self.finish_group()
    }

    /// Background work of the store, for at most this long but at least a step: also under load,
    /// or dead mail would fill the disk. True when there is more.
    fn do_chores(&mut self, within: Duration) -> Result<bool, EngineError> {
        let end = Instant::now() + within;
        loop {
            let more = self.store.maintain(clock::now() / 1000)?;
            if !more || Instant::now() >= end {
                return Ok(more);
            }
        }
    }

    /// Mail could not be read. If the disk is at fault the store says so now; otherwise it is the
    /// index, which the store has begun to make anew.
    fn mend_reads(&mut self, error: &ReadError) -> Result<bool, EngineError> {
        tracing::warn!(%error, "trying again without the index");
        self.do_chores(Duration::ZERO)?;
        Ok(true)
    }

    /// Commits, waiting for room if not even the reserve has any: nothing of the group is said
    /// before, and compaction may make some.
    fn commit(&mut self, changes: &Changes) -> Result<(), EngineError> {
        let end = Instant::now() + FULL_PATIENCE;
        loop {
            match self.store.commit(changes) {
                Err(StoreError::Full) if Instant::now() < end => {
                    tracing::error!("the disk has no room for a commit; free some");
                    while self.do_chores(CHORES)? {}
                    std::thread::sleep(FULL_RETRY);
                }
                Err(StoreError::Full) => return Err(EngineError::Full),
                result => return Ok(result?),
            }
        }
    }

    fn check_room(&mut self) -> Result<(), EngineError> {
        let over = self.max_bytes != 0 && self.store.stats().disk_bytes > self.max_bytes;
        let full = over || self.store.room(self.group_bytes + LAST_ENVELOPE)? == Room::Full;
        if full != self.core.is_full() {
            if full {
                tracing::error!("disk full: new mail is refused, delivery goes on; make room");
            } else {
                tracing::info!("the disk has room again: new mail is taken");
            }
            self.core.set_full(full);
        }
        Ok(())
    }
}
