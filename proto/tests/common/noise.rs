//! Noise_XX_25519_ChaChaPoly_BLAKE2s, written from the Noise framework's text and `spec/client.md`
//! alone. It shows that the documents suffice, takes fixed ephemeral keys for the vectors, and
//! plays the hostile side.

use blake2::{Blake2s256, Digest};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use x25519_dalek::{PublicKey, StaticSecret};

const NAME: &[u8; 33] = b"Noise_XX_25519_ChaChaPoly_BLAKE2s";

#[derive(Clone, Copy)]
enum Token {
    E,
    S,
    Ee,
    Es,
    Se,
}

const MESSAGES: [&[Token]; 3] =
    [&[Token::E], &[Token::E, Token::Ee, Token::S, Token::Es], &[Token::S, Token::Se]];

/// One direction's key and nonce.
#[derive(Clone)]
pub(crate) struct Cipher {
    pub(crate) key: [u8; 32],
    pub(crate) nonce: u64,
}

impl Cipher {
    fn new(key: [u8; 32]) -> Self {
        Self { key, nonce: 0 }
    }

    fn aead(&self, nonce: u64) -> (ChaCha20Poly1305, Nonce) {
        let mut bytes = [0; 12];
        bytes[4..].copy_from_slice(&nonce.to_le_bytes());
        (ChaCha20Poly1305::new(&Key::from(self.key)), Nonce::from(bytes))
    }

    pub(crate) fn encrypt(&mut self, aad: &[u8], msg: &[u8]) -> Vec<u8> {
        let (aead, nonce) = self.aead(self.nonce);
        self.nonce += 1;
        aead.encrypt(&nonce, Payload { msg, aad }).expect("encrypts")
    }

    pub(crate) fn decrypt(&mut self, aad: &[u8], msg: &[u8]) -> Option<Vec<u8>> {
        let (aead, nonce) = self.aead(self.nonce);
        self.nonce += 1;
        aead.decrypt(&nonce, Payload { msg, aad }).ok()
    }

    /// A transport message with its length in front.
    pub(crate) fn seal(&mut self, msg: &[u8]) -> Vec<u8> {
        let sealed = self.encrypt(&[], msg);
        [(sealed.len() as u16).to_be_bytes().as_slice(), &sealed].concat()
    }

    pub(crate) fn rekey(&mut self) {
        let (aead, nonce) = self.aead(u64::MAX);
        let sealed = aead.encrypt(&nonce, [0u8; 32].as_slice()).expect("encrypts");
        self.key.copy_from_slice(&sealed[..32]);
    }
}

/// One side of a handshake.
pub(crate) struct Handshake {
    initiator: bool,
    secret: [u8; 32],
    /// Shown in the place of the true static key: to claim a weak one.
    claimed: Option<[u8; 32]>,
    ephemeral: [u8; 32],
    remote_static: Option<[u8; 32]>,
    remote_ephemeral: Option<[u8; 32]>,
    chaining: [u8; 32],
    pub(crate) hash: [u8; 32],
    cipher: Option<Cipher>,
}

impl Handshake {
    pub(crate) fn new(
        initiator: bool,
        secret: [u8; 32],
        ephemeral: [u8; 32],
        prologue: &[u8],
    ) -> Self {
        let chaining = blake2s(&[NAME]);
        Self {
            initiator,
            secret,
            claimed: None,
            ephemeral,
            remote_static: None,
            remote_ephemeral: None,
            chaining,
            hash: blake2s(&[&chaining, prologue]),
            cipher: None,
        }
    }

    /// Claims `key` as its static key. Works only for keys whose every product is zero.
    pub(crate) fn claiming(mut self, key: [u8; 32]) -> Self {
        self.claimed = Some(key);
        self
    }

    pub(crate) fn write(&mut self, message: usize, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for token in MESSAGES[message] {
            match token {
                Token::E => {
                    let public = public(&self.ephemeral);
                    self.mix_hash(&public);
                    out.extend_from_slice(&public);
                }
                Token::S => {
                    let key = self.claimed.unwrap_or_else(|| public(&self.secret));
                    out.extend(self.encrypt_and_hash(&key));
                }
                dh => self.mix_dh(*dh),
            }
        }
        out.extend(self.encrypt_and_hash(payload));
        out
    }

    pub(crate) fn read(&mut self, message: usize, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut rest = bytes;
        for token in MESSAGES[message] {
            match token {
                Token::E => {
                    let (key, tail) = rest.split_at_checked(32)?;
                    rest = tail;
                    self.remote_ephemeral = key.try_into().ok();
                    self.mix_hash(key);
                }
                Token::S => {
                    let (sealed, tail) = rest.split_at_checked(48)?;
                    rest = tail;
                    let key = self.decrypt_and_hash(sealed)?;
                    self.remote_static = key.as_slice().try_into().ok();
                }
                dh => self.mix_dh(*dh),
            }
        }
        self.decrypt_and_hash(rest)
    }

    /// The keys of the transport: (initiator to responder, responder to initiator).
    pub(crate) fn split(&self) -> (Cipher, Cipher) {
        let (one, two) = hkdf(&self.chaining, &[]);
        (Cipher::new(one), Cipher::new(two))
    }

    fn mix_dh(&mut self, token: Token) {
        let use_static = matches!((token, self.initiator), (Token::Es, false) | (Token::Se, true));
        let other = match (token, self.initiator) {
            (Token::Es, true) | (Token::Se, false) => self.remote_static,
            _ => self.remote_ephemeral,
        };
        let secret = if use_static { self.secret } else { self.ephemeral };
        let shared = if use_static && self.claimed.is_some() {
            [0; 32]
        } else {
            let other = PublicKey::from(other.expect("the pattern gives it first"));
            StaticSecret::from(secret).diffie_hellman(&other).to_bytes()
        };
        let (chaining, key) = hkdf(&self.chaining, &shared);
        self.chaining = chaining;
        self.cipher = Some(Cipher::new(key));
    }

    fn mix_hash(&mut self, data: &[u8]) {
        self.hash = blake2s(&[&self.hash, data]);
    }

    fn encrypt_and_hash(&mut self, plain: &[u8]) -> Vec<u8> {
        let hash = self.hash;
        let sealed = match &mut self.cipher {
            Some(cipher) => cipher.encrypt(&hash, plain),
            None => plain.to_vec(),
        };
        self.mix_hash(&sealed);
        sealed
    }

    fn decrypt_and_hash(&mut self, sealed: &[u8]) -> Option<Vec<u8>> {
        let hash = self.hash;
        let plain = match &mut self.cipher {
            Some(cipher) => cipher.decrypt(&hash, sealed)?,
            None => sealed.to_vec(),
        };
        self.mix_hash(sealed);
        Some(plain)
    }
}

pub(crate) fn public(secret: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

fn blake2s(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Blake2s256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
        block
    };
    let inner = blake2s(&[[&pad(0x36)[..]].as_slice(), parts].concat());
    blake2s(&[&pad(0x5c), &inner])
}

fn hkdf(chaining: &[u8; 32], input: &[u8]) -> ([u8; 32], [u8; 32]) {
    let temporary = hmac(chaining, &[input]);
    let first = hmac(&temporary, &[&[1]]);
    let second = hmac(&temporary, &[&first, &[2]]);
    (first, second)
}
