//! Posthouses: starting, stopping, their turns, their clocks and records.

use postroad_core::changes::Changes;
use postroad_core::{Config, Input, Output, Registration};
use postroad_proto::PROTOCOL_VERSIONS;
use postroad_proto::ids::{Hash, NodeId};
use postroad_proto::limits::{MAX_BODY, NODE_RECORD_SECONDS};
use postroad_proto::link::NodeLink;
use postroad_proto::record::{NodeRecord, RECORD_VERSION};
use postroad_proto::signed::Signed;
use postroad_store::SimFiles;

use super::{DAY, Event, MINUTE, Rule, SECOND, World};
use crate::cluster::posthouse::{Broken, Posthouse};

/// Counts the starts of a node: what was meant for an earlier one is void.
pub type Boot = u64;

/// How often a node looks at its deadlines and tidies its disk.
const CHORES: u64 = MINUTE;
/// Ticks of a node within one millisecond that cannot be meant.
const SPINNING: u32 = 1000;

pub struct Host {
    pub house: Posthouse,
    pub id: NodeId,
    /// How far its clock is ahead, milliseconds.
    pub skew: i64,
    pub boot: Boot,
    turn_due: bool,
    tick_at: u64,
    /// Ticks at the present time.
    ticks: (u64, u32),
    /// What it was about to commit when its disk failed.
    pub torn: Option<Changes>,
    /// What its disk held at some time.
    pub copy: Option<SimFiles>,
    /// Whether its disk was ever replaced by an earlier copy.
    pub rolled_back: bool,
    /// Whether its clock was ever wrong by more than minutes.
    pub skewed: bool,
}

impl Host {
    pub fn is_up(&self) -> bool {
        self.house.is_running()
    }
}

pub fn address(node: usize) -> String {
    format!("/ip4/10.0.0.{node}/tcp/7452")
}

impl World {
    pub(super) fn found_hosts(&mut self) {
        let config = Config {
            registration: Registration::Open,
            mailbox_messages: 300,
            mailbox_bytes: 1 << 20,
            ..Config::default()
        };
        for number in 0..self.plan.nodes {
            let mut house = Posthouse::new(number as u8, config.clone());
            if self.plan.rule == Rule::AckBeforeCommit {
                house.broken = Broken::AnswerBeforeCommit;
            }
            let id = house.node();
            self.hosts.push(Host {
                house,
                id,
                skew: 0,
                boot: 0,
                turn_due: false,
                tick_at: u64::MAX,
                ticks: (0, 0),
                torn: None,
                copy: None,
                rolled_back: false,
                skewed: false,
            });
        }
        for node in 0..self.plan.nodes {
            self.start(node);
        }
    }

    pub(super) fn index_of(&self, id: &NodeId) -> Option<usize> {
        self.hosts.iter().position(|host| host.id == *id)
    }

    /// What a node's clock shows.
    pub(super) fn local(&self, node: usize) -> u64 {
        self.now.saturating_add_signed(self.hosts[node].skew)
    }

    /// Starts a node on what its disk holds.
    pub(super) fn start(&mut self, node: usize) {
        let now = self.local(node);
        let host = &mut self.hosts[node];
        let Ok(recovered) = host.house.start(now) else {
            return self.stop(node, true, MINUTE);
        };
        host.turn_due = false;
        host.tick_at = u64::MAX;
        let boot = host.boot;
        self.note(format!("node {node} starts"));
        self.check_recovered(node, &recovered);
        let links = self.bootstrap();
        self.hosts[node].house.core().bootstrap(links);
        self.renew(node);
        self.on_turn(node, boot);
        self.after(CHORES, Event::Chores(node, boot));
        self.after(DAY, Event::Renew(node, boot));
    }

    pub(super) fn on_start(&mut self, node: usize, boot: Boot) {
        if self.hosts[node].boot == boot && !self.hosts[node].is_up() {
            self.hosts[node].house.files.set_capacity(None);
            self.hosts[node].house.files.fail_next_sync(0);
            self.start(node);
        }
    }

    /// The process is gone. It comes back after `wait`.
    pub(super) fn stop(&mut self, node: usize, power: bool, wait: u64) {
        let seed = self.dice.any();
        self.note(format!("node {node} {}", if power { "loses its power" } else { "is killed" }));
        let host = &mut self.hosts[node];
        host.boot += 1;
        let boot = host.boot;
        if power {
            host.house.power_loss(seed);
        } else {
            host.house.kill();
        }
        self.forget_roads_of(node);
        self.forget_clients_of(node);
        self.after(wait, Event::Start(node, boot));
    }

    pub(super) fn input(&mut self, node: usize, input: Input) {
        let now = self.local(node);
        let host = &mut self.hosts[node];
        if !host.is_up() {
            return;
        }
        host.house.input(now, input);
        self.soon_turn(node);
    }

    /// The group gathers for a moment.
    fn soon_turn(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        if !host.turn_due {
            host.turn_due = true;
            let boot = host.boot;
            let wait = self.dice.below(4);
            self.after(wait, Event::Turn(node, boot));
        }
    }

    pub(super) fn on_turn(&mut self, node: usize, boot: Boot) {
        let now = self.local(node);
        let host = &mut self.hosts[node];
        if host.boot != boot || !host.is_up() {
            return;
        }
        host.turn_due = false;
        let turn = host.house.turn(now);
        for changes in &turn.commits {
            self.tally.commits += 1;
            self.check_commit(node, changes);
        }
        for output in turn.outputs {
            self.record(node, &output);
            match output {
                Output::Frame { session, frame } => self.tell_device(session, frame),
                Output::Known { .. } => {}
                Output::Close { session, .. } => self.hang_up(session),
                Output::Road(command) => self.command(node, command),
            }
        }
        self.hosts[node].torn = turn.torn;
        if turn.died {
            self.tally.see("storage faults");
            let wait = self.dice.within(SECOND, MINUTE);
            self.stop(node, true, wait);
        } else {
            self.set_tick(node);
        }
    }

    fn set_tick(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        if !host.house.is_running() {
            return;
        }
        let Some(at) = host.house.core().next_timeout() else { return };
        let at = at.saturating_add_signed(-host.skew).max(self.now);
        // A later time than the one that is set already is seen to when that one comes.
        if at < host.tick_at {
            host.tick_at = at;
            let boot = host.boot;
            self.at(at, Event::Tick(node, boot));
        }
    }

    pub(super) fn on_tick(&mut self, node: usize, boot: Boot) {
        let now = self.local(node);
        let host = &mut self.hosts[node];
        if host.boot != boot || !host.is_up() || host.tick_at > self.now {
            return;
        }
        host.tick_at = u64::MAX;
        host.ticks =
            if host.ticks.0 == self.now { (self.now, host.ticks.1 + 1) } else { (self.now, 0) };
        if host.ticks.1 > SPINNING {
            self.fail(&format!("node {node} wants to be woken again and again"));
        }
        host.house.core().tick(now);
        self.on_turn(node, boot);
    }

    pub(super) fn on_chores(&mut self, node: usize, boot: Boot) {
        let now = self.local(node);
        let host = &mut self.hosts[node];
        if host.boot != boot || !host.is_up() {
            return;
        }
        host.house.maintain(now);
        if !host.is_up() {
            return self.stop(node, true, MINUTE);
        }
        self.after(CHORES, Event::Chores(node, boot));
        self.on_turn(node, boot);
    }

    pub(super) fn on_renew(&mut self, node: usize, boot: Boot) {
        if self.hosts[node].boot == boot && self.hosts[node].is_up() {
            self.renew(node);
            self.soon_turn(node);
            self.after(DAY, Event::Renew(node, boot));
        }
    }

    /// A clock is set, by an operator or by itself. Owners of a core look at the clock often.
    pub(super) fn set_clock(&mut self, node: usize, skew: i64) {
        let host = &mut self.hosts[node];
        host.skew = skew;
        host.tick_at = self.now;
        let boot = host.boot;
        self.at(self.now, Event::Tick(node, boot));
    }

    /// Makes the node's record anew.
    pub(super) fn renew(&mut self, node: usize) {
        let now = self.local(node);
        let host = &mut self.hosts[node];
        let (house, id) = (&mut host.house, host.id);
        let name = house.name();
        let signing = house.signing();
        let core = house.core();
        let issued = now / 1000;
        let record = NodeRecord {
            version: RECORD_VERSION,
            flags: 0,
            node: id,
            seq: core.own_record_seq(now),
            generation: core.generation(),
            next_key: None,
            noise: Hash(id.0),
            next_noise: None,
            client: vec![],
            p2p: vec![address(node)],
            relays: vec![],
            name,
            region: String::new(),
            versions: PROTOCOL_VERSIONS,
            features: 0,
            max_body: MAX_BODY as u64,
            max_deadline: 30 * DAY / 1000,
            issued,
            expires: issued + NODE_RECORD_SECONDS,
        };
        let record = Signed::new(&record, &signing, &self.network).unwrap();
        core.set_record(now, record);
    }

    /// What the network's definition names: the first two nodes.
    fn bootstrap(&self) -> Vec<NodeLink> {
        let first = self.hosts.iter().take(2).enumerate();
        let links = first.map(|(node, host)| NodeLink {
            network: self.network.clone(),
            node: host.id,
            addresses: vec![],
            name: String::new(),
            p2p: vec![address(node)],
        });
        links.collect()
    }
}
