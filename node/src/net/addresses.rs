//! Who and where: nodes as libp2p names them, addresses as people write them.

use std::net::{IpAddr, SocketAddr};

use libp2p::identity::{PublicKey, ed25519};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use postroad_proto::ids::NodeId;

/// Addresses of one node that are tried.
const MAX_TRIED: usize = 8;

/// What libp2p calls a node. None if the id is no Ed25519 key.
pub(super) fn peer_id(node: &NodeId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&node.0).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// The node that libp2p calls this. None unless it is an Ed25519 key, written out.
pub(super) fn node_id(peer: &PeerId) -> Option<NodeId> {
    let hash = peer.as_ref();
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    let node = NodeId(key.try_into_ed25519().ok()?.to_bytes());
    // One name per node: whatever else decodes to the same key is not taken.
    (peer_id(&node).as_ref() == Some(peer)).then_some(node)
}

/// Those addresses that can be dialled: TCP, by number or name, best first. One that names another
/// node is left out.
pub(super) fn dialable(texts: &[String], peer: &PeerId) -> Vec<Multiaddr> {
    let parsed = texts.iter().filter_map(|text| text.parse::<Multiaddr>().ok());
    parsed.filter_map(|address| tcp_only(&address, peer)).take(MAX_TRIED).collect()
}

fn tcp_only(address: &Multiaddr, peer: &PeerId) -> Option<Multiaddr> {
    let mut parts = address.iter();
    let host = parts.next()?;
    let port = parts.next()?;
    let usable = match &host {
        Protocol::Ip4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        Protocol::Ip6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
        Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) => true,
        _ => false,
    };
    let for_peer = match parts.next() {
        None => true,
        Some(Protocol::P2p(named)) => named == *peer && parts.next().is_none(),
        Some(_) => false,
    };
    let open = matches!(port, Protocol::Tcp(number) if number != 0);
    (usable && open && for_peer).then(|| Multiaddr::empty().with(host).with(port))
}

/// `host:port`, as people write it.
pub(super) fn readable(address: &Multiaddr) -> String {
    let mut parts = address.iter();
    let host = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.to_string(),
        Some(Protocol::Ip6(ip)) => format!("[{ip}]"),
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) => name.into(),
        _ => return address.to_string(),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) => format!("{host}:{port}"),
        _ => address.to_string(),
    }
}

/// The multiaddress of `host:port`, where host is a number or a DNS name.
pub(crate) fn multiaddress(text: &str) -> Option<String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(of_socket(&address).to_string());
    }
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    let is_name = !host.is_empty() && host.len() <= 253 && host.bytes().all(allowed);
    is_name.then(|| format!("/dns/{host}/tcp/{port}"))
}

/// The multiaddress of a socket's address.
pub(super) fn of_socket(address: &SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

/// The socket's address that stands at the front of a multiaddress.
pub(super) fn to_socket(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::V4(ip),
        Protocol::Ip6(ip) => IpAddr::V6(ip),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity::Keypair;
    use postroad_proto::SigningKey;

    use super::*;

    fn node(seed: u8) -> NodeId {
        NodeId(SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes())
    }

    #[test]
    fn a_node_and_its_peer_id_stand_for_each_other() {
        let node = node(7);
        let peer = peer_id(&node).unwrap();
        assert_eq!(node_id(&peer), Some(node));
        let mut seed = [7; 32];
        let keys = Keypair::ed25519_from_bytes(&mut seed).unwrap();
        assert_eq!(peer, keys.public().to_peer_id());
        assert_eq!(node_id(&PeerId::random()), None);
    }

    #[test]
    fn only_tcp_addresses_of_the_node_itself_are_dialled() {
        let peer = peer_id(&node(1)).unwrap();
        let other = peer_id(&node(2)).unwrap();
        let texts = [
            "/ip4/127.0.0.1/tcp/1".to_owned(),
            format!("/dns4/a.example/tcp/2/p2p/{peer}"),
            format!("/ip4/127.0.0.1/tcp/3/p2p/{other}"),
            "/ip4/127.0.0.1/udp/4/quic-v1".to_owned(),
            "/dnsaddr/a.example/tcp/5".to_owned(),
            "/ip4/0.0.0.0/tcp/6".to_owned(),
            "/ip4/127.0.0.1/tcp/0".to_owned(),
            "nonsense".to_owned(),
        ];
        let dialled = dialable(&texts, &peer);
        let dialled: Vec<String> = dialled.iter().map(readable).collect();
        assert_eq!(dialled, ["127.0.0.1:1", "a.example:2"]);
    }

    #[test]
    fn host_and_port_become_a_multiaddress() {
        let of = |text| multiaddress(text);
        assert_eq!(of("192.0.2.1:7452").as_deref(), Some("/ip4/192.0.2.1/tcp/7452"));
        assert_eq!(of("[2001:db8::1]:7452").as_deref(), Some("/ip6/2001:db8::1/tcp/7452"));
        assert_eq!(of("post.example:7452").as_deref(), Some("/dns/post.example/tcp/7452"));
        assert_eq!(of("post.example"), None);
        assert_eq!(of("post example:1"), None);
        assert_eq!(of("/ip4/192.0.2.1/tcp/1"), None);
    }
}
