//! Whose a connection is: the process at its other end, as `/proc` tells.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    net::{IpAddr, SocketAddr},
};

/// The tables of the kernel; a program may use an IPv6 socket for an IPv4 address.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// The two ends of a connection: of the program that is looked for, and of its peer.
pub(super) type Ends = (SocketAddr, SocketAddr);

/// Who has a connection open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// One of the processes that were asked about: its place in the list.
    Asked(usize),
    /// Some other process of this machine.
    Other,
    /// No process: it is closed at that end, or was never there.
    Nobody,
}

/// Whose each connection is. One look at the kernel's tables takes tens of milliseconds, however
/// many connections are looked for.
pub(super) fn owners(connections: &[Ends], pids: &[u32]) -> Vec<Owner> {
    let wanted: HashSet<&Ends> = connections.iter().collect();
    let mut inodes: HashMap<Ends, u64> = HashMap::new();
    for table in TABLES {
        // Without IPv6 there is no second table.
        let table = fs::read_to_string(table).unwrap_or_default();
        inodes.extend(
            table.lines().skip(1).filter_map(row).filter(|(ends, _)| wanted.contains(ends)),
        );
        if inodes.len() == wanted.len() {
            break;
        }
    }
    let mut holders = HashMap::new();
    for (index, pid) in pids.iter().enumerate() {
        // A process may have ended.
        let _ = sockets(*pid, |inode| {
            holders.entry(inode).or_insert(index);
        });
    }
    let owner = |ends| match inodes.get(ends) {
        None => Owner::Nobody,
        Some(inode) => holders.get(inode).map_or(Owner::Other, |index| Owner::Asked(*index)),
    };
    connections.iter().map(owner).collect()
}

/// proc_net_tcp(5): the second and third fields are the addresses, the tenth is the inode.
fn row(line: &str) -> Option<(Ends, u64)> {
    let mut fields = line.split_whitespace().skip(1);
    let ends = (address(fields.next()?)?, address(fields.next()?)?);
    let inode = fields.nth(6)?.parse().ok()?;
    // A connection that nobody has open any more has the inode 0.
    (inode != 0).then_some((ends, inode))
}

/// `0100007F:1F90`: the address in words of 32 bits of this machine's byte order, the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let mut bytes = Vec::with_capacity(16);
    for word in ip.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::from(four),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Shows each socket that the process has open.
fn sockets(pid: u32, mut show: impl FnMut(u64)) -> io::Result<()> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A descriptor may be closed while we look.
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        let inode =
            target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
        if let Some(inode) = inode.and_then(|inode| inode.parse().ok()) {
            show(inode);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_connection_of_our_own_is_found() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(any) else { continue };
            let here = listener.local_addr().unwrap();
            let stream = TcpStream::connect(here).unwrap();
            let there = stream.local_addr().unwrap();
            let mut other = Command::new("sleep").arg("60").spawn().unwrap();
            let pids = [other.id(), std::process::id()];
            let ours = (there, here);
            let nobodys = (there, "127.0.0.1:1".parse().unwrap());
            assert_eq!(owners(&[nobodys, ours], &pids), [Owner::Nobody, Owner::Asked(1)]);
            assert_eq!(owners(&[ours], &pids[..1]), [Owner::Other], "one that was not asked about");
            drop(stream);
            // A process that another test is starting may still have a copy of it for a moment.
            let deadline = Instant::now() + Duration::from_secs(10);
            while owners(&[ours], &pids) != [Owner::Nobody] {
                assert!(Instant::now() < deadline, "nobody has it any more");
            }
            other.kill().and_then(|()| other.wait()).unwrap();
        }
    }

    #[test]
    fn an_ipv4_connection_of_an_ipv6_socket_is_the_same_connection() {
        let word = |bytes: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(bytes));
        let v4 = word([127, 0, 0, 1]);
        let mapped = format!("{0}{0}{1}{v4}", word([0; 4]), word([0, 0, 255, 255]));
        let line = |ip: &str| {
            format!(
                "0: {ip}:1F90 {ip}:0050 01 00000000:00000000 00:00000000 00000000  1000  0 4242 1"
            )
        };
        let (local, remote) = (([127, 0, 0, 1], 8080).into(), ([127, 0, 0, 1], 80).into());
        for ip in [&v4, &mapped] {
            assert_eq!(row(&line(ip)), Some(((local, remote), 4242)));
        }
        assert_eq!(row("no row"), None);
    }
}
