//! Byte strings on the wire.

use core::fmt;
use core::ops::Deref;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte string of any length; cheap to clone. Debug prints its length, not its content.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct Blob(pub Bytes);

impl Deref for Blob {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<Bytes> for Blob {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        serde_bytes::ByteBuf::deserialize(d).map(|b| Self(b.into_vec().into()))
    }
}

/// Declares a fixed-length secret: no Display, a Debug that hides it, equality in constant time,
/// wiped when dropped.
macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, zeroize::Zeroize, zeroize::ZeroizeOnDrop)]
        pub struct $name(pub [u8; $len]);

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                let differing = self.0.iter().zip(&other.0).fold(0u8, |d, (a, b)| d | (a ^ b));
                core::hint::black_box(differing) == 0
            }
        }
        impl Eq for $name {}

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

    };
}
pub(crate) use secret;

/// Lets a [`secret!`] travel: for those that are handed to somebody. Keys that stay are not
/// Serialize; whoever stores one does so on purpose.
macro_rules! wire_secret {
    ($name:ident, $len:literal) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_bytes(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let bytes = serde_bytes::ByteArray::<$len>::deserialize(d)?;
                Ok(Self(bytes.into_array()))
            }
        }
    };
}
pub(crate) use wire_secret;
