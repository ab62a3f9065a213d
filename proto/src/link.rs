//! Links: what people pass to each other to find a node or a contact. `spec/links.md`.
//!
//! `postroad:KIND#DATA`; DATA is base64url of version (1) ‖ CBOR ‖ checksum (4, the first bytes of
//! BLAKE3 of all before it), so that a cut or mistyped link is noticed.

use core::fmt;
use core::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::ids::{AccountId, Hash, NodeId};
use crate::linking::LinkSecret;
use crate::network::Network;
use crate::token::InviteCode;

const LINK_VERSION: u8 = 1;
/// Longest link taken, bytes.
pub const MAX_LINK: usize = 2048;

/// Why a text is not the link that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Not one of our links.
    #[error("expected a link that begins with \"postroad:{expected}#\", got {got:?}")]
    Kind {
        /// The kind that is wanted.
        expected: &'static str,
        /// The beginning of what was given.
        got: String,
    },
    /// A character is wrong or the end is missing.
    #[error("the link is damaged: was all of it copied?")]
    Damaged,
    /// From a newer version.
    #[error("the link is of version {0}, which this program does not know; update it")]
    Version(u8),
}

/// A node and how to reach it: `postroad:node#…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLink {
    /// The network.
    pub network: Network,
    /// The node.
    pub node: NodeId,
    /// `host:port` of its client port, best first.
    pub addresses: Vec<String>,
    /// Its name, or empty.
    pub name: String,
    /// Multiaddresses of its node-to-node port. Empty in links for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub p2p: Vec<String>,
}

/// An invitation to make an account: `postroad:join#…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinLink {
    /// Where.
    pub node: NodeLink,
    /// The node's invite; none when the node is open to all.
    pub code: Option<InviteCode>,
}

/// A person's contact link: `postroad:contact#…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactLink {
    /// The account.
    pub account: AccountId,
    /// Its home.
    pub home: NodeLink,
    /// Where its mail goes while the home is down.
    pub backups: Vec<NodeId>,
    /// Reserved: where its record is found in the DHT.
    pub lookup_key: Option<Hash>,
    /// Redeemed for a delivery token.
    pub code: InviteCode,
    /// `handle@node`, or empty: a proposal for a name, no proof.
    pub handle: String,
}

/// What a device shows another that is to belong to the same account: `postroad:device#…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLink {
    /// The account's home.
    pub home: NodeLink,
    /// Who has it becomes a device of the account, once.
    pub secret: LinkSecret,
}

/// What one side shows the other to be verified: `postroad:verify#…`. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyLink {
    /// Whoever shows it.
    pub mine: AccountId,
    /// Whom they take the reader for.
    pub yours: AccountId,
}

/// A kind of link.
trait Link: Serialize + DeserializeOwned {
    const KIND: &'static str;
}

macro_rules! link {
    ($name:ident, $kind:literal) => {
        impl Link for $name {
            const KIND: &'static str = $kind;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(self, f)
            }
        }

        impl FromStr for $name {
            type Err = LinkError;
            fn from_str(text: &str) -> Result<Self, LinkError> {
                parse(text)
            }
        }
    };
}

link!(NodeLink, "node");
link!(JoinLink, "join");
link!(ContactLink, "contact");
link!(VerifyLink, "verify");
link!(DeviceLink, "device");

fn write<L: Link>(link: &L, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut data = vec![LINK_VERSION];
    data.extend(codec::encode(link).map_err(|_| fmt::Error)?);
    data.extend_from_slice(&checksum(&data));
    write!(f, "postroad:{}#{}", L::KIND, BASE64URL_NOPAD.encode(&data))
}

fn parse<L: Link>(text: &str) -> Result<L, LinkError> {
    let text = text.trim();
    let wrong_kind = || LinkError::Kind { expected: L::KIND, got: text.chars().take(32).collect() };
    let data = text
        .strip_prefix("postroad:")
        .and_then(|rest| rest.strip_prefix(L::KIND))
        .and_then(|rest| rest.strip_prefix('#'))
        .ok_or_else(wrong_kind)?;
    if text.len() > MAX_LINK {
        return Err(LinkError::Damaged);
    }
    let data = BASE64URL_NOPAD.decode(data.as_bytes()).map_err(|_| LinkError::Damaged)?;
    let (content, check) = data.split_last_chunk::<4>().ok_or(LinkError::Damaged)?;
    if *check != checksum(content) {
        return Err(LinkError::Damaged);
    }
    match content.split_first() {
        Some((&LINK_VERSION, cbor)) => {
            codec::decode(cbor, MAX_LINK).map_err(|_| LinkError::Damaged)
        }
        Some((version, _)) => Err(LinkError::Version(*version)),
        None => Err(LinkError::Damaged),
    }
}

fn checksum(data: &[u8]) -> [u8; 4] {
    let hash = Hash::of(data);
    [hash.0[0], hash.0[1], hash.0[2], hash.0[3]]
}
