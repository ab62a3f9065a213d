//! Frames: what clients and nodes say to each other, and nodes to nodes.
//!
//! On a channel a frame is its length (u32, big-endian, kind included), its kind (u8) and its
//! body (CBOR). Between client and node frames follow one another in the byte stream inside the
//! Noise messages and may span or share them; between nodes they follow one another on a stream of
//! their own. `spec/client.md` and `spec/node.md` are the normative texts.

mod client;
mod node;
mod peer;

use bytes::{Buf, Bytes, BytesMut};

use crate::codec::{self, CodecError};
use crate::limits::MAX_FRAME;

pub use client::*;
pub use node::*;
pub use peer::*;

/// Structures that are bodies of frames: each says the number of its kind.
macro_rules! frames {
    ($($(#[$doc:meta])* $name:ident = $number:literal { $($(#[$fdoc:meta])* $field:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* }

        impl $name {
            /// The number of this kind of frame.
            pub const KIND: u8 = $number;
        }

        impl From<$name> for $crate::frame::Frame {
            fn from(frame: $name) -> Self {
                Self::$name(Box::new(frame))
            }
        }
    )*};
}
use frames;

macro_rules! frame {
    ($($name:ident,)*) => {
        /// Any frame.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Frame { $(
            #[doc = concat!("See [`", stringify!($name), "`].")]
            $name(Box<$name>),
        )* }

        impl Frame {
            /// Name and number of every kind.
            pub const KINDS: &'static [(&'static str, u8)] =
                &[$((stringify!($name), $name::KIND)),*];

            /// The number of its kind.
            pub fn kind(&self) -> u8 {
                match self { $(Self::$name(_) => $name::KIND,)* }
            }

            /// Its kind's name.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name),)* }
            }

            fn encode_body(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
                match self { $(Self::$name(frame) => codec::encode_into(frame.as_ref(), out),)* }
            }

            fn from_body(kind: u8, body: &[u8]) -> Result<Option<Self>, CodecError> {
                Ok(Some(match kind {
                    $($name::KIND => Self::$name(Box::new(codec::decode(body, MAX_FRAME)?)),)*
                    _ => return Ok(None),
                }))
            }
        }
    };
}

frame! {
    Hello, Register, RecordsGet, RecordsPut, PrekeysPut, PrekeysClaim, TokensPut, TokensDrop,
    TokensList, TokensRedeem, InvitesPut, InvitesDrop, RequestsSettle, Send, Ack, Credit, Ping,
    SettingsPut, Locate, EphemeralSend, RendezvousOpen, RendezvousJoin, RendezvousSend,
    VaultPut, VaultGet, AccountDelete,
    MailOpen, MailOpened, Batch, BatchReply, Late, NodesDigest, NodesList, NodesGet,
    Welcome, Done, Accepted, Refused, Push, Notice, Waiting, EphemeralPush, RendezvousPush,
    RendezvousPeer,
}

impl Frame {
    /// Appends the frame, length and kind in front.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] above [`MAX_FRAME`]; `out` is then as it was.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.push(self.kind());
        let length = self.encode_body(out).and_then(|()| match out.len() - start - 4 {
            got if got > MAX_FRAME => Err(CodecError::TooLarge { limit: MAX_FRAME, got }),
            length => Ok(length as u32),
        });
        match length {
            Ok(length) => out[start..start + 4].copy_from_slice(&length.to_be_bytes()),
            Err(_) => out.truncate(start),
        }
        length.map(|_| ())
    }

    /// The frame in `bytes`: kind and body, without the length. `None` for a kind that this
    /// version does not know, which is passed over.
    ///
    /// # Errors
    /// When the body is not what its kind says.
    pub fn decode(bytes: &Bytes) -> Result<Option<Self>, CodecError> {
        let (kind, body) = bytes.split_first().ok_or(CodecError::Truncated)?;
        Self::from_body(*kind, body)
    }

    /// Takes the next whole frame off the front of a byte stream; `None` until all of one is there.
    /// Kinds that are not known are passed over.
    ///
    /// # Errors
    /// When it is malformed or longer than [`MAX_FRAME`]: nothing after it can be read.
    pub fn take_from(stream: &mut BytesMut) -> Result<Option<Self>, CodecError> {
        while let Some(head) = stream.first_chunk::<4>() {
            let length = u32::from_be_bytes(*head) as usize;
            if length > MAX_FRAME {
                return Err(CodecError::TooLarge { limit: MAX_FRAME, got: length });
            }
            if stream.len() < 4 + length {
                return Ok(None);
            }
            stream.advance(4);
            let bytes = stream.split_to(length).freeze();
            if let Some(frame) = Self::decode(&bytes)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }
}
