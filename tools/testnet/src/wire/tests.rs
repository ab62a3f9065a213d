//! The wire as its nodes meet it: real sockets, and this process as one of the nodes.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use tokio::net::TcpSocket;

use super::{
    Latency, Rules, control,
    serve::{bind, local, reserve, serve},
};
use crate::{process::Process, state::Testnet};

/// Two nodes: this process is n1, and listens for n2, which has no process.
fn two_nodes(dir: &Path) -> Testnet {
    let mut net = Testnet::create(dir, "testnet", false, &["n1", "n2"], &[]).unwrap();
    net.nodes[0].process = Some(Process::of(std::process::id()).unwrap());
    net.save().unwrap();
    let started = Testnet::load(Some(dir)).unwrap();
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(serve(started)).unwrap();
    });
    let deadline = Instant::now() + Duration::from_secs(10);
    let ports = loop {
        match control::ask(&net) {
            Ok(ports) => break ports,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    for (node, ports) in net.nodes.iter_mut().zip(ports) {
        node.ports = Some(ports);
    }
    net.save().unwrap();
    net
}

fn set(net: &mut Testnet, change: impl FnOnce(&mut Rules)) {
    change(&mut net.rules);
    net.save().unwrap();
    control::apply(net).unwrap();
}

fn partition(rules: &mut Rules) {
    rules.partition = vec![vec!["n1".into()], vec!["n2".into()]];
}

/// Whether nothing arrives for long enough to have arrived many times.
fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let silent = stream.read(&mut [0; 1]).is_err();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    silent
}

fn next(stream: &mut TcpStream) -> u8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    byte[0]
}

#[test]
fn a_partition_holds_bytes_back_and_heal_lets_them_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = two_nodes(dir.path());
    let ports = net.nodes[1].ports.unwrap();
    let node = TcpListener::bind(local(ports.own)).unwrap();
    let mut near = TcpStream::connect(local(ports.announced)).unwrap();
    let (mut far, _) = node.accept().unwrap();
    near.write_all(b"a").unwrap();
    far.write_all(b"b").unwrap();
    assert_eq!((next(&mut far), next(&mut near)), (b'a', b'b'));

    set(&mut net, partition);
    near.write_all(b"c").unwrap();
    far.write_all(b"d").unwrap();
    assert!(is_silent(&mut far) && is_silent(&mut near));
    let mut late = TcpStream::connect(local(ports.announced)).unwrap();
    late.write_all(b"e").unwrap();
    assert!(is_silent(&mut late), "nothing is refused either");
    set(&mut net, |rules| rules.partition.clear());
    assert_eq!((next(&mut far), next(&mut near)), (b'c', b'd'));
    let (mut later, _) = node.accept().unwrap();
    assert_eq!(next(&mut later), b'e');

    near.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(far.read(&mut [0]).unwrap(), 0, "the end arrives");
    far.write_all(b"f").unwrap();
    assert_eq!(next(&mut near), b'f', "of one direction only");
    drop(far);
    assert_eq!(near.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_connection_that_both_sides_gave_up_in_a_partition_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = two_nodes(dir.path());
    let ports = net.nodes[1].ports.unwrap();
    let node = TcpListener::bind(local(ports.own)).unwrap();
    let mut near = TcpStream::connect(local(ports.announced)).unwrap();
    near.write_all(b"a").unwrap();
    let (far, _) = node.accept().unwrap();
    set(&mut net, partition);
    near.write_all(b"never read").unwrap();
    let waiting = TcpStream::connect(local(ports.announced)).unwrap();
    let open = || -> usize {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let port = format!("0100007F:{:04X}", ports.announced);
        // Only the wire's ends of established and half-closed connections.
        let is = |line: &&str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields[1] == port && matches!(fields[3], "01" | "08")
        };
        table.lines().filter(is).count()
    };
    assert_eq!(open(), 2);
    drop((near, far, waiting));
    let deadline = Instant::now() + Duration::from_secs(10);
    while open() > 0 {
        assert!(Instant::now() < deadline, "the wire keeps {} connections", open());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn latency_is_for_one_direction() {
    let dir = tempfile::tempdir().unwrap();
    let mut net = two_nodes(dir.path());
    let ports = net.nodes[1].ports.unwrap();
    let node = TcpListener::bind(local(ports.own)).unwrap();
    let mut near = TcpStream::connect(local(ports.announced)).unwrap();
    let (mut far, _) = node.accept().unwrap();
    let slow = Latency { from: "n1".into(), to: "n2".into(), ms: 300 };
    set(&mut net, |rules| rules.set_latency(slow));
    let sent = Instant::now();
    near.write_all(b"ab").unwrap();
    assert_eq!((next(&mut far), next(&mut far)), (b'a', b'b'));
    assert!(sent.elapsed() >= Duration::from_millis(300), "{:?}", sent.elapsed());
    // The way back is not slowed down: it is there while the next is on its way.
    near.write_all(b"c").unwrap();
    far.write_all(b"d").unwrap();
    assert_eq!(next(&mut near), b'd');
    assert!(is_silent(&mut far));
    assert_eq!(next(&mut far), b'c');
}

#[test]
fn ports_stay_when_the_wire_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let net = two_nodes(dir.path());
    let ports = net.nodes[0].ports.unwrap();
    // Another wire may not listen at the same time, or connections would go astray.
    assert!(bind(Some(ports.announced)).and_then(|socket| socket.listen(1).map(drop)).is_err());
    // Reserved, and free for the node, again and again.
    for port in [ports.own, ports.client, ports.admin] {
        for _ in 0..2 {
            let listener = TcpListener::bind(local(port)).unwrap();
            assert_eq!(listener.local_addr().unwrap().port(), port);
        }
        let chance = TcpSocket::new_v4().unwrap();
        assert!(chance.bind(local(port)).is_err(), "whoever does not know of it cannot have it");
    }
    assert!(TcpListener::bind(local(ports.announced)).is_err());
}

#[tokio::test]
async fn a_port_that_its_node_has_is_reserved_when_the_node_ends() {
    let node = TcpListener::bind(local(0)).unwrap();
    let port = node.local_addr().unwrap().port();
    assert_eq!(reserve(Some(port)).unwrap(), port);
    drop(node);
    let is_free = || TcpSocket::new_v4().unwrap().bind(local(port)).is_ok();
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_free() {
        assert!(Instant::now() < deadline, "anybody can have it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
