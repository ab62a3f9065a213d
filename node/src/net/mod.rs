//! Connections to other nodes. The only room that names libp2p.
//!
//! One task owns the swarm; mail streams have a task each. What to do comes from the core, through
//! [`NetHandle::perform`]; what happens goes to the engine as [`postroad_core::roads::Event`]s.

mod addresses;
mod behaviour;
mod commands;
mod crowd;
mod errands;
mod event_loop;
mod happenings;
mod links;
mod places;
mod reason;
mod records;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use libp2p::{Swarm, TransportError};
use postroad_core::roads::Command;
use postroad_proto::SigningKey;
use postroad_proto::frame::{Frame, Ping};
use postroad_proto::ids::NodeId;
use postroad_proto::network::Network;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(crate) use self::addresses::multiaddress;
use self::behaviour::Behaviour;
use self::event_loop::EventLoop;
use self::links::Links;
use self::places::Places;
use crate::engine::EngineHandle;

/// Commands that may wait for the swarm. The engine does not wait: what finds no room is left
/// undone, and the core's timers see to it.
const QUEUE: usize = 4096;
/// How long until listening has begun.
const LISTEN_PATIENCE: Duration = Duration::from_secs(5);

/// How the rest of the node talks to the network.
#[derive(Clone)]
pub(crate) struct NetHandle {
    orders: mpsc::Sender<Order>,
    shared: Arc<Shared>,
}

/// A connected node.
#[derive(Debug, Clone)]
pub(crate) struct Neighbour {
    /// Which.
    pub(crate) node: NodeId,
    /// There and back, as of the last ping. None before the first.
    pub(crate) rtt: Option<Duration>,
}

/// What the task shares with those who hold a handle.
#[derive(Default)]
struct Shared {
    links: Links,
    /// Guards what is told about connected nodes.
    neighbours: Mutex<HashMap<NodeId, Neighbour>>,
    /// The core wants the node's record made anew.
    renew: Notify,
    overrun: AtomicBool,
    /// What was left undone since the start, for there was too much to do.
    put_off: AtomicU64,
    /// Why it does not listen any more, if so.
    deaf: OnceLock<String>,
}

enum Order {
    Road(Command),
    Ask {
        node: NodeId,
        addresses: Vec<String>,
        frame: Frame,
        waiting: oneshot::Sender<errands::Answer>,
    },
    Stop(oneshot::Sender<()>),
}

impl NetHandle {
    /// Does what the core decided. Never waits.
    pub(crate) fn perform(&self, command: Command) {
        match command {
            Command::Frame { link, frame } => self.shared.links.push(link, frame),
            Command::CloseLink { link } => self.shared.links.close(link),
            Command::RenewRecord => self.shared.renew.notify_one(),
            command => {
                let overrun = &self.shared.overrun;
                if self.orders.try_send(Order::Road(command)).is_err() {
                    self.shared.put_off.fetch_add(1, Ordering::Relaxed);
                    if !overrun.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            "more to do between nodes than can be done: some is put off"
                        );
                    }
                } else if self.orders.capacity() > QUEUE / 2 {
                    overrun.store(false, Ordering::Relaxed);
                }
            }
        }
    }

    /// What was left undone since the start, for there was too much to do.
    pub(crate) fn put_off(&self) -> u64 {
        self.shared.put_off.load(Ordering::Relaxed)
    }

    /// Why other nodes cannot connect any more, if so.
    pub(crate) fn deaf(&self) -> Option<&str> {
        self.shared.deaf.get().map(String::as_str)
    }

    /// The nodes that are connected.
    pub(crate) fn neighbours(&self) -> Vec<Neighbour> {
        self.shared.neighbours().values().cloned().collect()
    }

    /// How long a question to a node takes there and back, connecting first if need be.
    ///
    /// # Errors
    /// Why it does not answer, for people.
    pub(crate) async fn ping(
        &self,
        node: NodeId,
        addresses: Vec<String>,
    ) -> Result<Duration, String> {
        // Connecting does not count.
        self.ask(node, addresses.clone()).await?;
        let start = Instant::now();
        self.ask(node, addresses).await?;
        Ok(start.elapsed())
    }

    async fn ask(&self, node: NodeId, addresses: Vec<String>) -> errands::Answer {
        let (waiting, answer) = oneshot::channel();
        let frame = Ping { request: 0 }.into();
        let stopping = || "this node is stopping".to_owned();
        let order = Order::Ask { node, addresses, frame, waiting };
        self.orders.send(order).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Returns when the core wants the node's record made anew.
    pub(crate) async fn renewal(&self) {
        self.shared.renew.notified().await;
    }

    /// Says what is still to be said on mail streams, then closes every connection.
    pub(crate) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.orders.send(Order::Stop(done)).await.is_ok() {
            let _ = stopped.await;
        }
    }
}

impl Shared {
    fn neighbours(&self) -> std::sync::MutexGuard<'_, HashMap<NodeId, Neighbour>> {
        self.neighbours.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A network that listens, but does nothing yet.
pub(crate) struct Net {
    swarm: Swarm<Behaviour>,
    network: Network,
    orders: mpsc::Receiver<Order>,
    handle: NetHandle,
    places: Places,
    /// What it listens on, in the order in which it was asked for.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Net {
    /// Listens for other nodes.
    ///
    /// # Errors
    /// Names the address that cannot be listened on.
    pub(crate) async fn bind(
        key: &SigningKey,
        network: &Network,
        listen: &[SocketAddr],
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let first = listen.first().copied().unwrap_or(nowhere);
        let keys = Keypair::ed25519_from_bytes(key.to_bytes())
            .map_err(|error| (first, io::Error::other(error)))?;
        let mut swarm = behaviour::swarm(keys, network).map_err(|error| (first, error))?;
        let mut addresses = Vec::new();
        for address in listen {
            let bound = begin_listening(&mut swarm, *address).await;
            addresses.push(bound.map_err(|error| (*address, error))?);
        }
        let (sender, orders) = mpsc::channel(QUEUE);
        let handle = NetHandle { orders: sender, shared: Arc::default() };
        Ok(Self {
            swarm,
            network: network.clone(),
            orders,
            handle,
            places: Places::default(),
            addresses,
        })
    }

    /// See [`NetHandle`].
    pub(crate) fn handle(&self) -> NetHandle {
        self.handle.clone()
    }

    /// Begins to serve. The task ends when it is told to stop; before only by a fault.
    pub(crate) fn start(self, engine: EngineHandle) -> JoinHandle<()> {
        let shared = self.handle.shared;
        let (swarm, network, orders) = (self.swarm, self.network, self.orders);
        let task = EventLoop::new(swarm, network, orders, shared, engine, self.places);
        tokio::spawn(task.run())
    }
}

async fn begin_listening(
    swarm: &mut Swarm<Behaviour>,
    wanted: SocketAddr,
) -> io::Result<SocketAddr> {
    if wanted.port() != 0 {
        // libp2p shares its ports, so it would not notice that another node listens there.
        drop(crate::sockets::listen(wanted)?);
    }
    let id = swarm.listen_on(addresses::of_socket(&wanted)).map_err(|error| match error {
        TransportError::Other(error) => error,
        error => io::Error::other(error),
    })?;
    let listening = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { listener_id, address } if listener_id == id => {
                    let port = addresses::to_socket(&address).map_or(0, |bound| bound.port());
                    return Ok(SocketAddr::new(wanted.ip(), port));
                }
                SwarmEvent::ListenerClosed { listener_id, reason, .. } if listener_id == id => {
                    return Err(reason.err().unwrap_or(io::ErrorKind::AddrNotAvailable.into()));
                }
                _ => {}
            }
        }
    };
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    tokio::time::timeout(LISTEN_PATIENCE, listening).await.map_err(late)?
}
