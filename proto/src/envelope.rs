//! The envelope: all that nodes see of a message. It has no sender field. `spec/envelope.md`.

use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt as _, hash_derive_key_context};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::blob::Blob;
use crate::codec::CodecError;
use crate::ids::{AccountId, DeviceNumber, Hash, NodeId, ParcelId};
use crate::limits::{
    MAX_BACKUPS, MAX_BODY, MAX_DEVICES, MAX_HEADER, MAX_PAIR_PARCELS, MAX_REQUEST_BODY, MAX_ROUTES,
    MAX_STAMP,
};
use crate::network::Network;
use crate::record::CRITICAL_FLAGS;
use crate::token::{DeliveryToken, Label, RequestTag};

/// The envelope version that this crate reads and writes.
pub const ENVELOPE_VERSION: u64 = 1;

/// Of BLAKE3's key derivation mode, made once: each hop hashes each parcel.
static PARCEL_CONTEXT: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("postroad v1 parcel id"));

/// What a node does with an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Kept until acked or past its deadline.
    Message,
    /// Reserved: forwarded or dropped, never stored.
    Ephemeral,
    /// A stranger's one message, without a token.
    Request,
}

impl Class {
    /// The number on the wire.
    pub fn number(self) -> u64 {
        match self {
            Self::Message => 1,
            Self::Ephemeral => 2,
            Self::Request => 3,
        }
    }

    /// The class with `number`.
    pub fn from_number(number: u64) -> Option<Self> {
        [Self::Message, Self::Ephemeral, Self::Request].into_iter().find(|c| c.number() == number)
    }
}

/// Mode numbers: how the body's key reaches the recipients.
pub mod mode {
    /// Sealed headers, one per device.
    pub const PAIR: u64 = 1;
    /// Reserved: a group key; no headers.
    pub const KEYED: u64 = 2;
}

/// A message on its way, as one node hands it to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// [`ENVELOPE_VERSION`].
    pub version: u64,
    /// See [`CRITICAL_FLAGS`].
    pub flags: u64,
    /// A [`Class`] number.
    pub class: u64,
    /// A [`mode`] number.
    pub mode: u64,
    /// When nodes may give up, seconds since the Unix epoch.
    pub deadline: u64,
    /// BLAKE3 of `body`.
    pub body_hash: Hash,
    /// The sealed body, at most [`MAX_BODY`] bytes.
    pub body: Blob,
    /// Filled in by the origin node, opaque to all others; at most [`MAX_STAMP`] bytes.
    pub stamp: Blob,
    /// One per destination node. Another node receives only its own.
    pub routes: Vec<Route>,
}

/// The parcels for one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The recipients' home, as their records say.
    pub home: NodeId,
    /// Where to when the home does not answer, in order.
    pub backups: Vec<NodeId>,
    /// What goes there.
    pub parcels: Vec<Parcel>,
}

/// One recipient account's part of an envelope. A message carries either `token` or `label`; a
/// request neither, and on its way between nodes the `tag` that its origin node filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parcel {
    /// The recipient.
    pub account: AccountId,
    /// A delivery token of the recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<DeliveryToken>,
    /// For [`Class::Request`]: see [`crate::token::request_tag`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<ByteArray<16>>,
    /// For one's own other devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<ByteArray<8>>,
    /// One per device of the recipient; none in keyed mode.
    pub headers: Vec<Header>,
}

/// What one device needs to open the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The device.
    pub device: DeviceNumber,
    /// HPKE encapsulated key (32 bytes) and ciphertext; see [`crate::pair`].
    pub sealed: Blob,
}

/// What an envelope's seals are bound to beside its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// [`Envelope::version`].
    pub version: u64,
    /// [`Envelope::flags`].
    pub flags: u64,
    /// [`Envelope::class`].
    pub class: u64,
    /// [`Envelope::mode`].
    pub mode: u64,
    /// [`Envelope::deadline`].
    pub deadline: u64,
}

/// Why an envelope is refused before anybody looks at its recipients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Another version, or an unknown critical flag.
    #[error("unknown envelope version or critical flag")]
    Version,
    /// A class or mode that is unknown or not in use yet.
    #[error("{0} envelopes are not in use")]
    Kind(&'static str),
    /// Larger than a limit.
    #[error("expected at most {limit} {what}, got {got}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// What came.
        got: usize,
    },
    /// `body_hash` is not the body's.
    #[error("the body does not fit its hash")]
    BodyHash,
    /// Something else is off.
    #[error("{0}")]
    Malformed(&'static str),
}

impl Envelope {
    /// What the seals are bound to.
    pub fn attributes(&self) -> Attributes {
        Attributes {
            version: self.version,
            flags: self.flags,
            class: self.class,
            mode: self.mode,
            deadline: self.deadline,
        }
    }

    /// The class, if it is known.
    pub fn class(&self) -> Option<Class> {
        Class::from_number(self.class)
    }

    /// What it costs of the credit between nodes, bytes: body and headers, and 256 for the rest.
    pub fn cost(&self) -> u64 {
        let headers = self.routes.iter().flat_map(|r| &r.parcels).flat_map(|p| &p.headers);
        (self.body.len() + headers.map(|h| h.sealed.len()).sum::<usize>() + 256) as u64
    }

    /// Checks all that can be checked without knowing anybody.
    ///
    /// # Errors
    /// See [`EnvelopeError`].
    pub fn validate(&self) -> Result<(), EnvelopeError> {
        if self.version != ENVELOPE_VERSION || self.flags & CRITICAL_FLAGS != 0 {
            return Err(EnvelopeError::Version);
        }
        let body_limit = match self.class() {
            Some(Class::Message) => MAX_BODY,
            Some(Class::Request) => MAX_REQUEST_BODY,
            Some(Class::Ephemeral) => return Err(EnvelopeError::Kind("ephemeral")),
            None => return Err(EnvelopeError::Kind("unknown class of")),
        };
        if self.mode != mode::PAIR {
            return Err(EnvelopeError::Kind("keyed"));
        }
        at_most("bytes of sealed body", body_limit, self.body.len())?;
        at_most("bytes of stamp", MAX_STAMP, self.stamp.len())?;
        at_most("routes", MAX_ROUTES, self.routes.len())?;
        let parcels: Vec<&Parcel> = self.routes.iter().flat_map(|r| &r.parcels).collect();
        at_most("parcels in a pair envelope", MAX_PAIR_PARCELS, parcels.len())?;
        if parcels.is_empty() || self.routes.iter().any(|r| r.parcels.is_empty()) {
            return Err(EnvelopeError::Malformed("a route without parcels"));
        }
        for route in &self.routes {
            at_most("backups", MAX_BACKUPS, route.backups.len())?;
        }
        let request = self.class() == Some(Class::Request);
        for (index, parcel) in parcels.iter().enumerate() {
            parcel.validate(request)?;
            if parcels[..index].iter().any(|earlier| earlier.account == parcel.account) {
                return Err(EnvelopeError::Malformed("two parcels for one account"));
            }
        }
        if Hash::of(&self.body) != self.body_hash {
            return Err(EnvelopeError::BodyHash);
        }
        Ok(())
    }

    /// The id by which hops know `parcel`: the first 16 bytes of BLAKE3 over what it carries. It
    /// covers neither token nor tag nor stamp, which change on the way or between tries.
    pub fn parcel_id(&self, parcel: &Parcel, network: &Network) -> ParcelId {
        let mut hasher = blake3::Hasher::new_from_context_key(&PARCEL_CONTEXT);
        hasher.update(&network.id());
        for number in [self.version, self.flags, self.mode, self.class, self.deadline] {
            hasher.update(&number.to_be_bytes());
        }
        hasher.update(&self.body_hash.0);
        hasher.update(&parcel.account.0);
        for header in &parcel.headers {
            hasher.update(&[header.device]);
            hasher.update(&(header.sealed.len() as u32).to_be_bytes());
            hasher.update(&header.sealed);
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        ParcelId(id)
    }
}

impl Parcel {
    fn validate(&self, request: bool) -> Result<(), EnvelopeError> {
        let rights = usize::from(self.token.is_some()) + usize::from(self.label.is_some());
        if rights != usize::from(!request) || (self.tag.is_some() && !request) {
            return Err(EnvelopeError::Malformed(
                "expected one of token and label, or for a request at most a tag",
            ));
        }
        at_most("headers in a parcel", MAX_DEVICES, self.headers.len())?;
        if self.headers.is_empty() {
            return Err(EnvelopeError::Malformed("a parcel without headers"));
        }
        if !self.headers.windows(2).all(|pair| pair[0].device < pair[1].device) {
            return Err(EnvelopeError::Malformed("headers are not in the order of devices"));
        }
        if self.headers[0].device == 0 {
            return Err(EnvelopeError::Malformed("device numbers rise from 1"));
        }
        for header in &self.headers {
            at_most("bytes of header", MAX_HEADER, header.sealed.len())?;
        }
        Ok(())
    }

    /// The request tag, if there is one.
    pub fn request_tag(&self) -> Option<RequestTag> {
        self.tag.map(ByteArray::into_array)
    }

    /// The own-devices label, if there is one.
    pub fn own_label(&self) -> Option<Label> {
        self.label.map(ByteArray::into_array)
    }
}

impl From<EnvelopeError> for CodecError {
    fn from(error: EnvelopeError) -> Self {
        Self::Structure(error.to_string())
    }
}

fn at_most(what: &'static str, limit: usize, got: usize) -> Result<(), EnvelopeError> {
    if got > limit { Err(EnvelopeError::TooLarge { what, limit, got }) } else { Ok(()) }
}
