//! Sockets that listen.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// Connections that wait until they are taken.
const BACKLOG: i32 = 1024;

/// Listens on an address of its own family alone: as libp2p does, and the only way to have both
/// `0.0.0.0` and `[::]`.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // What an earlier run left behind is no obstacle.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// How a listener may be reached: an address that stands for all is no use in a link, so this
/// machine's own in the local network is put there, then loopback.
pub(crate) fn reachable_as(listener: &SocketAddr) -> Vec<String> {
    if !listener.ip().is_unspecified() {
        return vec![listener.to_string()];
    }
    let port = listener.port();
    // Connecting a datagram socket sends nothing; it only asks which address would be used. The
    // targets are from the blocks for documentation (RFC 5737, RFC 3849).
    let (any, outside, loopback): (SocketAddr, SocketAddr, SocketAddr) = if listener.is_ipv6() {
        let outside = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        ((Ipv6Addr::UNSPECIFIED, 0).into(), (outside, 9).into(), (Ipv6Addr::LOCALHOST, port).into())
    } else {
        let outside = Ipv4Addr::new(192, 0, 2, 1);
        ((Ipv4Addr::UNSPECIFIED, 0).into(), (outside, 9).into(), (Ipv4Addr::LOCALHOST, port).into())
    };
    let local = UdpSocket::bind(any)
        .and_then(|socket| socket.connect(outside).map(|()| socket))
        .and_then(|socket| socket.local_addr())
        .map(|local| SocketAddr::new(local.ip(), port));
    local.into_iter().chain([loopback]).map(|address| address.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_is_listened_on_in_both_families() {
        let any4 = listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).unwrap();
        let port = any4.local_addr().unwrap().port();
        let any6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        match listen(any6) {
            Ok(_both) => {}
            // No IPv6 here.
            Err(error) => assert_ne!(error.kind(), io::ErrorKind::AddrInUse, "{error}"),
        }
        let again = listen(any4.local_addr().unwrap()).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn what_stands_for_all_is_named_by_its_family() {
        let v4 = reachable_as(&"0.0.0.0:7".parse().unwrap());
        assert_eq!(v4.last().unwrap(), "127.0.0.1:7");
        let v6 = reachable_as(&"[::]:7".parse().unwrap());
        assert_eq!(v6.last().unwrap(), "[::1]:7");
        assert!(v6.iter().all(|at| at.starts_with('[')));
        assert_eq!(reachable_as(&"192.0.2.1:7".parse().unwrap()), ["192.0.2.1:7"]);
    }
}
