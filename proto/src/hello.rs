//! The plain hello: the first bytes of a client's connection, and the prologue of its handshake.
//!
//! Layout: 0x9e "PR" version (1) network tag (16). A node that cannot go on answers 0x9e "PR" 0 and
//! an error number (u16, big-endian): a hint for people, since nobody signed it.

use crate::error::ErrorCode;
use crate::network::Network;

/// The first byte differs from those of libp2p's multistream (0x13), TLS (0x16) and any HTTP method.
pub const MAGIC: [u8; 3] = [0x9e, b'P', b'R'];
/// Version of hello and handshake. Versions of frames are negotiated inside.
pub const HANDSHAKE_VERSION: u8 = 1;
/// Length of the plain hello, bytes.
pub const HELLO_LEN: usize = 20;
/// Length of a plain refusal, bytes.
pub const REFUSAL_LEN: usize = 6;

/// The hello of a client that wants to talk to a node of `network`.
pub fn hello(network: &Network) -> [u8; HELLO_LEN] {
    let mut bytes = [0; HELLO_LEN];
    bytes[..3].copy_from_slice(&MAGIC);
    bytes[3] = HANDSHAKE_VERSION;
    bytes[4..].copy_from_slice(&network.tag());
    bytes
}

/// Checks a hello that came to a node of `network`.
///
/// # Errors
/// MALFORMED when it is no hello at all (the connection is just closed), VERSION, NETWORK.
pub fn check(bytes: &[u8; HELLO_LEN], network: &Network) -> Result<(), ErrorCode> {
    if bytes[..3] != MAGIC {
        return Err(ErrorCode::Malformed);
    }
    if bytes[3] != HANDSHAKE_VERSION {
        return Err(ErrorCode::Version);
    }
    if bytes[4..] != network.tag() {
        return Err(ErrorCode::Network);
    }
    Ok(())
}

/// A node's plain refusal.
pub fn refusal(code: ErrorCode) -> [u8; REFUSAL_LEN] {
    let number = (code.number() as u16).to_be_bytes();
    [MAGIC[0], MAGIC[1], MAGIC[2], 0, number[0], number[1]]
}

/// The code in a plain refusal, if `bytes` are one.
pub fn parse_refusal(bytes: &[u8; REFUSAL_LEN]) -> Option<ErrorCode> {
    (bytes[..3] == MAGIC && bytes[3] == 0)
        .then(|| ErrorCode::from_number(u64::from(u16::from_be_bytes([bytes[4], bytes[5]]))))
}
