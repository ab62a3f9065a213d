//! Bytes of TCP connections, as the kernel counts them for both ends (`ss` asks it).

use std::collections::HashMap;
use std::ops::Sub;
use std::process::Command;

use crate::error::LoadError;
use crate::report::{Wire, per};

/// The headers of a segment over IPv4: IP 20 bytes, TCP 20, and its time stamps 12.
const HEADERS: u64 = 52;

/// What one connection has carried, as one of its ends counts it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Carried {
    sent: u64,
    received: u64,
    segments: u64,
}

/// What connections of one kind have carried; as long as none of them ends, it only grows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes {
    /// To the node that listens: for clients, theirs.
    to_listener: u64,
    from_listener: u64,
    segments: u64,
}

impl Sub for Bytes {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            to_listener: self.to_listener.saturating_sub(other.to_listener),
            from_listener: self.from_listener.saturating_sub(other.from_listener),
            segments: self.segments.saturating_sub(other.segments),
        }
    }
}

/// Bytes between clients and nodes, and among nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crossed {
    clients: Bytes,
    nodes: Bytes,
}

impl Crossed {
    /// Of all connections to these ports; none where `ss` is not installed.
    pub(crate) fn now(clients: &[u16], nodes: &[u16]) -> Result<Option<Self>, LoadError> {
        let Ok(output) = Command::new("ss").args(["-tinHO", "state", "established"]).output()
        else {
            return Ok(None);
        };
        if !output.status.success() {
            return Err(LoadError::Node("ss does not list connections".into()));
        }
        let connections = parse(&String::from_utf8_lossy(&output.stdout));
        let of = |ports| sum(&connections, ports);
        Ok(Some(Self { clients: of(clients), nodes: of(nodes) }))
    }

    /// What each of `messages` needed since then.
    pub(crate) fn since(self, then: Self, messages: u64) -> Wire {
        let (clients, nodes) = (self.clients - then.clients, self.nodes - then.nodes);
        let both = nodes.to_listener + nodes.from_listener;
        let bytes = clients.to_listener + clients.from_listener + both;
        let segments = clients.segments + nodes.segments;
        Wire {
            client_to_node_bytes: per(clients.to_listener, messages),
            node_to_client_bytes: per(clients.from_listener, messages),
            node_to_node_bytes: (both > 0).then(|| per(both, messages)),
            with_headers_bytes: per(bytes + segments * HEADERS, messages),
        }
    }
}

/// Each connection once: both of its ends are on this machine, and one of them has the port.
fn sum(connections: &HashMap<(String, String), Carried>, ports: &[u16]) -> Bytes {
    let has = |address: &str| {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.is_some_and(|port: u16| ports.contains(&port))
    };
    let mut bytes = Bytes::default();
    for ((local, peer), carried) in connections {
        // A node may dial from the port it listens on: then the smaller address stands for both.
        if has(local) && (!has(peer) || local < peer) {
            bytes.to_listener += carried.received;
            bytes.from_listener += carried.sent;
            bytes.segments += carried.segments;
        }
    }
    bytes
}

/// Lines of `ss -tinHO state established`: queues, local address, peer, then the kernel's counts.
fn parse(text: &str) -> HashMap<(String, String), Carried> {
    let connection = |line: &str| {
        let mut words = line.split_whitespace().skip(2);
        let ends = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut carried = Carried::default();
        for word in words {
            let Some((name, value)) = word.split_once(':') else { continue };
            let Ok(value) = value.parse::<u64>() else { continue };
            match name {
                // What was sent again does not count.
                "bytes_acked" => carried.sent = value,
                "bytes_received" => carried.received = value,
                "segs_out" | "segs_in" => carried.segments += value,
                _ => {}
            }
        }
        Some((ends, carried))
    };
    text.lines().filter_map(connection).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_counts_once() {
        let text = "\
0 0 127.0.0.1:7000 127.0.0.2:4000 cubic rtt:0.1/0.0 bytes_sent:9 bytes_acked:8 bytes_received:30 segs_out:2 segs_in:3 send 1bps
0 0 127.0.0.2:4000 127.0.0.1:7000 cubic bytes_acked:30 bytes_received:8 segs_out:3 segs_in:2
0 0 127.0.0.1:7100 127.0.0.1:7200 bytes_acked:5 bytes_received:6 segs_out:1 segs_in:1
0 0 127.0.0.1:7200 127.0.0.1:7100 bytes_acked:6 bytes_received:5 segs_out:1 segs_in:1
0 0 127.0.0.1:9999 127.0.0.1:9998 bytes_acked:6 bytes_received:5 segs_out:1 segs_in:1
";
        let connections = parse(text);
        let clients = Bytes { to_listener: 30, from_listener: 8, segments: 5 };
        assert_eq!(sum(&connections, &[7000]), clients);
        let nodes = Bytes { to_listener: 6, from_listener: 5, segments: 2 };
        assert_eq!(sum(&connections, &[7100, 7200]), nodes);
    }
}
