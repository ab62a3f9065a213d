//! Ports, in both families of addresses.

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

#[tokio::test]
async fn a_port_that_is_taken_is_not_shared() {
    let first = bind(1, "test").await;
    let network: Network = "test".parse().unwrap();
    let second = Net::bind(&key(2), &network, &first.addresses).await;
    let error = second.err().expect("two nodes listen on one port").1;
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
