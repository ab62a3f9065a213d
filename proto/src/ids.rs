//! Identifiers: what they are made of, and how they are printed.
//!
//! Every id prints as lower-case base32 (RFC 4648 alphabet, no padding) with a check character at
//! the end, so that a mistyped id is noticed before it is used. See `spec/encoding.md`.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hex_debug;

/// The number of a device within its account. Numbers start at 1 and are never reused.
pub type DeviceNumber = u8;

/// Milliseconds since the Unix epoch, UTC.
pub type Millis = u64;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is not base32, or has the wrong length.
    #[error("expected {expected} characters of base32, got {got:?}")]
    Shape {
        /// Characters an id of this kind has.
        expected: usize,
        /// What was given.
        got: String,
    },
    /// The check character at the end does not fit: a character was mistyped or two were swapped.
    #[error("the check character of {0:?} does not fit: a character was mistyped")]
    Check(String),
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// From a slice of exactly [`Self::LEN`] bytes.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_base32(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex_debug(f, stringify!($name), &self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                from_base32(text, $len).map(|bytes| {
                    let mut id = [0; $len];
                    id.copy_from_slice(&bytes);
                    Self(id)
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_bytes(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let bytes = serde_bytes::ByteArray::<$len>::deserialize(d)?;
                Ok(Self(bytes.into_array()))
            }
        }
    };
}

id!(
    /// An account: the Ed25519 public key made on the user's first device.
    AccountId, 32
);
id!(
    /// A node: its Ed25519 public key.
    NodeId, 32
);
id!(
    /// A parcel as hops know it: BLAKE3 over what it carries, see [`crate::envelope`].
    ParcelId, 16
);
id!(
    /// A message as people know it: random, inside the seal, the same on every device.
    MessageId, 16
);
id!(
    /// A conversation: for two people the hash of both accounts, see [`crate::content`].
    ConversationId, 16
);
id!(
    /// BLAKE3-256 of something.
    Hash, 32
);

impl Hash {
    /// BLAKE3-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// `bytes` in lower-case base32 followed by the check character.
pub fn to_base32(bytes: &[u8]) -> String {
    let mut text = data_encoding::BASE32_NOPAD.encode(bytes).to_ascii_lowercase();
    text.push(check_character(text.as_bytes()));
    text
}

/// The `len` bytes that `text` stands for; upper case is accepted.
pub fn from_base32(text: &str, len: usize) -> Result<Vec<u8>, IdError> {
    let expected = (len * 8).div_ceil(5) + 1;
    let shape = || IdError::Shape { expected, got: text.chars().take(80).collect() };
    if text.len() != expected || !text.is_ascii() {
        return Err(shape());
    }
    let lower = text.to_ascii_lowercase();
    let (data, check) = lower.split_at(expected - 1);
    if check.as_bytes() != [check_character(data.as_bytes()) as u8] {
        return Err(IdError::Check(text.to_owned()));
    }
    data_encoding::BASE32_NOPAD.decode(data.to_ascii_uppercase().as_bytes()).map_err(|_| shape())
}

/// Luhn's algorithm over base 32: finds every single wrong character and nearly every swap of
/// neighbours.
fn check_character(text: &[u8]) -> char {
    let mut sum = 0usize;
    for (i, c) in text.iter().rev().enumerate() {
        let value = ALPHABET.iter().position(|a| a == c).unwrap_or(0);
        let weighted = if i % 2 == 0 { value * 2 } else { value };
        sum += weighted / 32 + weighted % 32;
    }
    ALPHABET[(32 - sum % 32) % 32] as char
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_single_mistyped_character_is_noticed() {
        let text = AccountId([0x5a; 32]).to_string();
        assert_eq!(text.parse::<AccountId>(), Ok(AccountId([0x5a; 32])));
        assert_eq!(text.to_uppercase().parse::<AccountId>(), Ok(AccountId([0x5a; 32])));
        for i in 0..text.len() {
            for c in ALPHABET {
                let mut bytes = text.clone().into_bytes();
                if bytes[i] == *c {
                    continue;
                }
                bytes[i] = *c;
                let wrong = String::from_utf8(bytes).unwrap();
                assert!(wrong.parse::<AccountId>().is_err(), "{wrong} passed for {text}");
            }
        }
    }
}
