//! The gateway: clients' connections.

mod buffers;
mod session;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use postroad_core::{Input, SessionId};
use postroad_proto::network::Network;
use postroad_proto::noise::NoiseSecret;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::session::{Session, SessionError};
use crate::config::GatewaySection;
use crate::engine::EngineHandle;
use crate::neighbourhood::neighbourhood;
use crate::outgoing::Outgoing;

/// What every connection needs.
pub(crate) struct Shared {
    pub(crate) network: Network,
    pub(crate) noise: NoiseSecret,
    /// Guards the node's encoded `Signed<NodeRecord>`, renewed while the node runs.
    record: RwLock<Bytes>,
    config: GatewaySection,
    handshakes: Semaphore,
    sessions: Arc<Semaphore>,
    /// Guards the connections by address that are no known device's yet.
    addresses: Mutex<HashMap<IpAddr, usize>>,
    next_session: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        config: GatewaySection,
        network: Network,
        noise: NoiseSecret,
        record: Bytes,
    ) -> Self {
        Self {
            network,
            noise,
            record: RwLock::new(record),
            handshakes: Semaphore::new(config.max_handshakes),
            sessions: Arc::new(Semaphore::new(config.max_sessions)),
            addresses: Mutex::default(),
            next_session: AtomicU64::new(1),
            config,
        }
    }

    pub(crate) fn record(&self) -> Bytes {
        self.record.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_record(&self, record: Bytes) {
        *self.record.write().unwrap_or_else(PoisonError::into_inner) = record;
    }

    /// Waits until no session is left.
    pub(crate) async fn all_ended(&self, max_sessions: u32) {
        let _ = self.sessions.acquire_many(max_sessions).await;
    }

    /// Counts a stranger from `address`; none if there are too many.
    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<AddressGuard> {
        let address = neighbourhood(address);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(address).or_default();
        if *count >= self.config.max_strangers_per_address {
            return None;
        }
        *count += 1;
        Some(AddressGuard { shared: self.clone(), address })
    }
}

/// A stranger who is counted until it is known or gone.
struct AddressGuard {
    shared: Arc<Shared>,
    address: IpAddr,
}

impl Drop for AddressGuard {
    fn drop(&mut self) {
        let mut addresses = self.shared.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

/// Accepts clients until `stop` turns true.
pub(crate) async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    engine: EngineHandle,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let place = shared.sessions.clone().try_acquire_owned();
                    let (Some(guard), Ok(place)) = (shared.admit(peer.ip()), place) else {
                        continue;
                    };
                    tokio::spawn(serve(stream, shared.clone(), engine.clone(), guard, place));
                }
                Err(error) => {
                    // Out of files, mostly: closing sessions frees some.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Returns once `stop` is true. A function of its own, so that no guard of the channel lives on.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn serve(
    mut stream: TcpStream,
    shared: Arc<Shared>,
    engine: EngineHandle,
    guard: AddressGuard,
    place: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    keep_alive(&stream);
    let (channel, key) = match session::handshake(&mut stream, &shared).await {
        Ok(shaken) => shaken,
        Err(error) => return tracing::debug!(%error, "handshake failed"),
    };
    let id = shared.next_session.fetch_add(1, Ordering::Relaxed);
    let outgoing = Arc::new(Outgoing::new(shared.config.max_unread));
    if engine.connected(id, key, outgoing.clone()).await.is_err() {
        return;
    }
    let share = Arc::new(Semaphore::new(session::SHARE));
    let mut session = Session { id, stream, channel, outgoing, share };
    // Until then it counts against its address: strangers must not take every place.
    match session.introduce(&engine).await {
        // A task of its own: this one has room for a handshake, which no idle session needs.
        Ok(true) => drop(tokio::spawn(carry(session, engine, place))),
        Ok(false) => end(id, Ok(()), &engine).await,
        Err(error) => end(id, Err(error), &engine).await,
    }
    drop(guard);
}

/// A session of a device of an account here, until its end.
async fn carry(session: Session, engine: EngineHandle, _place: OwnedSemaphorePermit) {
    let id = session.id;
    let ended = session.run(&engine).await;
    end(id, ended, &engine).await;
}

async fn end(id: SessionId, ended: Result<(), SessionError>, engine: &EngineHandle) {
    if let Err(error) = ended {
        tracing::debug!(session = id, %error, "session ended");
    }
    let _ = engine.input(Input::Disconnected { session: id }, None).await;
}

/// Lets the kernel notice clients that vanished: after about two minutes.
fn keep_alive(stream: &TcpStream) {
    use rustix::net::sockopt;
    let set = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, Duration::from_secs(60)))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15)))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, 4));
    if let Err(error) = set {
        tracing::debug!(%error, "no keepalive");
    }
}
