//! Addresses that count as one when connections are limited.

use std::net::{IpAddr, Ipv6Addr};

/// One customer's addresses count as one: IPv6 networks are handed out as /64.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    network(address, 64)
}

/// One site's addresses: who asks for a larger IPv6 network gets a /48.
pub(crate) fn site(address: IpAddr) -> IpAddr {
    network(address, 48)
}

fn network(address: IpAddr, bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(v6.to_bits() & !(u128::MAX >> bits)).into(),
        v4 => v4,
    }
}
