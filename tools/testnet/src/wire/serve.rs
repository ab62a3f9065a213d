//! The wire's process.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use postroad_cli::{CliError, json_line};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::{TcpListener, TcpSocket, TcpStream, UnixListener},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

use super::{
    Ports,
    callers::{Caller, Callers},
    control::socket_in,
    line::{Dice, Pair, carry},
    rules::Rules,
};
use crate::state::Testnet;

/// A full network of 64 nodes has 2,016 connections.
const MAX_CONNECTIONS: usize = 4_096;
const BACKLOG: u32 = 256;
/// The wait after a failure to accept: it is seldom a matter of microseconds.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// How often a connection that is held up is looked at: its programs may have given up.
const GONE_POLL: Duration = Duration::from_millis(500);
/// How often a port that its node has is tried for: the node may have ended.
const TAKEN_POLL: Duration = Duration::from_millis(100);
/// A reader that does not read its few bytes by then gets none.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Is the wire of the network in this directory until it is ended.
pub(crate) fn run(dir: Option<&Path>) -> Result<(), CliError> {
    let net = Testnet::load(dir)?;
    let failed = |error| CliError::io("the wire cannot work", &error, "postroad-testnet down");
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.and_then(|runtime| runtime.block_on(serve(net))).map_err(failed)
}

/// Two files per connection; the usual soft limit is 1,024.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer files there are fewer connections, which small networks do not notice.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// What all connections share.
struct Shared {
    net: Testnet,
    ports: Vec<Ports>,
    rules: watch::Sender<Rules>,
    callers: Callers,
    places: Semaphore,
    connections: AtomicU64,
}

pub(super) async fn serve(net: Testnet) -> io::Result<()> {
    let mut listeners = Vec::new();
    let mut ports = Vec::new();
    for node in &net.nodes {
        let listener = bind(node.ports.map(|ports| ports.announced))?.listen(BACKLOG)?;
        ports.push(Ports {
            announced: listener.local_addr()?.port(),
            own: reserve(node.ports.map(|ports| ports.own))?,
            client: reserve(node.ports.map(|ports| ports.client))?,
            admin: reserve(node.ports.map(|ports| ports.admin))?,
        });
        listeners.push(listener);
    }
    let (rules, _) = watch::channel(net.rules.clone());
    let shared = Arc::new(Shared {
        callers: Callers::new(&net.dir),
        net,
        ports,
        rules,
        places: Semaphore::new(MAX_CONNECTIONS),
        connections: AtomicU64::new(0),
    });
    for (index, listener) in listeners.into_iter().enumerate() {
        tokio::spawn(accept(shared.clone(), index, listener));
    }
    answer(&shared).await
}

pub(super) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Any other socket of ours may have had the port: only listening twice is refused.
pub(super) fn bind(port: Option<u16>) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(local(port.unwrap_or(0)))?;
    Ok(socket)
}

/// Keeps a port for a node as long as the wire runs: bound and not listening, so that the node can
/// have it, while nobody gets it by chance.
pub(super) fn reserve(port: Option<u16>) -> io::Result<u16> {
    let (port, bound) = match (bind(port), port) {
        (Ok(socket), _) => (socket.local_addr()?.port(), Some(socket)),
        // This wire is not the first, and the node runs and has it.
        (Err(error), Some(port)) if error.kind() == io::ErrorKind::AddrInUse => (port, None),
        (Err(error), _) => return Err(error),
    };
    tokio::spawn(async move {
        let mut bound = bound;
        while bound.is_none() {
            sleep(TAKEN_POLL).await;
            bound = bind(Some(port)).ok();
        }
        std::future::pending::<()>().await;
    });
    Ok(port)
}

/// Tells the ports to everyone who connects to the socket, after a look at the state file.
async fn answer(shared: &Shared) -> io::Result<()> {
    let dir = File::open(&shared.net.dir)?;
    match std::fs::remove_file(socket_in(&dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(socket_in(&dir))?;
    loop {
        let (mut stream, _) = socket.accept().await?;
        match Testnet::load(Some(&shared.net.dir)) {
            Ok(net) => {
                shared.rules.send_replace(net.rules);
                let answer = json_line(&shared.ports);
                let sent = timeout(ANSWER_LIMIT, stream.write_all(answer.as_bytes())).await;
                if !matches!(sent, Ok(Ok(()))) {
                    eprintln!("whoever asked for the ports has left");
                }
            }
            Err(error) => eprintln!("the old rules stay: {error}"),
        }
    }
}

async fn accept(shared: Arc<Shared>, to: usize, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(connection(shared.clone(), stream, peer, to));
            }
            Err(error) => {
                // Out of files, or the caller has left already.
                eprintln!("cannot accept for {}: {error}", shared.net.nodes[to].name);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(shared: Arc<Shared>, incoming: TcpStream, peer: SocketAddr, to: usize) {
    let Ok(_place) = shared.places.try_acquire() else { return };
    let name = &shared.net.nodes[to].name;
    let here = local(shared.ports[to].announced);
    let from = match shared.callers.who(peer, here).await {
        Caller::Node(name) => name,
        Caller::Outside => String::new(),
        // Carried on under no name it would pass every partition.
        Caller::Gone => return,
    };
    if let Err(error) = pass(&shared, incoming, &from, to).await {
        let from = if from.is_empty() { "a stranger" } else { &from };
        eprintln!("a connection from {from} to {name} ended: {error}");
    }
}

/// Carries a connection on to the node, both ways, until it is over.
async fn pass(shared: &Shared, incoming: TcpStream, from: &str, to: usize) -> io::Result<()> {
    let (there, back) = {
        let name = shared.net.nodes[to].name.as_str();
        (Pair { from, to: name }, Pair { from: name, to: from })
    };
    let mut rules = shared.rules.subscribe();
    // The node is not to hear of somebody who cannot reach it.
    tokio::select! {
        open = rules.wait_for(|rules| !there.rule(rules).blocked) => drop(open),
        () = closed(&incoming) => return Ok(()),
    }
    let outgoing = TcpStream::connect(local(shared.ports[to].own)).await?;
    incoming.set_nodelay(true)?;
    outgoing.set_nodelay(true)?;
    let number = shared.connections.fetch_add(1, Ordering::Relaxed);
    let seed = rules.borrow().seed;
    let dice = |pair: Pair<'_>| Dice::new(seed, pair.from, pair.to, number);
    let both = async {
        tokio::try_join!(
            carry(there, &incoming, &outgoing, rules.clone(), dice(there)),
            carry(back, &outgoing, &incoming, rules.clone(), dice(back)),
        )
    };
    // Held up, with nobody at either end any more: nothing will ever come of it.
    let abandoned = async {
        loop {
            closed(&incoming).await;
            closed(&outgoing).await;
            if there.rule(&shared.rules.borrow()).blocked {
                return;
            }
            sleep(GONE_POLL).await;
        }
    };
    tokio::select! {
        ended = both => ended.map(drop),
        () = abandoned => Ok(()),
    }
}

/// Waits until the other side has closed the connection, though what it sent is not read yet.
async fn closed(stream: &TcpStream) {
    loop {
        match stream.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => sleep(GONE_POLL).await,
            _ => return,
        }
    }
}
