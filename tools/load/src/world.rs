//! The nodes under load: our own, or targets.

use postroad_cli::Printer;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::args::RunArgs;
use crate::error::LoadError;
use crate::node::{self, Node};
use crate::session::Place;
use crate::trace::Counter;
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
    /// What counts syncs from outside.
    pub(crate) counter: Option<Counter>,
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
        let counter = if args.count_syncs { counter(&printer) } else { None };
        if args.target.is_empty() {
            printer.progress(&format!("starting {count} posthoused"));
            for _ in 0..count {
                let peer = nodes.first().map(Node::link);
                let node = Node::start(args.dir.as_deref(), peer, counter).await?;
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
            counter,
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

    /// What the nodes used so far, with what takes time to ask first: a phase begins with what this
    /// returns. None if it cannot be known.
    pub(crate) async fn usage(&self) -> Result<Option<Usage>, LoadError> {
        let pids = self.pids();
        if pids.is_empty() {
            return Ok(None);
        }
        let (syncs, traced_syncs) = self.syncs().await?;
        Ok(Some(Usage { syncs, traced_syncs, ..Usage::of(&pids)? }))
    }

    /// Syncs so far: as the nodes count them, and as is counted from outside.
    async fn syncs(&self) -> Result<(u64, Option<u64>), LoadError> {
        let (mut syncs, mut traced) = (0, (!self.nodes.is_empty()).then_some(0));
        for node in &self.nodes {
            syncs += node.syncs().await?;
            traced = traced.zip(node.traced_syncs().await?).map(|(a, b)| a + b);
        }
        Ok((syncs, traced))
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

    /// What they used from then until this is called.
    pub(crate) async fn used(&self, since: Option<Usage>) -> Result<Option<Usage>, LoadError> {
        let Some(then) = since else { return Ok(None) };
        let now = Usage::of(&self.pids())?;
        let (syncs, traced_syncs) = self.syncs().await?;
        Ok(Some(Usage { syncs, traced_syncs, ..now } - then))
    }
}

/// What counts syncs from outside. Says loudly when nothing can, or only what costs the node.
fn counter(printer: &Printer) -> Option<Counter> {
    let counter = Counter::find();
    match counter {
        Some(Counter::Perf) => {}
        Some(Counter::Strace) => printer.warn(
            "syncs are counted by strace, which costs the node CPU; perf, run as root, costs none",
        ),
        None => printer.warn(
            "NOT COUNTED FROM OUTSIDE: neither perf nor strace is installed and may count; syncs \
             are the node's own count only",
        ),
    }
    counter
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
