//! Streams of a hostile peer: any bytes out, frames in.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{PeerId, Stream};
use libp2p_stream::IncomingStreams;
use postroad_proto::PROTOCOL_VERSIONS;
use postroad_proto::envelope::Envelope;
use postroad_proto::frame::{Batch, BatchReply, Credit, Frame, MailOpen, MailOpened};
use postroad_proto::ids::NodeId;
use serde_bytes::ByteArray;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Answerer, PATIENCE};

/// A stream with a real node at the other end.
pub struct Mail {
    stream: Stream,
    read: BytesMut,
    runtime: Handle,
}

impl Mail {
    pub(super) fn new(stream: Stream, runtime: Handle) -> Self {
        Self { stream, read: BytesMut::new(), runtime }
    }

    /// Says something.
    ///
    /// # Errors
    /// When the other side has closed the stream, or takes nothing for 15 seconds.
    pub fn send(&mut self, frame: impl Into<Frame>) -> Result<(), String> {
        self.send_raw(&frame_bytes(&frame.into()))
    }

    /// Says raw bytes.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<(), String> {
        let stream = &mut self.stream;
        let written = self.runtime.block_on(async {
            let write = async {
                stream.write_all(bytes).await?;
                stream.flush().await
            };
            timeout(PATIENCE, write).await
        });
        written.map_err(|_| "nothing is taken".to_owned())?.map_err(|error| error.to_string())
    }

    /// Ends this peer's half.
    pub fn close(&mut self) {
        let stream = &mut self.stream;
        let _ = self.runtime.block_on(async { timeout(PATIENCE, stream.close()).await });
    }

    /// The next frame; none when the other side closed the stream.
    ///
    /// # Panics
    /// When neither comes within 15 seconds.
    pub fn recv(&mut self) -> Option<Frame> {
        self.recv_within(PATIENCE).expect("a frame or an end in time")
    }

    /// The next frame, or `Ok(None)` when the stream is closed.
    ///
    /// # Errors
    /// When nothing comes in time.
    ///
    /// # Panics
    /// When it is no frame.
    pub fn recv_within(&mut self, patience: Duration) -> Result<Option<Frame>, String> {
        let (stream, read) = (&mut self.stream, &mut self.read);
        let next = async {
            let mut chunk = [0; 4096];
            loop {
                if let Some(frame) = Frame::take_from(read).unwrap() {
                    return Some(frame);
                }
                match stream.read(&mut chunk).await {
                    Ok(0) | Err(_) => return None,
                    Ok(n) => read.extend_from_slice(&chunk[..n]),
                }
            }
        };
        let next = self.runtime.block_on(async { timeout(patience, next).await });
        next.map_err(|_| "nothing came".to_owned())
    }

    /// The next frame that is no `Credit`.
    ///
    /// # Panics
    /// As [`Self::recv`].
    pub fn recv_beside_credit(&mut self) -> Option<Frame> {
        loop {
            match self.recv() {
                Some(Frame::Credit(_)) => {}
                other => return other,
            }
        }
    }

    /// Waits until the other side closes, whatever it says before.
    ///
    /// # Panics
    /// When it does not.
    pub fn expect_closed(&mut self) {
        while self.recv().is_some() {}
    }

    /// As the side that brings mail: says hello. Returns what came for it.
    ///
    /// # Panics
    /// When nothing comes.
    pub fn greet(&mut self) -> MailOpened {
        self.send(open_frame(PROTOCOL_VERSIONS)).unwrap();
        match self.recv() {
            Some(Frame::MailOpened(opened)) => *opened,
            other => panic!("{other:?} in place of MailOpened"),
        }
    }

    /// As the side that brings mail: offers envelopes and returns the answer.
    ///
    /// # Panics
    /// When none comes.
    pub fn offer(&mut self, number: u64, envelopes: Vec<Envelope>) -> BatchReply {
        self.send(Batch { number, envelopes }).unwrap();
        match self.recv_beside_credit() {
            Some(Frame::BatchReply(reply)) => *reply,
            other => panic!("{other:?} in place of a reply"),
        }
    }

    /// As the side that takes mail: waits for the hello, answers it and grants credit.
    ///
    /// # Panics
    /// When no hello comes.
    pub fn welcome(&mut self) -> MailOpen {
        let Some(Frame::MailOpen(open)) = self.recv() else { panic!("expected a hello") };
        let version = PROTOCOL_VERSIONS.1;
        let opened = MailOpened { version, generation: 1, run: RUN, quoted: None };
        self.send(opened).unwrap();
        self.send(Credit { messages: 64, bytes: 1 << 20 }).unwrap();
        *open
    }

    /// As the side that takes mail: the next batch.
    ///
    /// # Panics
    /// When something else comes.
    pub fn batch(&mut self) -> Batch {
        match self.recv() {
            Some(Frame::Batch(batch)) => *batch,
            other => panic!("{other:?} in place of a batch"),
        }
    }
}

/// The run that a peer says it is in.
const RUN: ByteArray<8> = ByteArray::new([7; 8]);

/// How whoever brings mail begins.
pub fn open_frame(versions: (u64, u64)) -> MailOpen {
    MailOpen { versions, generation: 1, run: RUN, quoted: None }
}

/// A frame as it is written between nodes.
///
/// # Panics
/// When it is too large to be one.
pub fn frame_bytes(frame: &Frame) -> Bytes {
    let mut bytes = Vec::new();
    frame.encode_into(&mut bytes).unwrap();
    bytes.into()
}

/// Keeps mail streams that come in until the test looks at them.
pub(super) async fn bring(mut streams: IncomingStreams, to: mpsc::Sender<(PeerId, Stream)>) {
    while let Some(incoming) = streams.next().await {
        if to.send(incoming).await.is_err() {
            return;
        }
    }
}

/// Answers questions, each in its turn.
pub(super) async fn answer(mut streams: IncomingStreams, answers: Arc<Mutex<Answerer>>) {
    while let Some((peer, mut stream)) = streams.next().await {
        let answers = answers.clone();
        tokio::spawn(async move {
            let mut question = Vec::new();
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut bytes).await {
                question.extend_from_slice(&bytes[..n]);
                let Ok(asked) = Frame::take_from(&mut BytesMut::from(&question[..])) else {
                    return;
                };
                let Some(frame) = asked else { continue };
                let Some(node) = node_of(&peer) else { return };
                let answer = (answers.lock().unwrap())(node, frame);
                if let Some(answer) = answer {
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.close().await;
                }
                return;
            }
        });
    }
}

/// The node that a libp2p name is of: an identity multihash of its key.
fn node_of(peer: &PeerId) -> Option<NodeId> {
    let bytes = peer.to_bytes();
    Some(NodeId(*bytes.last_chunk::<32>()?))
}
