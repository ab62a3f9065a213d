//! The nodes under load: our own, or targets.

use postroad_cli::Printer;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::args::RunArgs;
use crate::error::LoadError;
use crate::node::{self, Node};
use crate::session::Place;
use crate::trace;
use crate::usage::Usage;
use crate::user::User;
use crate::wire::Crossed;

/// The nodes under load, and what all phases of a run need.
pub(crate) struct World {
    pub(crate) places: Vec<Place>,
    /// Empty with targets.
    pub(crate) nodes: Vec<Node>,
    /// Processes that are watched beside our own nodes.
    watched: Vec<u32>,
    random: ChaCha8Rng,
    drawn: usize,
    /// Whether bytes on the wire are counted.
    counts_bytes: bool,
    /// Behind the stamp of every body.
    pub(crate) filler: Vec<u8>,
    pub(crate) printer: Printer,
}

impl World {
    /// Starts the nodes of a workload, or takes the targets in their place.
    pub(crate) async fn new(
        args: &RunArgs,
        seed: u64,
        printer: Printer,
    ) -> Result<Self, LoadError> {
        let count = args.workload.nodes();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut filler = vec![0; args.size];
        random.fill_bytes(&mut filler);
        let (mut nodes, mut places) = (Vec::<Node>::new(), Vec::new());
        let traced = args.count_syncs && args.target.is_empty() && can_trace(&printer);
        if args.target.is_empty() {
            printer.progress(&format!("starting {count} posthoused"));
            for _ in 0..count {
                let peer = nodes.first().map(Node::link);
                let node = Node::start(args.dir.as_deref(), peer, traced).await?;
                places.push(node::place(&node.link())?);
                nodes.push(node);
            }
        } else {
            for link in &args.target {
                places.push(node::place(link)?);
            }
        }
        check(&places, count, args.allow_remote)?;
        Ok(Self {
            places,
            nodes,
            watched: args.pid.clone(),
            random,
            drawn: 0,
            counts_bytes: args.count_bytes,
            filler,
            printer,
        })
    }

    /// So many new users; `home` says at which node each is.
    pub(crate) fn users(&mut self, count: usize, home: impl Fn(usize) -> usize) -> Vec<User> {
        let first = self.drawn;
        self.drawn += count;
        let (random, places) = (&mut self.random, &self.places);
        (0..count)
            .map(|user| User::draw(random, (first + user) as u32, &places[home(user)]))
            .collect()
    }

    /// How many users there are: their indices are below it.
    pub(crate) fn drawn(&self) -> usize {
        self.drawn
    }

    /// The processes of the nodes; empty for targets whose processes were not named.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.nodes.iter().filter_map(Node::pid).chain(self.watched.iter().copied()).collect()
    }

    /// What the nodes used so far; none if it cannot be known.
    pub(crate) async fn usage(&self) -> Result<Option<Usage>, LoadError> {
        let pids = self.pids();
        if pids.is_empty() {
            return Ok(None);
        }
        let mut usage = Usage::of(&pids)?;
        usage.traced_syncs = (!self.nodes.is_empty()).then_some(0);
        for node in &self.nodes {
            usage.syncs += node.syncs().await?;
            usage.traced_syncs = usage.traced_syncs.zip(node.traced_syncs()?).map(|(a, b)| a + b);
        }
        Ok(Some(usage))
    }

    /// What their connections have carried so far; none if that is not to be known.
    pub(crate) fn crossed(&self) -> Result<Option<Crossed>, LoadError> {
        let (clients, nodes): (Vec<u16>, Vec<u16>) =
            self.nodes.iter().filter_map(Node::ports).unzip();
        if !self.counts_bytes || clients.is_empty() {
            return Ok(None);
        }
        Crossed::now(&clients, &nodes)
    }

    /// What they used since then.
    pub(crate) async fn used(&self, since: Option<Usage>) -> Result<Option<Usage>, LoadError> {
        Ok(self.usage().await?.zip(since).map(|(now, then)| now - then))
    }
}

/// Says loudly when syncs cannot be counted from outside; the node's own count is all there is then.
fn can_trace(printer: &Printer) -> bool {
    let possible = trace::is_possible();
    if !possible {
        let text = "NOT COUNTED FROM OUTSIDE: strace is not installed or may not trace; syncs are \
                    the node's own count only";
        printer.warn(text);
    }
    possible
}

fn check(places: &[Place], count: usize, allow_remote: bool) -> Result<(), LoadError> {
    if places.len() != count {
        let text = format!("this workload takes {count} --target, got {}", places.len());
        return Err(LoadError::Usage(text));
    }
    let remote = places.iter().find(|place| !place.address.ip().is_loopback());
    match remote.filter(|_| !allow_remote) {
        None => Ok(()),
        Some(place) => Err(LoadError::Usage(format!(
            "{} is not on this machine; --allow-remote says that its operator agrees",
            place.address
        ))),
    }
}
