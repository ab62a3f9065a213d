//! Reaching a node: its addresses in turn, the plain hello, the Noise handshake.

use std::time::Duration;

use bytes::BytesMut;
use postroad_proto::hello::{self, HELLO_LEN, MAGIC, REFUSAL_LEN};
use postroad_proto::ids::NodeId;
use postroad_proto::network::Network;
use postroad_proto::noise::{Initiator, MAX_HANDSHAKE, NoiseSecret};
use postroad_proto::record::NodeRecord;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Connection, io};
use crate::clock;
use crate::error::ConnectionError;

/// What a handshake may take beyond an address's share of the time: a node under load is slow.
const HANDSHAKE_EXTRA: Duration = Duration::from_millis(1250);

/// Whom to call and as whom.
#[derive(Debug)]
pub struct Dial<'a> {
    /// The node's network.
    pub network: &'a Network,
    /// The pinned node. Without one, whoever answers is trusted.
    pub node: Option<&'a NodeId>,
    /// `host:port`, tried in order.
    pub addresses: &'a [String],
    /// The device's Noise key.
    pub secret: &'a NoiseSecret,
    /// For all of it together.
    pub within: Duration,
}

impl Dial<'_> {
    /// Connects. An address where something else answers does not keep from trying the next.
    ///
    /// # Errors
    /// See [`ConnectionError`]: that of a node that answered wrongly, or of the last address.
    pub async fn connect(&self) -> Result<(Connection, NodeRecord), ConnectionError> {
        let deadline = Instant::now() + self.within;
        let mut why = "it has no address".to_owned();
        let mut wrong = None;
        for (tried, address) in self.addresses.iter().enumerate() {
            // Each address gets its share of what is left, so that one black hole is not all.
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(self.addresses.len() - tried).unwrap_or(1);
            match timeout(share, TcpStream::connect(address)).await {
                Err(_) => why = format!("{address}: no answer"),
                Ok(Err(error)) => why = format!("{address}: {error}"),
                Ok(Ok(stream)) => {
                    let limit = Instant::now() + share + HANDSHAKE_EXTRA;
                    match timeout_at(limit, self.shake(stream)).await {
                        Ok(Ok(connected)) => return Ok(connected),
                        Ok(Err(error)) => wrong = Some(error),
                        Err(_) => wrong = Some(ConnectionError::Timeout),
                    }
                }
            }
        }
        let node = self.node.map_or_else(|| "the node".to_owned(), ToString::to_string);
        Err(wrong.unwrap_or(ConnectionError::Unreachable { node, why }))
    }

    async fn shake(
        &self,
        mut stream: TcpStream,
    ) -> Result<(Connection, NodeRecord), ConnectionError> {
        stream.set_nodelay(true).map_err(io)?;
        let prologue: [u8; HELLO_LEN] = hello::hello(self.network);
        let (initiator, first) = Initiator::start(self.secret, &prologue)?;
        stream.write_all(&[prologue.as_slice(), &prefixed(&first)].concat()).await.map_err(io)?;
        let second = read_second(&mut stream).await?;
        let (channel, record, third) = initiator.finish(&second, self.network, self.node)?;
        // A stolen Noise key is of use for no longer than its record.
        if !record.is_current(clock::now() / 1000) {
            return Err(ConnectionError::Protocol("its record has expired".to_owned()));
        }
        stream.write_all(&prefixed(&third)).await.map_err(io)?;
        Ok((Connection { stream, channel, buffer: BytesMut::new() }, record))
    }
}

/// A handshake message behind its length.
fn prefixed(message: &[u8]) -> Vec<u8> {
    // Handshake messages have a few hundred bytes.
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), message].concat()
}

/// The node's handshake message, or its plain refusal.
async fn read_second(stream: &mut TcpStream) -> Result<Vec<u8>, ConnectionError> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.map_err(io)?;
    if head == MAGIC[..2] {
        let mut refusal = [0; REFUSAL_LEN];
        refusal[..2].copy_from_slice(&head);
        stream.read_exact(&mut refusal[2..]).await.map_err(io)?;
        return Err(hello::parse_refusal(&refusal)
            .map_or(ConnectionError::Closed, ConnectionError::TurnedAway));
    }
    let length = usize::from(u16::from_be_bytes(head));
    if length > MAX_HANDSHAKE {
        return Err(ConnectionError::Protocol(format!("a handshake message of {length} bytes")));
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.map_err(io)?;
    Ok(message)
}
