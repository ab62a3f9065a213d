//! Why a node cannot be reached, in words for people.

use std::error::Error;
use std::io;

use libp2p::swarm::{ConnectionError, DialError};
use libp2p::{Multiaddr, TransportError, dns};

use super::addresses::{node_id, readable};

/// Addresses named in one reason.
const NAMED: usize = 3;

/// Why a dial came to nothing.
pub(super) fn of_dial(error: &DialError) -> String {
    match error {
        DialError::NoAddresses => "no address of it is known".into(),
        DialError::LocalPeerId { address } => {
            format!("{} is this node itself", readable(address))
        }
        DialError::WrongPeerId { obtained, address } => {
            let who = node_id(obtained).map_or_else(|| obtained.to_string(), |n| n.to_string());
            format!("at {} another node answers: {who}", readable(address))
        }
        DialError::Transport(errors) => {
            let mut reasons: Vec<String> = Vec::new();
            for (address, error) in errors {
                let reason = of_transport(address, error);
                if !reasons.contains(&reason) {
                    reasons.push(reason);
                }
            }
            let more = reasons.len().saturating_sub(NAMED);
            reasons.truncate(NAMED);
            let text = reasons.join("; ");
            if more > 0 { format!("{text}; and {more} more") } else { text }
        }
        DialError::Aborted | DialError::Denied { .. } | DialError::DialPeerConditionFalse(_) => {
            "the attempt was ended".into()
        }
    }
}

fn of_transport(address: &Multiaddr, error: &TransportError<io::Error>) -> String {
    let place = readable(address);
    let error = match error {
        TransportError::MultiaddrNotSupported(_) => {
            return format!("{place} is no address that this node can dial");
        }
        TransportError::Other(error) => error,
    };
    match find_kind(error) {
        Some(Cause::Name) => format!("the name in {place} does not resolve"),
        Some(Cause::Io(kind)) => match kind {
            io::ErrorKind::ConnectionRefused => format!("connection refused by {place}"),
            io::ErrorKind::TimedOut => format!("no answer from {place}"),
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable => format!("no way to {place}"),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => format!("{place} hung up"),
            kind => format!("{place}: {kind}"),
        },
        None if error.to_string().contains("Timeout") => format!("no answer from {place}"),
        None if was_cut_off(error) => format!("{place} hung up"),
        None => format!("{place} does not answer as a node does"),
    }
}

/// Why a connection ended that this node did not end on purpose.
pub(super) fn of_close(cause: Option<&ConnectionError>) -> String {
    match cause {
        None => "the connection was closed".into(),
        Some(ConnectionError::KeepAliveTimeout) => "nothing was left to say".into(),
        Some(ConnectionError::IO(error)) => of_io(error),
    }
}

/// Why a stream or connection broke.
pub(super) fn of_io(error: &io::Error) -> String {
    match find_kind(error) {
        Some(Cause::Io(kind)) => match kind {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero => {
                "the other side hung up".into()
            }
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::BrokenPipe => "the connection broke".into(),
            io::ErrorKind::TimedOut => "the other side does not answer".into(),
            _ => error.to_string(),
        },
        // yamux says so when the other side has said good-bye.
        None if error.to_string().contains("closed") => "the other side hung up".into(),
        _ => error.to_string(),
    }
}

/// Whether the connection broke while it was being set up. Not all layers name the error below
/// theirs as their source; what they print for programmers has it.
fn was_cut_off(error: &io::Error) -> bool {
    let text = format!("{error:?}");
    ["ConnectionReset", "ConnectionAborted", "BrokenPipe", "UnexpectedEof"]
        .iter()
        .any(|kind| text.contains(kind))
}

enum Cause {
    Name,
    Io(io::ErrorKind),
}

/// Looks for what the system said, below what the layers made of it.
fn find_kind(error: &io::Error) -> Option<Cause> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        next = error.source();
        if let Some(error) = error.downcast_ref::<io::Error>() {
            if error.kind() != io::ErrorKind::Other {
                return Some(Cause::Io(error.kind()));
            }
            next = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
        } else if error.downcast_ref::<dns::ResolveError>().is_some() {
            return Some(Cause::Name);
        }
    }
    None
}
