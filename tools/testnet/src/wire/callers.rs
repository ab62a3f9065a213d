//! Who connects, asked for many connections at once: a look at the kernel's tables is slow.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::sleep,
};

use super::owner::{Ends, Owner, owners};
use crate::{process::Process, state::Testnet};

/// Most connections that one look is for.
const MOST: usize = 1_024;
/// A node's process is in the state file well before it connects to anybody.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(50);

/// Who has connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A node of the network, by its name.
    Node(String),
    /// A program of this machine that is no node of the network.
    Outside,
    /// It has closed the connection already, so nobody can tell any more.
    Gone,
}

/// Knows callers by their connections.
pub(super) struct Callers {
    asks: mpsc::Sender<Ask>,
}

struct Ask {
    ends: Ends,
    answer: oneshot::Sender<Caller>,
}

impl Callers {
    /// For the network in this directory. Runs until it is dropped.
    pub(super) fn new(dir: &Path) -> Self {
        let (asks, asked) = mpsc::channel(MOST);
        tokio::spawn(answer(dir.to_owned(), asked));
        Callers { asks }
    }

    /// Who has connected from `there` to `here`.
    pub(super) async fn who(&self, there: SocketAddr, here: SocketAddr) -> Caller {
        let mut caller = Caller::Gone;
        for attempt in 0..TRIES {
            if attempt > 0 {
                sleep(PAUSE).await;
            }
            let (answer, answered) = oneshot::channel();
            if self.asks.send(Ask { ends: (there, here), answer }).await.is_err() {
                break;
            }
            caller = answered.await.unwrap_or(caller);
            if matches!(caller, Caller::Node(_)) {
                break;
            }
        }
        caller
    }
}

/// One look at a time, for all who wait for one.
async fn answer(dir: PathBuf, mut asked: mpsc::Receiver<Ask>) {
    let mut asks = Vec::new();
    while asked.recv_many(&mut asks, MOST).await > 0 {
        let ends: Vec<Ends> = asks.iter().map(|ask| ask.ends).collect();
        let dir = dir.clone();
        let callers = spawn_blocking(move || callers(&dir, &ends)).await.unwrap_or_default();
        for (ask, caller) in asks.drain(..).zip(callers) {
            // Whoever asked may be gone.
            let _ = ask.answer.send(caller);
        }
    }
}

/// Processes change with every restart, so the state file is read each time.
fn callers(dir: &Path, ends: &[Ends]) -> Vec<Caller> {
    let nodes = Testnet::load(Some(dir)).map(|net| net.nodes).unwrap_or_default();
    let running: Vec<(&str, &Process)> = nodes
        .iter()
        .filter_map(|node| Some((node.name.as_str(), node.process.as_ref()?)))
        .collect();
    let pids: Vec<u32> = running.iter().map(|(_, process)| process.pid).collect();
    let caller = |owner| match owner {
        Owner::Asked(index) => Caller::Node(running[index].0.to_owned()),
        Owner::Other => Caller::Outside,
        Owner::Nobody => Caller::Gone,
    };
    owners(ends, &pids).into_iter().map(caller).collect()
}
