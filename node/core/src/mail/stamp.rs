//! Stamps: how a node finds the sender of mail without keeping a map of who wrote to whom.
//!
//! A stamp is {account number, device, commit, index} encrypted under a secret of the origin node.
//! The nonce is derived from the plaintext, which never repeats, so no randomness is needed.

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use postroad_proto::ids::DeviceNumber;

const PLAIN: usize = 25;

/// Who sent something, as the node's own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) account: u64,
    pub(crate) device: DeviceNumber,
    pub(crate) commit: u64,
    pub(crate) index: u64,
}

impl Stamp {
    pub(crate) fn seal(&self, secret: &[u8; 32]) -> Vec<u8> {
        let mut plain = [0; PLAIN];
        plain[..8].copy_from_slice(&self.account.to_be_bytes());
        plain[8] = self.device;
        plain[9..17].copy_from_slice(&self.commit.to_be_bytes());
        plain[17..].copy_from_slice(&self.index.to_be_bytes());
        let nonce = nonce(secret, &plain);
        match cipher(secret).encrypt(&Nonce::from(nonce), plain.as_slice()) {
            Ok(sealed) => [nonce.as_slice(), &sealed].concat(),
            Err(_) => Vec::new(),
        }
    }

    pub(crate) fn open(sealed: &[u8], secret: &[u8; 32]) -> Option<Self> {
        let (nonce, sealed) = sealed.split_first_chunk::<12>()?;
        let plain = cipher(secret).decrypt(&Nonce::from(*nonce), sealed).ok()?;
        let number = |at: usize| Some(u64::from_be_bytes(*plain.get(at..)?.first_chunk()?));
        Some(Self {
            account: number(0)?,
            device: *plain.get(8)?,
            commit: number(9)?,
            index: number(17)?,
        })
    }
}

fn cipher(secret: &[u8; 32]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(&Key::from(*blake3::keyed_hash(secret, b"stamp key").as_bytes()))
}

fn nonce(secret: &[u8; 32], plain: &[u8]) -> [u8; 12] {
    let hash = blake3::keyed_hash(secret, &[b"stamp nonce".as_slice(), plain].concat());
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&hash.as_bytes()[..12]);
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_opens_under_its_secret_only() {
        let stamp = Stamp { account: 7, device: 2, commit: 9, index: 1 };
        let sealed = stamp.seal(&[1; 32]);
        assert!(sealed.len() <= 64);
        assert_eq!(Stamp::open(&sealed, &[1; 32]), Some(stamp));
        assert_eq!(Stamp::open(&sealed, &[2; 32]), None);
        assert_eq!(Stamp::open(&sealed[..20], &[1; 32]), None);
    }
}
