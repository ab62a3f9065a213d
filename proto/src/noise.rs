//! The Noise channel between a client and its node, and in `direct` that between two devices. The only
//! room that names snow.
//!
//! `Noise_XX_25519_ChaChaPoly_BLAKE2s`, prologue = the plain hello. Every handshake and transport
//! message travels behind its length (u16, big-endian). The second message carries the node's
//! signed [`NodeRecord`], which must name the Noise key it came from. `spec/client.md`.

mod direct;

use bytes::{Buf, BytesMut};
use snow::{Builder, HandshakeState, TransportState};

use crate::blob::secret;
use crate::codec::{self, CodecError};
use crate::frame::Frame;
use crate::ids::{Hash, NodeId};
use crate::limits::{MAX_NODE_RECORD, REKEY_AFTER};
use crate::network::Network;
use crate::record::NodeRecord;
use crate::signed::{Signed, SignedError};

pub use direct::{DirectChannel, DirectInitiator};

const PATTERN: &str = "Noise_XX_25519_ChaChaPoly_BLAKE2s";
/// Longest Noise message, bytes.
pub const MAX_MESSAGE: usize = 65_535;
/// Plaintext bytes that one Noise message takes.
pub const MAX_CHUNK: usize = MAX_MESSAGE - 16;
/// Longest handshake message taken, bytes: a NodeRecord and its keys fit.
pub const MAX_HANDSHAKE: usize = MAX_NODE_RECORD + 512;

secret!(
    /// The X25519 secret of a device's or node's Noise key.
    NoiseSecret, 32
);

/// Why a channel does not come up, or ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoiseError {
    /// A message does not decrypt, or comes out of turn. The connection is closed.
    #[error("the Noise handshake or channel failed: {0}")]
    Noise(String),
    /// All-zero or small-order keys, which snow itself would take.
    #[error("the other side's static key is weak")]
    WeakKey,
    /// The node's record does not verify.
    #[error("the node's record: {0}")]
    Record(#[from] SignedError),
    /// The record is fine but names another Noise key than the one spoken to.
    #[error("the node's record names another Noise key")]
    NotItsRecord,
    /// Another node than the one wanted.
    #[error("expected node {expected}, got {got}")]
    WrongNode {
        /// The pinned node.
        expected: NodeId,
        /// Who answered.
        got: NodeId,
    },
    /// The channel carries something that is no frame.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl From<snow::Error> for NoiseError {
    fn from(error: snow::Error) -> Self {
        Self::Noise(error.to_string())
    }
}

/// The public half of a Noise secret.
pub fn public_key(secret: &NoiseSecret) -> Hash {
    let secret = x25519_dalek::StaticSecret::from(secret.0);
    Hash(x25519_dalek::PublicKey::from(&secret).to_bytes())
}

/// The client's side of a handshake.
pub struct Initiator {
    state: HandshakeState,
}

impl Initiator {
    /// Starts; `prologue` is the plain hello that was sent. Returns the first message.
    ///
    /// # Errors
    /// [`NoiseError::Noise`].
    pub fn start(secret: &NoiseSecret, prologue: &[u8]) -> Result<(Self, Vec<u8>), NoiseError> {
        let mut state = builder(secret, prologue)?.build_initiator()?;
        let first = write(&mut state, &[])?;
        Ok((Self { state }, first))
    }

    /// Takes the node's answer and checks who it is, before anything is said that shows who we
    /// are. `expected` is the pinned node; without one, whoever answers is trusted.
    ///
    /// # Errors
    /// See [`NoiseError`].
    pub fn finish(
        mut self,
        second: &[u8],
        network: &Network,
        expected: Option<&NodeId>,
    ) -> Result<(Channel, NodeRecord, Vec<u8>), NoiseError> {
        let payload = read(&mut self.state, second)?;
        let noise = remote_static(&self.state)?;
        let signed: Signed<NodeRecord> = codec::decode(&payload, MAX_NODE_RECORD + 80)?;
        let record = signed.open(network)?;
        if record.noise != noise {
            return Err(NoiseError::NotItsRecord);
        }
        if let Some(expected) = expected.filter(|e| **e != record.node) {
            return Err(NoiseError::WrongNode { expected: *expected, got: record.node });
        }
        let third = write(&mut self.state, &[])?;
        Ok((Channel::new(self.state.into_transport_mode()?), record, third))
    }
}

/// The node's side of a handshake.
pub struct Responder {
    state: HandshakeState,
}

impl Responder {
    /// Takes the first message; returns the second, which carries `record` (an encoded
    /// `Signed<NodeRecord>`).
    ///
    /// # Errors
    /// [`NoiseError::Noise`].
    pub fn start(
        secret: &NoiseSecret,
        prologue: &[u8],
        first: &[u8],
        record: &[u8],
    ) -> Result<(Self, Vec<u8>), NoiseError> {
        let mut state = builder(secret, prologue)?.build_responder()?;
        read(&mut state, first)?;
        let second = write(&mut state, record)?;
        Ok((Self { state }, second))
    }

    /// Takes the third message; returns the client's static key, by which its device is known.
    ///
    /// # Errors
    /// See [`NoiseError`].
    pub fn finish(mut self, third: &[u8]) -> Result<(Channel, Hash), NoiseError> {
        read(&mut self.state, third)?;
        let key = remote_static(&self.state)?;
        Ok((Channel::new(self.state.into_transport_mode()?), key))
    }
}

fn builder<'a>(secret: &'a NoiseSecret, prologue: &'a [u8]) -> Result<Builder<'a>, NoiseError> {
    let params = PATTERN.parse().map_err(|e: snow::Error| NoiseError::Noise(e.to_string()))?;
    Ok(Builder::new(params).local_private_key(&secret.0)?.prologue(prologue)?)
}

fn write(state: &mut HandshakeState, payload: &[u8]) -> Result<Vec<u8>, NoiseError> {
    let mut message = vec![0; payload.len() + 256];
    let length = state.write_message(payload, &mut message)?;
    message.truncate(length);
    Ok(message)
}

fn read(state: &mut HandshakeState, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
    let mut payload = vec![0; message.len()];
    let length = state.read_message(message, &mut payload)?;
    payload.truncate(length);
    Ok(payload)
}

fn remote_static(state: &HandshakeState) -> Result<Hash, NoiseError> {
    let key = state.get_remote_static().and_then(Hash::from_slice).ok_or(NoiseError::WeakKey)?;
    // Any clamped scalar sends a small-order point to zero.
    let probe = x25519_dalek::StaticSecret::from([1; 32]);
    let shared = probe.diffie_hellman(&x25519_dalek::PublicKey::from(key.0));
    if shared.was_contributory() { Ok(key) } else { Err(NoiseError::WeakKey) }
}

/// An established channel: frames in, bytes out, and back. Holds no buffer while it is idle.
pub struct Channel {
    transport: TransportState,
    sent: u64,
    received: u64,
    ciphertext: BytesMut,
    plaintext: BytesMut,
}

impl Channel {
    fn new(transport: TransportState) -> Self {
        Self {
            transport,
            sent: 0,
            received: 0,
            ciphertext: BytesMut::new(),
            plaintext: BytesMut::new(),
        }
    }

    /// Encrypts encoded frames (see [`Frame::encode_into`]) and appends what goes onto the wire.
    ///
    /// # Errors
    /// [`NoiseError::Noise`]; the channel is of no use afterwards.
    pub fn seal(&mut self, frames: &[u8], wire: &mut Vec<u8>) -> Result<(), NoiseError> {
        for chunk in frames.chunks(MAX_CHUNK) {
            let start = wire.len();
            wire.resize(start + 2 + chunk.len() + 16, 0);
            let length = self.transport.write_message(chunk, &mut wire[start + 2..])?;
            wire[start..start + 2].copy_from_slice(&(length as u16).to_be_bytes());
            self.sent += 1;
            if self.sent.is_multiple_of(REKEY_AFTER) {
                self.transport.rekey_outgoing();
            }
        }
        Ok(())
    }

    /// Takes bytes from the wire.
    ///
    /// # Errors
    /// [`NoiseError::Noise`] when they do not decrypt; the connection is closed.
    pub fn receive(&mut self, wire: &[u8]) -> Result<(), NoiseError> {
        self.ciphertext.extend_from_slice(wire);
        while let Some(message) = take_message(&mut self.ciphertext) {
            let start = self.plaintext.len();
            self.plaintext.resize(start + message.len(), 0);
            let length = self.transport.read_message(&message, &mut self.plaintext[start..])?;
            self.plaintext.truncate(start + length);
            self.received += 1;
            if self.received.is_multiple_of(REKEY_AFTER) {
                self.transport.rekey_incoming();
            }
        }
        if self.ciphertext.is_empty() {
            self.ciphertext = BytesMut::new();
        }
        Ok(())
    }

    /// The next whole frame that has been received; kinds that are not known are passed over.
    ///
    /// # Errors
    /// [`NoiseError::Codec`] when it is malformed or too large; the connection is closed.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, NoiseError> {
        if let Some(frame) = Frame::take_from(&mut self.plaintext)? {
            return Ok(Some(frame));
        }
        if self.plaintext.is_empty() {
            self.plaintext = BytesMut::new();
        }
        Ok(None)
    }
}

/// Takes the next length-prefixed message off the front, when all of it is there.
fn take_message(buffer: &mut BytesMut) -> Option<BytesMut> {
    let length = usize::from(u16::from_be_bytes(*buffer.first_chunk::<2>()?));
    if buffer.len() < 2 + length {
        return None;
    }
    buffer.advance(2);
    Some(buffer.split_to(length))
}
