//! A posthoused of our own: started on a data directory that goes with it, killed, started again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use postroad_proto::link::NodeLink;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::error::LoadError;
use crate::session::Place;
use crate::trace::Counter;

/// A node that is not ready, or has not ended, by then has failed. With tens of millions of stored
/// messages either takes its time.
const PATIENCE: Duration = Duration::from_secs(600);
/// The metric that counts syncs of the journal.
const SYNCS: &str = "postroad_store_syncs_total";
/// The metric of connected nodes.
const PEERS: &str = "postroad_peers";
const LOOK: Duration = Duration::from_millis(5);

/// Registration is open, and what would end a run early is out of the way. What costs time per
/// message is as in any node.
const CONFIG: &str = "\
[node]
network = \"postroad-load\"
[custody]
registration = \"open\"
max_accounts = 10000000
outbox_messages = 100000000
outbox_bytes = 1000000000000
outbox_bytes_per_node = 1000000000000
mailbox_messages = 100000000
mailbox_bytes = 1000000000000
[gateway]
max_sessions = 100000
";

/// What a node says once it is ready.
#[derive(Debug, Deserialize)]
struct Ready {
    client: Vec<String>,
    p2p: Vec<String>,
    admin: String,
    admin_token_file: PathBuf,
    link: String,
}

/// A node as a process, ended and removed when dropped.
#[derive(Debug)]
pub(crate) struct Node {
    dir: TempDir,
    program: PathBuf,
    peer: Option<String>,
    /// What counts its syncs from outside.
    counter: Option<Counter>,
    /// That, where it is a process beside the node.
    counting: Option<Child>,
    process: Option<Child>,
    /// From the first start on: it comes back on the same addresses.
    ready: Option<Ready>,
}

impl Node {
    /// Starts a node with its data below `below`, which is introduced to the node of link `peer`.
    pub(crate) async fn start(
        below: Option<&Path>,
        peer: Option<String>,
        counter: Option<Counter>,
    ) -> Result<Self, LoadError> {
        let mut dir = tempfile::Builder::new();
        dir.prefix("postroad-load-");
        let dir = below.map_or_else(|| dir.tempdir(), |below| dir.tempdir_in(below))?;
        fs::write(dir.path().join("posthoused.toml"), CONFIG)?;
        let program = posthoused()?;
        let mut node =
            Self { dir, program, peer, counter, counting: None, process: None, ready: None };
        node.restart().await?;
        Ok(node)
    }

    /// Starts it on its data and, if it ran before, its addresses, and waits until it is ready.
    pub(crate) async fn restart(&mut self) -> Result<(), LoadError> {
        self.launch()?;
        self.wait_ready().await
    }

    /// Starts its process without waiting for anything.
    pub(crate) fn launch(&mut self) -> Result<(), LoadError> {
        let _ = fs::remove_file(self.ready_file());
        self.process = Some(self.command()?.arg("--ready-file").arg(self.ready_file()).spawn()?);
        Ok(())
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn wait_ready(&mut self) -> Result<(), LoadError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read(self.ready_file()).unwrap_or_default();
            if let Ok(ready) = serde_json::from_slice(&text) {
                self.ready = Some(ready);
                if let Some((counter, pid)) = self.counter.zip(self.pid()) {
                    self.counting = counter.attach(pid, self.dir.path()).await?;
                }
                return Ok(());
            }
            if self.has_ended()? || Instant::now() > deadline {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                return Err(LoadError::Node(format!("posthoused did not get ready: {log}")));
            }
            sleep(LOOK).await;
        }
    }

    fn command(&self) -> Result<Command, LoadError> {
        let any = "127.0.0.1:0".to_owned();
        let ready = self.ready.as_ref();
        let client = ready.and_then(|ready| ready.client.first()).unwrap_or(&any);
        let admin = ready.map_or(&any, |ready| &ready.admin);
        let p2p = ready.and_then(|ready| socket_address(ready.p2p.first()?)).unwrap_or(any.clone());
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = match self.counter {
            Some(counter) => counter.command(&self.program, self.dir.path()),
            None => Command::new(&self.program),
        };
        command.args(["run", "--data-dir"]).arg(self.dir.path());
        command.args(["--listen", client, "--admin", admin, "--p2p-listen", &p2p]);
        command.args(self.peer.iter().flat_map(|link| ["--peer", link]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // Settings of the caller's are for the caller's own node.
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("POSTROAD_") {
                command.env_remove(key);
            }
        }
        Ok(command)
    }

    fn ready_file(&self) -> PathBuf {
        self.dir.path().join("ready.json")
    }

    /// Where its data lies.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("posthoused.log")
    }

    fn has_ended(&mut self) -> Result<bool, LoadError> {
        Ok(match &mut self.process {
            Some(process) => process.try_wait()?.is_some(),
            None => true,
        })
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Both fail only for a process that has ended.
            let _ = process.kill();
            let _ = process.wait();
        }
        self.stop_counting();
    }

    /// What counts ends with the node by itself, a little later.
    fn stop_counting(&mut self) {
        if let Some(mut counting) = self.counting.take() {
            let _ = counting.kill();
            let _ = counting.wait();
        }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn terminate(&mut self) -> Result<(), LoadError> {
        if let Some(process) = &self.process {
            kill_process(Pid::from_child(process), Signal::TERM).map_err(std::io::Error::from)?;
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.has_ended()? {
            if Instant::now() > deadline {
                return Err(LoadError::Node("posthoused does not end".into()));
            }
            sleep(LOOK).await;
        }
        self.process = None;
        self.stop_counting();
        Ok(())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// How often it made its journal durable since it started, as its metrics say.
    pub(crate) async fn syncs(&self) -> Result<u64, LoadError> {
        self.metric(SYNCS).await
    }

    /// How many nodes it is connected to.
    pub(crate) async fn peers(&self) -> Result<u64, LoadError> {
        self.metric(PEERS).await
    }

    /// How often it has made something durable as the kernel sees it, over all its starts.
    pub(crate) async fn traced_syncs(&self) -> Result<Option<u64>, LoadError> {
        match self.counter {
            Some(counter) => Ok(Some(counter.count(self.dir.path()).await?)),
            None => Ok(None),
        }
    }

    /// The ports at which it listens for clients and for nodes.
    pub(crate) fn ports(&self) -> Option<(u16, u16)> {
        let ready = self.ready.as_ref()?;
        let port = |address: &str| address.rsplit_once(':')?.1.parse().ok();
        Some((port(ready.client.first()?)?, port(&socket_address(ready.p2p.first()?)?)?))
    }

    async fn metric(&self, name: &str) -> Result<u64, LoadError> {
        let Some(ready) = &self.ready else { return Ok(0) };
        let token = fs::read_to_string(&ready.admin_token_file)?;
        let mut stream = TcpStream::connect(&ready.admin).await?;
        let question = format!(
            "GET /metrics HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            ready.admin,
            token.trim()
        );
        stream.write_all(question.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.ok_or_else(|| LoadError::Node(format!("the node has no metric {name}")))
    }

    /// Its node link.
    pub(crate) fn link(&self) -> String {
        self.ready.as_ref().map(|ready| ready.link.clone()).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where a node link leads.
pub(crate) fn place(link: &str) -> Result<Place, LoadError> {
    let link: NodeLink = link.parse().map_err(|error| LoadError::Usage(format!("{error}")))?;
    let address = link.addresses.iter().find_map(|address| address.parse().ok());
    let address = address
        .ok_or_else(|| LoadError::Usage("the link has no address of numbers only".into()))?;
    Ok(Place { network: link.network, node: link.node, address })
}

/// The node's program: in the directory POSTROAD_BIN, or next to this one.
fn posthoused() -> Result<PathBuf, LoadError> {
    let dir = match std::env::var_os("POSTROAD_BIN").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => std::env::current_exe()?.parent().map(PathBuf::from).unwrap_or_default(),
    };
    let path = dir.join("posthoused");
    if path.is_file() {
        return Ok(path);
    }
    let text = "build it (cargo build --release -p posthoused), or set POSTROAD_BIN";
    Err(LoadError::Node(format!("there is no posthoused in {}: {text}", dir.display())))
}

/// `host:port` of a multiaddress such as `/ip4/127.0.0.1/tcp/7452`.
fn socket_address(multiaddress: &str) -> Option<String> {
    let mut parts = multiaddress.split('/').skip(2);
    let (host, _, port) = (parts.next()?, parts.next()?, parts.next()?);
    Some(format!("{host}:{port}"))
}
