//! The Noise channel between two devices that share a secret, over whatever carries their messages.
//!
//! `Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s`: neither has a key that the other knows, and the secret has
//! full entropy. `spec/devices.md`.

use snow::{Builder, HandshakeState, TransportState};

use super::{NoiseError, read, write};
use crate::limits::REKEY_AFTER;

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";

/// The side that begins.
pub struct DirectInitiator {
    state: HandshakeState,
}

impl DirectInitiator {
    /// Starts. Returns the first message.
    ///
    /// # Errors
    /// [`NoiseError::Noise`].
    pub fn start(psk: &[u8; 32], prologue: &[u8]) -> Result<(Self, Vec<u8>), NoiseError> {
        let mut state = builder(psk, prologue)?.build_initiator()?;
        let first = write(&mut state, &[])?;
        Ok((Self { state }, first))
    }

    /// Takes the answer.
    ///
    /// # Errors
    /// [`NoiseError::Noise`] when the other side does not have the secret.
    pub fn finish(mut self, second: &[u8]) -> Result<DirectChannel, NoiseError> {
        read(&mut self.state, second)?;
        DirectChannel::new(self.state)
    }
}

/// An established channel: messages in, messages out, each by itself and in order.
pub struct DirectChannel {
    transport: TransportState,
    sent: u64,
    received: u64,
}

impl DirectChannel {
    /// The side that answers: takes the first message; returns the second.
    ///
    /// # Errors
    /// [`NoiseError::Noise`] when the other side does not have the secret.
    pub fn answer(
        psk: &[u8; 32],
        prologue: &[u8],
        first: &[u8],
    ) -> Result<(Self, Vec<u8>), NoiseError> {
        let mut state = builder(psk, prologue)?.build_responder()?;
        read(&mut state, first)?;
        let second = write(&mut state, &[])?;
        Ok((Self::new(state)?, second))
    }

    fn new(state: HandshakeState) -> Result<Self, NoiseError> {
        Ok(Self { transport: state.into_transport_mode()?, sent: 0, received: 0 })
    }

    /// Encrypts a message of at most [`super::MAX_CHUNK`] bytes.
    ///
    /// # Errors
    /// [`NoiseError::Noise`]; the channel is of no use afterwards.
    pub fn seal(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut message = vec![0; plaintext.len() + 16];
        let length = self.transport.write_message(plaintext, &mut message)?;
        message.truncate(length);
        self.sent += 1;
        if self.sent.is_multiple_of(REKEY_AFTER) {
            self.transport.rekey_outgoing();
        }
        Ok(message)
    }

    /// Decrypts the other side's next message.
    ///
    /// # Errors
    /// [`NoiseError::Noise`]; the channel is of no use afterwards.
    pub fn open(&mut self, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut plaintext = vec![0; message.len()];
        let length = self.transport.read_message(message, &mut plaintext)?;
        plaintext.truncate(length);
        self.received += 1;
        if self.received.is_multiple_of(REKEY_AFTER) {
            self.transport.rekey_incoming();
        }
        Ok(plaintext)
    }
}

fn builder<'a>(psk: &'a [u8; 32], prologue: &'a [u8]) -> Result<Builder<'a>, NoiseError> {
    let params = PATTERN.parse().map_err(|e: snow::Error| NoiseError::Noise(e.to_string()))?;
    Ok(Builder::new(params).psk(0, psk)?.prologue(prologue)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_the_secret_is_understood_and_nothing_comes_twice() {
        let (psk, prologue) = ([7; 32], b"prologue");
        let (initiator, first) = DirectInitiator::start(&psk, prologue).unwrap();
        assert!(DirectChannel::answer(&[8; 32], prologue, &first).is_err());
        assert!(DirectChannel::answer(&psk, b"another", &first).is_err());
        let (mut old, second) = DirectChannel::answer(&psk, prologue, &first).unwrap();
        let mut new = initiator.finish(&second).unwrap();
        for round in 0..3_u8 {
            let (there, back) = (new.seal(&[round; 100]).unwrap(), old.seal(&[round]).unwrap());
            assert_eq!(old.open(&there).unwrap(), [round; 100]);
            assert_eq!(new.open(&back).unwrap(), [round]);
            assert!(old.open(&there).is_err());
        }
    }
}
