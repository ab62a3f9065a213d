//! Both families of addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

#[tokio::test]
async fn a_node_listens_on_one_port_in_both_families() {
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let both = [
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
    ];
    let network: Network = "test".parse().unwrap();
    let net = match Net::bind(&key(1), &network, &both).await {
        Ok(net) => net,
        Err((at, error)) if at.is_ipv6() && error.kind() != std::io::ErrorKind::AddrInUse => {
            return eprintln!("there is no IPv6 here: {error}");
        }
        Err((at, error)) => panic!("{at}: {error}"),
    };
    assert_eq!(net.addresses, both);
    let b = start(1, net);
    for (seed, host) in [(2, "/ip4/127.0.0.1"), (3, "/ip6/::1"), (4, "/dns/localhost")] {
        let mut a = node(seed).await;
        let addresses = vec![format!("{host}/tcp/{port}")];
        a.net.perform(Command::Connect { node: b.id, addresses });
        assert_eq!(a.peer_up().await, (b.id, true), "{host}");
    }
}
