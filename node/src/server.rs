//! A running node: everything bound, started in order and stopped in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use postroad_core::{Core, StartError};
use postroad_store::{DirLock, Journal, RealFiles, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::admin::{self, Admin};
use crate::clock;
use crate::config::Config;
use crate::engine::{Engine, EngineError, EngineHandle};
use crate::gateway;
use crate::identity::{self, Identity, IdentityError};
use crate::net::{self, Net, NetHandle};
use crate::ready::{self, Ready};
use crate::record::{Author, Places, RecordError};
use crate::sockets;

/// How long sessions get to take what was still to be said.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a node does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The keys.
    #[error("{0}")]
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
    /// The connections to other nodes ended by themselves.
    #[error("the connections to other nodes: {0}")]
    Net(String),
    /// A record of our own cannot be made.
    #[error("the node's record: {0}")]
    Record(String),
}

/// A node that runs.
pub struct Server {
    engine: EngineHandle,
    net: NetHandle,
    /// The engine's end, if it was not asked to.
    ended: oneshot::Receiver<Result<(), EngineError>>,
    /// The end of what holds connections to other nodes, if it was not asked to.
    net_ended: JoinHandle<()>,
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
        identity::belong_to(data_dir, &config.node.network)?;
        let name = match config.node.name.as_str() {
            "" => identity.node().to_string(),
            name => name.to_owned(),
        };
        let listeners = listen(&config.gateway.listen)?;
        let admin_listener = listen(&[config.admin.listen])?.remove(0);
        let network = config.node.network.clone();
        let net = Net::bind(&identity.signing(), &network, &config.net.listen).await;
        let net = net.map_err(|(address, source)| ServerError::Listen { address, source })?;
        let addresses: Vec<SocketAddr> = listeners.iter().map(|(at, _)| *at).collect();
        let author = Author::new(&config, &identity, places(&config, &addresses, &net.addresses));
        let link = author.link();
        let ready = Ready {
            node: identity.node().to_string(),
            name: name.clone(),
            network: network.to_string(),
            client: link.addresses.clone(),
            p2p: link.p2p.clone(),
            admin: admin_listener.0.to_string(),
            admin_token_file: data_dir.join(admin::TOKEN_FILE),
            data_dir: data_dir.to_owned(),
            pid: std::process::id(),
            link: link.to_string(),
        };
        let net_handle = net.handle();
        let (engine, ended) = start_engine(&config, &identity, name, data_dir, net_handle.clone())?;
        let net_ended = net.start(engine.clone());
        let record = author.publish(&engine).await?;
        find_others(&engine, &config).await?;
        let shared =
            gateway::Shared::new(config.gateway.clone(), network, identity.noise(), record);
        let shared = Arc::new(shared);
        let (stop, stopping) = watch::channel(false);
        let (asked, shutdown) = watch::channel(false);
        let admin = Admin::new(
            engine.clone(),
            net_handle.clone(),
            ready.clone(),
            config.clone(),
            asked,
            data_dir,
        )
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
        let renewing = author.keep_fresh(engine.clone(), net_handle.clone(), shared.clone());
        tokio::spawn(renewing);
        Ok(Self {
            engine,
            net: net_handle,
            ended,
            net_ended,
            stop,
            shutdown,
            shared,
            max_sessions: config.gateway.max_sessions as u32,
            reachability: ready::reachability(&addresses, &config),
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
    /// [`ServerError::Net`]: nothing goes between this node and others any more.
    pub async fn join(&mut self) -> Result<(), ServerError> {
        tokio::select! {
            ended = &mut self.ended => match ended {
                Ok(Err(error)) => Err(ServerError::Engine(error.to_string())),
                _ => Err(ServerError::Engine("the engine ended unasked".into())),
            },
            ended = &mut self.net_ended => Err(ServerError::Net(match ended {
                Ok(()) => "they ended unasked".into(),
                Err(fault) => fault.to_string(),
            })),
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
        self.net.stop().await;
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

fn listen(addresses: &[SocketAddr]) -> Result<Vec<(SocketAddr, TcpListener)>, ServerError> {
    let mut bound = Vec::new();
    for address in addresses {
        let failed = |source| ServerError::Listen { address: *address, source };
        let listener = sockets::listen(*address).and_then(TcpListener::from_std).map_err(failed)?;
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
    net: NetHandle,
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
    let (mut engine, handle) =
        Engine::new(core, journal, net, segment_bytes, config.store.max_bytes);
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

/// Where clients and other nodes reach the node: as the operator says, or what is listened on.
fn places(config: &Config, client: &[SocketAddr], p2p: &[SocketAddr]) -> Places {
    let or_bound = |external: &[String], bound: &[SocketAddr]| match external {
        [] => bound.iter().flat_map(sockets::reachable_as).collect(),
        external => external.to_vec(),
    };
    let p2p = or_bound(&config.net.external, p2p);
    Places {
        client: or_bound(&config.gateway.external, client),
        p2p: p2p.iter().filter_map(|address| net::multiaddress(address)).collect(),
    }
}

/// Tells the core of the nodes that the operator and the network's definition name.
async fn find_others(engine: &EngineHandle, config: &Config) -> Result<(), ServerError> {
    let (peers, bootstrap) = (config.net.peer_links(), config.net.bootstrap_links());
    let told = engine.act(move |core, _| {
        core.bootstrap(bootstrap);
        for peer in peers.iter().filter(|peer| !core.pin(peer)) {
            tracing::warn!(node = %peer.node, "net.peers names this node itself");
        }
    });
    told.await.map_err(|stopped| ServerError::Engine(stopped.to_string()))
}

impl From<RecordError> for ServerError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Stopped(stopped) => Self::Engine(stopped.to_string()),
            error @ RecordError::Codec(_) => Self::Record(error.to_string()),
        }
    }
}
