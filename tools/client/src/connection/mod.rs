//! The raw connection to a node: frames out, frames in. Everything else of the SDK goes through it;
//! tests and hostile clients may use it alone.

mod backoff;
mod dial;

use std::io::ErrorKind;

use bytes::BytesMut;
use postroad_proto::frame::Frame;
use postroad_proto::noise::Channel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub use backoff::Backoff;
pub(crate) use backoff::{retry_at, wait_after};
pub use dial::Dial;

use crate::error::ConnectionError;

/// Bytes taken from the socket at a time.
const READ: usize = 64 * 1024;

/// An authenticated connection to a node.
pub struct Connection {
    stream: TcpStream,
    channel: Channel,
    buffer: BytesMut,
}

impl core::fmt::Debug for Connection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Connection({:?})", self.stream.peer_addr().ok())
    }
}

impl Connection {
    /// Sends one frame.
    ///
    /// # Errors
    /// See [`ConnectionError`]; the connection is of no use afterwards.
    pub async fn send(&mut self, frame: impl Into<Frame>) -> Result<(), ConnectionError> {
        self.send_all([frame.into()]).await
    }

    /// Sends several frames at once.
    ///
    /// # Errors
    /// See [`ConnectionError`]; the connection is of no use afterwards.
    pub async fn send_all(
        &mut self,
        frames: impl IntoIterator<Item = Frame>,
    ) -> Result<(), ConnectionError> {
        let (mut plain, mut wire) = (Vec::new(), Vec::new());
        for frame in frames {
            frame.encode_into(&mut plain).map_err(|e| ConnectionError::Noise(e.into()))?;
        }
        self.channel.seal(&plain, &mut wire)?;
        self.stream.write_all(&wire).await.map_err(io)
    }

    /// The next frame. May be dropped while it waits without losing anything.
    ///
    /// # Errors
    /// See [`ConnectionError`]; the connection is of no use afterwards.
    pub async fn recv(&mut self) -> Result<Frame, ConnectionError> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            self.buffer.reserve(READ);
            if self.stream.read_buf(&mut self.buffer).await.map_err(io)? == 0 {
                return Err(ConnectionError::Closed);
            }
            let received = self.buffer.split();
            self.channel.receive(&received)?;
        }
    }

    /// A frame that has already come in.
    ///
    /// # Errors
    /// [`ConnectionError::Noise`]; the connection is of no use afterwards.
    pub fn buffered(&mut self) -> Result<Option<Frame>, ConnectionError> {
        Ok(self.channel.next_frame()?)
    }
}

fn io(error: std::io::Error) -> ConnectionError {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
            ConnectionError::Closed
        }
        _ => ConnectionError::Io(error.to_string()),
    }
}
