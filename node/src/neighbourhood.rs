//! Addresses that count as one when connections are limited.

use std::net::IpAddr;

/// One customer's addresses count as one: IPv6 networks are handed out as /64.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}
