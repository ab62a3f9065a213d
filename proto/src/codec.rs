//! The wire encoding: CBOR with integer keys. The only file that names serde_cbor.
//!
//! serde_cbor is archived upstream and accepts more than we do, so [`decode`] first walks the bytes
//! and refuses everything `spec/encoding.md` does not allow, without allocating.

use std::cell::RefCell;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits::{MAX_DEPTH, MAX_ELEMENTS};

/// A larger buffer is not kept for the next encoding, bytes.
const MAX_SCRATCH: usize = 8 << 10;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// More bytes than the kind of object may have.
    #[error("expected at most {limit} bytes, got {got}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// What came.
        got: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// An array or map with more than [`MAX_ELEMENTS`] elements.
    #[error("more than {MAX_ELEMENTS} elements")]
    TooMany,
    /// The bytes end within an item.
    #[error("the bytes end within an item")]
    Truncated,
    /// Bytes follow the item.
    #[error("{0} bytes follow the item")]
    Trailing(usize),
    /// Well-formed CBOR in a form that we do not use: indefinite lengths, tags, floats, integers
    /// longer than needed, keys that are not rising integers.
    #[error("not in the canonical form: {0}")]
    NotCanonical(&'static str),
    /// The structure is not the expected one.
    #[error("not the expected structure: {0}")]
    Structure(String),
    /// A value outside its range.
    #[error("{0}")]
    Value(&'static str),
}

/// `value` in its one encoding.
///
/// # Errors
/// Only if a type that has no CBOR form is given, which none in this crate is.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    with_encoded(value, <[u8]>::to_vec)
}

/// Appends `value` in its one encoding. After an error `out` may end in a part of it.
///
/// # Errors
/// As [`encode`].
pub fn encode_into<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let mut serializer = serde_cbor::Serializer::new(out).packed_format();
    value.serialize(&mut serializer).map_err(|e| CodecError::Structure(e.to_string()))
}

/// Lends the encoding of `value` to `read`, for a look at it that allocates nothing.
///
/// # Errors
/// As [`encode`].
pub fn with_encoded<T: Serialize, R>(
    value: &T,
    read: impl FnOnce(&[u8]) -> R,
) -> Result<R, CodecError> {
    thread_local! {
        static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    // Taken, not borrowed: `read` may encode something, too.
    let mut scratch = SCRATCH.take();
    scratch.clear();
    let read = encode_into(value, &mut scratch).map(|()| read(&scratch));
    if scratch.capacity() <= MAX_SCRATCH {
        SCRATCH.set(scratch);
    }
    read
}

/// The `T` in bytes that [`encode`] made and that were kept out of others' reach: their form is not
/// checked again, and `T` may borrow from them.
///
/// # Errors
/// [`CodecError::Structure`]. Never panics.
pub fn decode_own<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    serde_cbor::from_slice(bytes).map_err(|e| CodecError::Structure(e.to_string()))
}

/// The `T` that `bytes` encode, which must be all of them and at most `limit` many.
///
/// # Errors
/// See [`CodecError`]. Never panics, and never allocates more than a small multiple of `limit`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    check(bytes, limit)?;
    decode_own(bytes)
}

/// Whether `bytes` are one item in our canonical form.
fn check(bytes: &[u8], limit: usize) -> Result<(), CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLarge { limit, got: bytes.len() });
    }
    let mut scan = Scan { rest: bytes };
    scan.item(0)?;
    match scan.rest.len() {
        0 => Ok(()),
        n => Err(CodecError::Trailing(n)),
    }
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl Scan<'_> {
    fn take(&mut self, n: usize) -> Result<&[u8], CodecError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(CodecError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// Major type and argument of the next head, in its shortest form.
    fn head(&mut self) -> Result<(u8, u64), CodecError> {
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 0x1f);
        let (argument, least) = match info {
            0..=23 => (u64::from(info), 0),
            24..=27 => {
                let width = 1usize << (info - 24);
                let value =
                    self.take(width)?.iter().fold(0u64, |sum, b| (sum << 8) | u64::from(*b));
                (value, if width == 1 { 24 } else { 1u64 << (width * 4) })
            }
            _ => return Err(CodecError::NotCanonical("indefinite length or reserved head")),
        };
        if argument < least {
            return Err(CodecError::NotCanonical("integer longer than needed"));
        }
        Ok((major, argument))
    }

    fn item(&mut self, depth: usize) -> Result<(), CodecError> {
        if depth > MAX_DEPTH {
            return Err(CodecError::TooDeep);
        }
        let (major, argument) = self.head()?;
        match major {
            0 | 1 => Ok(()),
            2 | 3 => {
                let length = usize::try_from(argument).map_err(|_| CodecError::Truncated)?;
                self.take(length).map(|_| ())
            }
            4 => {
                bounded(argument)?;
                (0..argument).try_for_each(|_| self.item(depth + 1))
            }
            5 => self.map(argument, depth),
            6 => Err(CodecError::NotCanonical("tag")),
            _ if (20..=22).contains(&argument) => Ok(()),
            _ => Err(CodecError::NotCanonical("float or simple value")),
        }
    }

    fn map(&mut self, entries: u64, depth: usize) -> Result<(), CodecError> {
        bounded(entries)?;
        let mut previous = None;
        for _ in 0..entries {
            let (major, key) = self.head()?;
            if major != 0 || previous.is_some_and(|p| key <= p) {
                return Err(CodecError::NotCanonical("map keys are not rising integers"));
            }
            previous = Some(key);
            self.item(depth + 1)?;
        }
        Ok(())
    }
}

fn bounded(elements: u64) -> Result<(), CodecError> {
    if elements > MAX_ELEMENTS as u64 { Err(CodecError::TooMany) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(hex: &str) -> CodecError {
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        check(&bytes, 1 << 20).unwrap_err()
    }

    #[test]
    fn what_serde_cbor_would_take_and_we_do_not() {
        assert!(matches!(error("9f01ff"), CodecError::NotCanonical(_)));
        assert!(matches!(error("1817"), CodecError::NotCanonical(_)));
        assert!(matches!(error("a200010001"), CodecError::NotCanonical(_)));
        assert!(matches!(error("a10161"), CodecError::Truncated));
        assert!(matches!(error("a1616101"), CodecError::NotCanonical(_)));
        assert!(matches!(error("c001"), CodecError::NotCanonical(_)));
        assert!(matches!(error("f93c00"), CodecError::NotCanonical(_)));
        assert!(matches!(error("0000"), CodecError::Trailing(1)));
        assert!(matches!(error("9b00000001000000ff"), CodecError::TooMany));
        assert!(matches!(error("5b7fffffffffffffff"), CodecError::Truncated));
        let deep = "81".repeat(40) + "00";
        assert_eq!(error(&deep), CodecError::TooDeep);
        assert_eq!(check(&[0; 9], 8), Err(CodecError::TooLarge { limit: 8, got: 9 }));
    }
}
