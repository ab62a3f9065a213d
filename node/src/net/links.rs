//! Mail streams: frames both ways, one task each.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use futures::io::{ReadHalf, WriteHalf};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::Stream;
use postroad_core::Input;
use postroad_core::roads::{Event, LinkId};
use postroad_proto::codec::CodecError;
use postroad_proto::frame::Frame;
use postroad_proto::ids::NodeId;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::reason;
use crate::engine::{EngineHandle, Stopped};
use crate::outgoing::{Outgoing, Todo};

/// Bytes that may wait to be written to one node: the core has 8 MiB of envelopes unanswered at
/// most, and what encodes them comes on top.
const MAX_UNREAD: usize = 16 << 20;
/// Whoever takes longer to read a piece of what was written is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes in one piece.
const PIECE: usize = 64 << 10;
/// The opener closes a stream on which nothing comes for so long.
const IDLE: Duration = Duration::from_secs(300);
/// The other side does when the opener should have.
const IDLE_TAKER: Duration = Duration::from_secs(900);
/// How long the other side gets to read the end of a stream that is closed.
const LINGER: Duration = Duration::from_secs(1);
/// KiB of one stream's frames that may wait for the engine.
const SHARE: usize = 2048;
/// For so long a node that brought mail is not asked to make room.
const LATELY: Duration = Duration::from_secs(120);
/// Bytes read at once.
const READ: usize = 32 << 10;

/// Every mail stream that is open.
#[derive(Default)]
pub(super) struct Links {
    /// Guards what waits to be said, and whose stream it is.
    held: Mutex<HashMap<LinkId, Held>>,
}

struct Held {
    node: NodeId,
    outbound: bool,
    outgoing: Arc<Outgoing>,
    /// When mail that came on it was last taken.
    taken: Option<Instant>,
}

impl Links {
    /// Says a frame, if the stream is still there.
    pub(super) fn push(&self, link: LinkId, frame: Frame) {
        let outgoing = self.lock().get_mut(&link).map(|held| {
            // An open stream proves nothing, nor does mail that is refused.
            if matches!(&frame, Frame::BatchReply(reply) if !reply.items.is_empty()) {
                held.taken = Some(Instant::now());
            }
            held.outgoing.clone()
        });
        if let Some(outgoing) = outgoing {
            outgoing.push([frame]);
        }
    }

    /// Ends a stream once all before is said.
    pub(super) fn close(&self, link: LinkId) {
        if let Some(held) = self.lock().remove(&link) {
            held.outgoing.close();
        }
    }

    /// Ends every stream once all before is said.
    pub(super) fn close_all(&self) {
        for (_, held) in self.lock().drain() {
            held.outgoing.close();
        }
    }

    /// Streams that a node opened, and that all did.
    pub(super) fn incoming(&self, node: &NodeId) -> (usize, usize) {
        let held = self.lock();
        let incoming = held.values().filter(|held| !held.outbound);
        incoming.fold((0, 0), |(of_node, all), held| {
            (of_node + usize::from(held.node == *node), all + 1)
        })
    }

    /// Nodes that brought mail lately that was taken.
    pub(super) fn bringing(&self) -> HashSet<NodeId> {
        let lately = |held: &&Held| held.taken.is_some_and(|taken| taken.elapsed() < LATELY);
        self.lock().values().filter(lately).map(|held| held.node).collect()
    }

    /// Nodes with which there is a stream.
    pub(super) fn nodes(&self) -> HashSet<NodeId> {
        self.lock().values().map(|held| held.node).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LinkId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the other side closed the mail stream")]
    Closed,
    #[error("this node closed the mail stream")]
    Closing,
    #[error("the other side takes too long to read")]
    NotReading,
    #[error("nothing was left to say")]
    Idle,
    #[error("what came is no frame: {0}")]
    Codec(#[from] CodecError),
    #[error("{}", reason::of_io(.0))]
    Io(#[from] io::Error),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// One mail stream.
pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) node: NodeId,
    pub(super) outbound: bool,
    pub(super) stream: Stream,
}

impl Link {
    /// Enters the stream into the list; returns what carries its frames until it ends.
    pub(super) fn open(
        self,
        shared: Arc<super::Shared>,
        engine: EngineHandle,
    ) -> impl Future<Output = ()> + Send {
        let outgoing = Arc::new(Outgoing::new(MAX_UNREAD));
        let (node, outbound) = (self.node, self.outbound);
        let held = Held { node, outbound, outgoing: outgoing.clone(), taken: None };
        shared.links.lock().insert(self.id, held);
        async move {
            let (link, node) = (self.id, self.node);
            let end = self.carry(&engine, &outgoing).await;
            match end {
                End::Codec(_) => tracing::info!(%node, %end, "hung up on a mail stream"),
                _ => tracing::debug!(%node, %end, "mail stream ended"),
            }
            // Not if the core closed it.
            if shared.links.lock().remove(&link).is_some() {
                let garbage = matches!(end, End::Codec(_));
                let down = Event::LinkDown { link, reason: end.to_string(), garbage };
                let _ = engine.input(Input::Road(down), None).await;
            }
        }
    }

    async fn carry(self, engine: &EngineHandle, outgoing: &Outgoing) -> End {
        let Self { id, node, outbound, stream } = self;
        let up = Input::Road(Event::LinkUp { link: id, node, outbound });
        if let Err(stopped) = engine.input(up, None).await {
            return stopped.into();
        }
        let (mut reader, writer) = stream.split();
        let idle = if outbound { IDLE } else { IDLE_TAKER };
        // Side by side: two nodes that both only write would wait for each other.
        let end = tokio::select! {
            end = write(writer, outgoing) => end,
            end = read(&mut reader, id, idle, engine) => end,
        };
        if matches!(end, End::Closing) {
            // Should the connection close now, what was said last would be lost on its way.
            let _ = timeout(LINGER, read_off(&mut reader)).await;
        }
        end
    }
}

/// Returns once the other side has read all and closed its side, too.
async fn read_off(reader: &mut ReadHalf<Stream>) {
    let mut buffer = [0; 1024];
    while reader.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
}

async fn write(mut writer: WriteHalf<Stream>, outgoing: &Outgoing) -> End {
    loop {
        let (frames, last) = match outgoing.todo().await {
            Todo::Write(frames) => (frames, false),
            Todo::Close(frames) => (frames, true),
        };
        if let Err(end) = write_out(&mut writer, &frames).await {
            return end;
        }
        if last {
            let _ = timeout(WRITE_TIMEOUT, writer.close()).await;
            return End::Closing;
        }
    }
}

async fn write_out(writer: &mut WriteHalf<Stream>, frames: &[u8]) -> Result<(), End> {
    let late = |_| End::NotReading;
    for piece in frames.chunks(PIECE) {
        timeout(WRITE_TIMEOUT, writer.write_all(piece)).await.map_err(late)??;
    }
    timeout(WRITE_TIMEOUT, writer.flush()).await.map_err(late)??;
    Ok(())
}

async fn read(
    reader: &mut ReadHalf<Stream>,
    link: LinkId,
    idle: Duration,
    engine: &EngineHandle,
) -> End {
    let share = Arc::new(Semaphore::new(SHARE));
    let mut buffer = vec![0; READ];
    let mut stream = BytesMut::new();
    loop {
        match timeout(idle, reader.read(&mut buffer)).await {
            Err(_) => return End::Idle,
            Ok(Err(error)) => return error.into(),
            Ok(Ok(0)) => return End::Closed,
            Ok(Ok(length)) => stream.extend_from_slice(&buffer[..length]),
        }
        loop {
            let frame = match Frame::take_from(&mut stream) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return error.into(),
            };
            // Waits while the engine has enough of this stream's.
            let permit = share.clone().acquire_many_owned(weight(&frame)).await.ok();
            let input = Input::Road(Event::Frame { link, frame });
            if let Err(stopped) = engine.input(input, permit).await {
                return stopped.into();
            }
        }
    }
}

/// What a frame takes of its stream's share of the queue: about its KiB, at least one.
fn weight(frame: &Frame) -> u32 {
    let bytes: usize = match frame {
        Frame::Batch(batch) => batch.envelopes.iter().map(|e| e.body.len() + 512).sum(),
        _ => 0,
    };
    (1 + bytes / 1024).min(SHARE) as u32
}
