//! A running node: everything bound, started in order and stopped in order.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use postroad_core::{Core, StartError};
use postroad_proto::codec;
use postroad_proto::limits::{MAX_BODY, NODE_RECORD_SECONDS};
use postroad_proto::link::NodeLink;
use postroad_proto::record::{NodeRecord, RECORD_VERSION};
use postroad_proto::signed::Signed;
use postroad_proto::{PROTOCOL_VERSIONS, noise};
use postroad_store::{DirLock, Journal, RealFiles, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::admin::{self, Admin};
use crate::clock;
use crate::config::Config;
use crate::engine::{Engine, EngineError, EngineHandle};
use crate::gateway;
use crate::identity::{Identity, IdentityError};
use crate::ready::{self, Ready};

/// How long sessions get to take what was still to be said.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often the node's record is renewed: well within its week.
const RECORD_RENEWAL: Duration = Duration::from_secs(6 * 3600);

/// Why a node does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The keys.
    #[error("the node's keys: {0}")]
    Identity(#[from] IdentityError),
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// What the store holds.
    #[error("{0}")]
    Start(#[from] StartError),
    /// An address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A file or thread.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The engine stopped by itself.
    #[error("{0}")]
    Engine(String),
    /// A record of our own cannot be made.
    #[error("the node's record: {0}")]
    Record(#[from] codec::CodecError),
}

/// A node that runs.
pub struct Server {
    engine: EngineHandle,
    /// The engine's end, if it was not asked to.
    ended: oneshot::Receiver<Result<(), EngineError>>,
    stop: watch::Sender<bool>,
    shutdown: watch::Receiver<bool>,
    shared: Arc<gateway::Shared>,
    max_sessions: u32,
    ready: Ready,
    reachability: String,
    _lock: DirLock,
}

impl Server {
    /// Opens the data directory and starts. Returns when clients are served.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn bind(config: Config, data_dir: &Path) -> Result<Self, ServerError> {
        let lock = DirLock::acquire(data_dir)?;
        let identity = Identity::open(data_dir)?;
        let name = match config.node.name.as_str() {
            "" => identity.node().to_string(),
            name => name.to_owned(),
        };
        let listeners = listen(&config.gateway.listen).await?;
        let admin_listener = listen(&[config.admin.listen]).await?.remove(0);
        let addresses: Vec<SocketAddr> = listeners.iter().map(|(at, _)| *at).collect();
        let client = match config.gateway.external.as_slice() {
            [] => addresses.iter().flat_map(reachable_as).collect(),
            external => external.to_vec(),
        };
        let ready = Ready {
            node: identity.node().to_string(),
            name: name.clone(),
            network: config.node.network.to_string(),
            client: client.clone(),
            p2p: Vec::new(),
            admin: admin_listener.0.to_string(),
            admin_token_file: data_dir.join(admin::TOKEN_FILE),
            data_dir: data_dir.to_owned(),
            pid: std::process::id(),
            link: node_link(&config, &identity, client).to_string(),
        };
        let (engine, ended) = start_engine(&config, &identity, name, data_dir)?;
        let generation = generation(&engine).await?;
        let record = node_record(&config, &identity, &ready, generation)?;
        let network = config.node.network.clone();
        let shared =
            gateway::Shared::new(config.gateway.clone(), network, identity.noise(), record);
        let shared = Arc::new(shared);
        let (stop, stopping) = watch::channel(false);
        let (asked, shutdown) = watch::channel(false);
        let admin = Admin::new(engine.clone(), ready.clone(), config.clone(), asked, data_dir)
            .map_err(|source| io("the admin token", source))?;
        tokio::spawn(admin.serve(admin_listener.1));
        for (_, listener) in listeners {
            tokio::spawn(gateway::accept(
                listener,
                shared.clone(),
                engine.clone(),
                stopping.clone(),
            ));
        }
        let renewing = (shared.clone(), engine.clone());
        tokio::spawn(renew_record(renewing, config.clone(), identity, ready.clone()));
        Ok(Self {
            engine,
            ended,
            stop,
            shutdown,
            shared,
            max_sessions: config.gateway.max_sessions as u32,
            reachability: ready::reachability(&addresses, &config.gateway.external),
            ready,
            _lock: lock,
        })
    }

    /// What to show to a person once the node is ready.
    pub fn banner(&self) -> String {
        self.ready.banner(&self.reachability)
    }

    /// Tells programs that wait for the node.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_ready_file(&self, path: &Path) -> Result<(), ServerError> {
        self.ready.write(path).map_err(|source| io(&path.display().to_string(), source))
    }

    /// Returns when the operator asks for a shutdown, or with an error when the node cannot go on.
    ///
    /// # Errors
    /// [`ServerError::Engine`]: a storage fault, after which nothing is accepted.
    pub async fn join(&mut self) -> Result<(), ServerError> {
        tokio::select! {
            ended = &mut self.ended => match ended {
                Ok(Err(error)) => Err(ServerError::Engine(error.to_string())),
                _ => Err(ServerError::Engine("the engine ended unasked".into())),
            },
            _ = self.shutdown.wait_for(|asked| *asked) => Ok(()),
        }
    }

    /// Stops in order: no new clients, what is in flight is finished, the store is closed.
    ///
    /// # Errors
    /// [`ServerError::Engine`] when the store fails while closing.
    pub async fn shutdown(self) -> Result<(), ServerError> {
        self.stop.send_replace(true);
        self.engine.stop().await;
        let ended = self.ended.await;
        // Sessions still write what they were told last.
        let _ = tokio::time::timeout(FAREWELL, self.shared.all_ended(self.max_sessions)).await;
        match ended {
            Ok(Err(error)) => Err(ServerError::Engine(error.to_string())),
            _ => Ok(()),
        }
    }
}

fn io(what: &str, source: std::io::Error) -> ServerError {
    ServerError::Io { what: what.to_owned(), source }
}

async fn listen(addresses: &[SocketAddr]) -> Result<Vec<(SocketAddr, TcpListener)>, ServerError> {
    let mut bound = Vec::new();
    for address in addresses {
        let failed = |source| ServerError::Listen { address: *address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        bound.push((listener.local_addr().map_err(failed)?, listener));
    }
    Ok(bound)
}

/// Recovers the store, starts the core on it, and the engine on a thread of its own.
fn start_engine(
    config: &Config,
    identity: &Identity,
    name: String,
    data_dir: &Path,
) -> Result<(EngineHandle, oneshot::Receiver<Result<(), EngineError>>), ServerError> {
    let files =
        RealFiles::new(journal_dir(data_dir)).map_err(|source| io("the journal", source))?;
    let index = Some(index_dir(data_dir));
    let options = config.store.journal_options();
    let segment_bytes = options.segment_bytes;
    let (journal, recovered) = Journal::open(files, index, options)?;
    let mut run = [0; 8];
    getrandom::fill(&mut run).map_err(IdentityError::Random)?;
    let keys = identity.core_keys(config.node.network.clone(), name);
    let core = Core::start(config.custody.clone(), keys, &recovered, run, clock::now())?;
    let (mut engine, handle) = Engine::new(core, journal, segment_bytes, config.store.max_bytes);
    engine.begin().map_err(|error| ServerError::Engine(error.to_string()))?;
    let (done, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|source| io("the engine", source))?;
    thread::Builder::new()
        .name("engine".into())
        .spawn(move || {
            let _ = done.send(runtime.block_on(engine.run()));
        })
        .map_err(|source| io("the engine", source))?;
    Ok((handle, ended))
}

/// Where the journal lies.
pub(crate) fn journal_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("journal")
}

/// Where the index lies; it can be deleted while the node is stopped.
pub(crate) fn index_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("index")
}

/// How clients may reach a listener: an address that stands for all is no use in a link, so this
/// machine's own in the local network is put there, then loopback.
fn reachable_as(listener: &SocketAddr) -> Vec<String> {
    if !listener.ip().is_unspecified() {
        return vec![listener.to_string()];
    }
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.port()));
    // Connecting a datagram socket sends nothing; it only asks which address would be used. The
    // target is from the block for documentation (RFC 5737).
    let local = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).map(|()| socket))
        .and_then(|socket| socket.local_addr())
        .map(|local| SocketAddr::new(local.ip(), listener.port()));
    local.into_iter().chain([loopback]).map(|address| address.to_string()).collect()
}

fn node_link(config: &Config, identity: &Identity, addresses: Vec<String>) -> NodeLink {
    NodeLink {
        network: config.node.network.clone(),
        node: identity.node(),
        addresses,
        name: config.node.name.clone(),
    }
}

async fn generation(engine: &EngineHandle) -> Result<u64, ServerError> {
    let generation = engine.look(|core, _| core.generation()).await;
    generation.map_err(|stopped| ServerError::Engine(stopped.to_string()))
}

/// The node's signed record, encoded as the second Noise message carries it.
fn node_record(
    config: &Config,
    identity: &Identity,
    ready: &Ready,
    generation: u64,
) -> Result<Bytes, codec::CodecError> {
    let issued = clock::now() / 1000;
    let record = NodeRecord {
        version: RECORD_VERSION,
        flags: 0,
        node: identity.node(),
        seq: issued,
        generation,
        next_key: None,
        noise: noise::public_key(&identity.noise()),
        next_noise: None,
        client: ready.client.clone(),
        p2p: Vec::new(),
        relays: Vec::new(),
        name: config.node.name.clone(),
        region: config.node.region.clone(),
        versions: PROTOCOL_VERSIONS,
        features: 0,
        max_body: MAX_BODY as u64,
        max_deadline: config.custody.max_deadline,
        issued,
        expires: issued + NODE_RECORD_SECONDS,
    };
    let signed = Signed::new(&record, &identity.signing(), &config.node.network)?;
    Ok(codec::encode(&signed)?.into())
}

async fn renew_record(
    (shared, engine): (Arc<gateway::Shared>, EngineHandle),
    config: Config,
    identity: Identity,
    ready: Ready,
) {
    loop {
        tokio::time::sleep(RECORD_RENEWAL).await;
        let Ok(generation) = generation(&engine).await else { return };
        match node_record(&config, &identity, &ready, generation) {
            Ok(record) => shared.set_record(record),
            Err(error) => tracing::error!(%error, "the node's record cannot be renewed"),
        }
    }
}
