//! A connection that is no device's: one side of a rendezvous at the home.

use std::time::Duration;

use postroad_proto::PROTOCOL_VERSIONS;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Frame, Hello, Ping, RendezvousJoin, RendezvousSend};
use postroad_proto::link::NodeLink;
use postroad_proto::noise::NoiseSecret;
use serde_bytes::ByteArray;
use tokio::time::timeout;

use crate::connection::{Connection, Dial};
use crate::entropy;
use crate::error::{ConnectionError, Error, Result};

/// How long connecting may take, and an answer.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a silent connection is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// What comes through a rendezvous.
pub(super) enum Said {
    /// The other side has come, or was replaced; or it has gone.
    Peer(bool),
    /// It has said something.
    Data(Vec<u8>),
}

pub(super) struct Guest {
    connection: Connection,
    last: u64,
}

impl Guest {
    /// Joins. The keys of this connection are of no further meaning.
    ///
    /// # Errors
    /// [`Error::Refused`] with DENIED when the home does not know the rendezvous.
    pub(super) async fn join(home: &NodeLink, id: [u8; 16], side: u64) -> Result<Self> {
        let secret = NoiseSecret(entropy::bytes());
        let dial = Dial {
            network: &home.network,
            node: Some(&home.node),
            addresses: &home.addresses,
            secret: &secret,
            within: CONNECT,
        };
        let (connection, _) = dial.connect().await?;
        let mut guest = Self { connection, last: 0 };
        let hello = Hello {
            versions: PROTOCOL_VERSIONS,
            account: None,
            device: 0,
            devices: None,
            cursor: 0,
            quoted: Vec::new(),
        };
        guest.connection.send(hello).await?;
        let request = guest.next();
        let join = RendezvousJoin { request, id: ByteArray::new(id), side };
        guest.connection.send(join).await?;
        loop {
            match timeout(CONNECT, guest.connection.recv()).await {
                Err(_) => return Err(ConnectionError::Timeout.into()),
                Ok(frame) => match frame? {
                    Frame::Welcome(_) => {}
                    Frame::Done(done) if done.request == request && done.code.is_none() => {
                        return Ok(guest);
                    }
                    Frame::Done(done) => {
                        return Err(Error::Refused {
                            what: "the link",
                            code: done.code.unwrap_or(ErrorCode::Malformed),
                            detail: done.detail.clone(),
                            retry_after: done.retry_after,
                        });
                    }
                    other => return Err(unexpected(&other)),
                },
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) async fn send(&mut self, data: Vec<u8>) -> Result<()> {
        Ok(self.connection.send(RendezvousSend { data: data.into() }).await?)
    }

    /// What comes next.
    ///
    /// # Errors
    /// [`Error::Connection`] when the connection is lost; [`Error::Refused`] with EXPIRED when the
    /// rendezvous is over.
    pub(super) async fn recv(&mut self) -> Result<Said> {
        let mut asked = false;
        loop {
            let frame = match timeout(KEEPALIVE, self.connection.recv()).await {
                Ok(frame) => frame?,
                Err(_) if asked => return Err(ConnectionError::Timeout.into()),
                Err(_) => {
                    asked = true;
                    let request = self.next();
                    self.connection.send(Ping { request }).await?;
                    continue;
                }
            };
            asked = false;
            match frame {
                Frame::RendezvousPeer(peer) => return Ok(Said::Peer(peer.here)),
                Frame::RendezvousPush(push) => return Ok(Said::Data(push.data.to_vec())),
                Frame::Done(done) if done.request == 0 => return Err(ended(done.code)),
                Frame::Done(_) => {}
                other => return Err(unexpected(&other)),
            }
        }
    }
}

/// The home has ended it: for good, or because it was joined anew.
fn ended(code: Option<ErrorCode>) -> Error {
    match code {
        Some(ErrorCode::Expired) => Error::LinkOver,
        _ => ConnectionError::Closed.into(),
    }
}

fn unexpected(frame: &Frame) -> Error {
    ConnectionError::Protocol(format!("{} at a rendezvous", frame.name())).into()
}
