//! What waits to be said to one client or node.

use std::sync::{Mutex, MutexGuard, PoisonError};

use postroad_proto::frame::Frame;
use tokio::sync::Notify;

/// Encoded frames on their way to one client or node. Empty it holds no buffer.
pub(crate) struct Outgoing {
    /// Guards the frames and whether the session ends after them.
    state: Mutex<State>,
    wake: Notify,
    limit: usize,
}

#[derive(Default)]
struct State {
    frames: Vec<u8>,
    closing: bool,
    known: bool,
}

/// What a session has to do.
pub(crate) enum Todo {
    /// Write this.
    Write(Vec<u8>),
    /// Write this and end.
    Close(Vec<u8>),
}

impl Outgoing {
    pub(crate) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), wake: Notify::new(), limit }
    }

    /// Adds frames. Whoever leaves more unread than the limit is hung up on: what it was
    /// not told it will ask for again.
    pub(crate) fn push(&self, frames: impl IntoIterator<Item = Frame>) {
        let mut state = self.lock();
        for frame in frames {
            if state.closing {
                continue;
            }
            if let Err(error) = frame.encode_into(&mut state.frames) {
                // Whoever awaits it asks again. Hanging up would bring the same with each return.
                tracing::error!(%error, frame = frame.name(), "a frame of ours does not encode");
            }
            if state.frames.len() > self.limit {
                tracing::info!("the other side reads too slowly; hanging up");
                state.frames = Vec::new();
                state.closing = true;
            }
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Ends the session once all before is written.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
    }

    /// The client may stay: it is a device of an account homed here, or a guest of a rendezvous.
    pub(crate) fn set_known(&self) {
        self.lock().known = true;
    }

    /// See [`Self::set_known`].
    pub(crate) fn is_known(&self) -> bool {
        self.lock().known
    }

    /// Waits until there is something to do.
    pub(crate) async fn todo(&self) -> Todo {
        loop {
            {
                let mut state = self.lock();
                let frames = std::mem::take(&mut state.frames);
                if state.closing {
                    return Todo::Close(frames);
                }
                if !frames.is_empty() {
                    return Todo::Write(frames);
                }
            }
            self.wake.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
