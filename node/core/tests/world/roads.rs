//! Connections between nodes, and what passes over them.
//!
//! What is said on a connection arrives in order while it lasts. When it breaks, what was on its
//! way arrives up to some point, and each side notices in its own time. Gossip floods from node to
//! node beside all that: late, twice, in any order, or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use bytes::Bytes;
use postroad_core::Input;
use postroad_core::roads::{AskId, AskedId, Command, Event as Road, GossipId, LinkId, Verdict};
use postroad_proto::frame::Frame;
use postroad_proto::ids::NodeId;

use super::hosts::{Boot, address};
use super::people::number_in;
use super::{Event, MINUTE, SECOND, World};

type Conn = u64;

/// How long an attempt to connect, or a question, may take.
const PATIENCE: u64 = 10 * SECOND;
/// How long a node knows gossip that it has seen.
const SEEN: u64 = 2 * MINUTE;

#[derive(Default)]
pub struct Roads {
    conns: BTreeMap<Conn, Connection>,
    /// For each node, the connections to others that it knows of.
    sides: Vec<BTreeMap<usize, BTreeSet<Conn>>>,
    /// What is to be done once a dialler has its connection.
    dials: BTreeMap<(usize, usize), Vec<Purpose>>,
    ends: BTreeMap<(usize, LinkId), End>,
    asks: BTreeSet<(usize, AskId)>,
    asked: BTreeMap<(usize, AskedId), (Conn, AskId)>,
    heard: BTreeMap<(usize, GossipId), (usize, Bytes)>,
    seen: Vec<BTreeMap<[u8; 32], u64>>,
    /// From whom nothing reaches whom.
    pub cut: BTreeSet<(usize, usize)>,
    /// Nodes on a slow road.
    pub slow: BTreeSet<usize>,
    last_number: u64,
}

/// Side 0 dialled. Everything in pairs is by the receiving side.
struct Connection {
    ends: [usize; 2],
    /// When the last thing said arrives.
    arrival: [u64; 2],
    /// What would arrive later is lost.
    lost_after: [u64; 2],
    /// Whether the side has not noticed yet that it is broken.
    open: [bool; 2],
}

/// One end of a mail stream.
struct End {
    conn: Conn,
    /// The number at the other end, once that is known.
    other: Option<LinkId>,
}

/// Why a connection is made.
#[derive(Debug)]
enum Purpose {
    Connect,
    Link,
    Ask(AskId, Frame),
}

#[derive(Debug)]
pub enum Packet {
    Up,
    Open { from: LinkId },
    Opened { link: LinkId, other: LinkId },
    Frame { link: LinkId, frame: Frame },
    Close { link: LinkId },
    Ask { id: AskId, frame: Frame },
    Answer { id: AskId, frame: Frame },
}

/// What is on its way.
#[derive(Debug)]
pub enum Passing {
    Dialled { from: usize, to: usize, boot: Boot },
    Packet { conn: Conn, side: usize, packet: Packet },
    Broken { conn: Conn, side: usize, reason: &'static str },
    Unanswered { node: usize, boot: Boot, id: AskId },
    Gossip { from: usize, to: usize, record: Bytes, again: bool },
}

impl Roads {
    pub fn new(nodes: usize) -> Self {
        Self {
            sides: vec![BTreeMap::new(); nodes],
            seen: vec![BTreeMap::new(); nodes],
            ..Self::default()
        }
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn one_way(&self, from: usize, to: usize) -> bool {
        !self.cut.contains(&(from, to))
    }

    pub fn peers(&self, node: usize) -> Vec<usize> {
        self.sides[node].keys().copied().collect()
    }

    fn conn(&self, node: usize, peer: usize) -> Option<Conn> {
        self.sides[node].get(&peer)?.first().copied()
    }
}

/// For the trace.
pub fn encode(command: &Command, into: &mut Vec<u8>) {
    let (number, frame) = match command {
        Command::Frame { link, frame } => (*link, frame),
        Command::Ask { id, frame, .. } => (*id, frame),
        Command::Answer { id, frame } => (*id, frame),
        other => return write!(into, "{other:?}").expect("memory takes it"),
    };
    into.extend_from_slice(&number.to_be_bytes());
    frame.encode_into(into).expect("frames encode");
}

impl World {
    pub(super) fn command(&mut self, node: usize, command: Command) {
        self.overhear(node, "says", &command);
        match command {
            Command::Connect { node: to, addresses } => {
                self.want(node, to, &addresses, Purpose::Connect);
            }
            Command::Disconnect { node: to } => {
                let Some(to) = self.index_of(&to) else { return };
                while let Some(conn) = self.roads.conn(node, to) {
                    self.break_conn(conn, "closed", (0, 0), (0, 500));
                    self.close_side(conn, side_of(&self.roads.conns[&conn], node), "closed");
                }
            }
            Command::OpenLink { node: to, addresses } => {
                self.want(node, to, &addresses, Purpose::Link);
            }
            Command::Frame { link, frame } => {
                let Some(End { conn, other: Some(other) }) = self.roads.ends.get(&(node, link))
                else {
                    return;
                };
                let (conn, link) = (*conn, *other);
                self.watch(node, conn, &frame);
                self.say(node, conn, Packet::Frame { link, frame });
            }
            Command::CloseLink { link } => {
                let Some(end) = self.roads.ends.remove(&(node, link)) else { return };
                if let Some(link) = end.other {
                    self.say(node, end.conn, Packet::Close { link });
                }
            }
            Command::Publish { record } => {
                self.roads.seen[node].insert(hash(&record), self.now);
                self.flood(node, None, &record);
            }
            Command::Verdict { id, verdict } => self.on_verdict(node, id, verdict),
            Command::Ask { id, node: to, addresses, frame } => {
                self.roads.asks.insert((node, id));
                let boot = self.hosts[node].boot;
                self.after(PATIENCE, Event::Road(Passing::Unanswered { node, boot, id }));
                self.want(node, to, &addresses, Purpose::Ask(id, frame));
            }
            Command::Answer { id, frame } => {
                if let Some((conn, id)) = self.roads.asked.remove(&(node, id)) {
                    self.say(node, conn, Packet::Answer { id, frame });
                }
            }
            Command::RenewRecord => {
                self.renew(node);
                self.on_turn(node, self.hosts[node].boot);
            }
        }
    }

    /// Does something on a connection, which is made if there is none.
    fn want(&mut self, from: usize, to: NodeId, addresses: &[String], purpose: Purpose) {
        let known = self.index_of(&to).filter(|to| addresses.contains(&address(*to)));
        let Some(index) = known else {
            return self.came_to_nothing(from, to, &purpose, "no such address");
        };
        if let Some(conn) = self.roads.conn(from, index) {
            return self.pursue(from, conn, purpose);
        }
        let waiting = self.roads.dials.entry((from, index)).or_default();
        waiting.push(purpose);
        if waiting.len() > 1 {
            return;
        }
        let boot = self.hosts[from].boot;
        let wait = if self.reaches(from, index) {
            3 * self.latency(from, index)
        } else if self.roads.cut.is_empty() {
            self.latency(from, index)
        } else {
            PATIENCE / 2
        };
        self.after(wait.min(PATIENCE), Event::Road(Passing::Dialled { from, to: index, boot }));
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        self.hosts[to].is_up() && self.roads.one_way(from, to) && self.roads.one_way(to, from)
    }

    /// Milliseconds that something takes from one node to another.
    fn latency(&mut self, from: usize, to: usize) -> u64 {
        let base = 2 + (from * 7 + to * 7 + from * to * 5) as u64 % 120;
        let usual = base + self.dice.below(base / 4 + 2);
        let slow = self.roads.slow.contains(&from) || self.roads.slow.contains(&to);
        if slow {
            return usual * 10 + self.dice.below(3 * SECOND);
        }
        // Lost on the way and sent again.
        if self.dice.once_in(50) { usual + 200 + self.dice.below(1500) } else { usual }
    }

    fn on_dialled(&mut self, from: usize, to: usize, boot: Boot) {
        if self.hosts[from].boot != boot {
            return;
        }
        let purposes = self.roads.dials.remove(&(from, to)).unwrap_or_default();
        // The other may have dialled meanwhile; sometimes both connections stay.
        let present = self.roads.conn(from, to);
        if present.is_none() && !self.reaches(from, to) {
            let id = self.hosts[to].id;
            for purpose in purposes {
                self.came_to_nothing(from, id, &purpose, "no answer");
            }
            return;
        }
        let conn = match present {
            Some(conn) => conn,
            None => self.connect(from, to),
        };
        for purpose in purposes {
            self.pursue(from, conn, purpose);
        }
    }

    fn connect(&mut self, from: usize, to: usize) -> Conn {
        let conn = self.roads.number();
        let held = Connection {
            ends: [from, to],
            arrival: [self.now; 2],
            lost_after: [u64::MAX; 2],
            open: [true; 2],
        };
        self.roads.conns.insert(conn, held);
        self.say(from, conn, Packet::Up);
        self.side_up(from, to, conn, true);
        conn
    }

    fn side_up(&mut self, node: usize, peer: usize, conn: Conn, outbound: bool) {
        let conns = self.roads.sides[node].entry(peer).or_default();
        conns.insert(conn);
        if conns.len() == 1 {
            let (id, address) = (self.hosts[peer].id, address(peer));
            self.road(node, Road::PeerUp { node: id, outbound, address });
        }
    }

    fn pursue(&mut self, from: usize, conn: Conn, purpose: Purpose) {
        match purpose {
            Purpose::Connect => {}
            Purpose::Link => {
                let link = self.roads.number();
                self.roads.ends.insert((from, link), End { conn, other: None });
                self.say(from, conn, Packet::Open { from: link });
            }
            // A question may get lost by itself: its stream is reset.
            Purpose::Ask(..) if self.dice.once_in(100) => {}
            Purpose::Ask(id, frame) => self.say(from, conn, Packet::Ask { id, frame }),
        }
    }

    fn came_to_nothing(&mut self, node: usize, to: NodeId, purpose: &Purpose, reason: &str) {
        let reason = reason.to_owned();
        match purpose {
            Purpose::Connect => self.road(node, Road::ConnectFailed { node: to, reason }),
            Purpose::Link => self.road(node, Road::LinkFailed { node: to, reason }),
            Purpose::Ask(id, _) => self.answered(node, *id, Err(reason)),
        }
    }

    fn answered(&mut self, node: usize, id: AskId, answer: Result<Frame, String>) {
        if self.roads.asks.remove(&(node, id)) {
            self.road(node, Road::Answered { id, answer });
        }
    }

    fn road(&mut self, node: usize, event: Road) {
        self.overhear(node, "hears", &event);
        self.input(node, Input::Road(event));
    }

    /// `node` says something on a connection.
    fn say(&mut self, node: usize, conn: Conn, packet: Packet) {
        let Some(held) = self.roads.conns.get(&conn) else { return };
        let side = 1 - side_of(held, node);
        let (from, to) = (node, held.ends[side]);
        let wait = self.latency(from, to);
        let Some(held) = self.roads.conns.get_mut(&conn) else { return };
        let at = held.arrival[side].max(self.now + wait);
        held.arrival[side] = at;
        self.at(at, Event::Road(Passing::Packet { conn, side, packet }));
    }

    pub(super) fn on_road(&mut self, passing: Passing) {
        match passing {
            Passing::Dialled { from, to, boot } => self.on_dialled(from, to, boot),
            Passing::Packet { conn, side, packet } => self.on_packet(conn, side, packet),
            Passing::Broken { conn, side, reason } => self.close_side(conn, side, reason),
            Passing::Unanswered { node, boot, id } => {
                if self.hosts[node].boot == boot {
                    self.answered(node, id, Err("no answer in time".into()));
                }
            }
            Passing::Gossip { from, to, record, again } => {
                self.on_gossip(from, to, record, again);
            }
        }
    }

    fn on_packet(&mut self, conn: Conn, side: usize, packet: Packet) {
        let Some(held) = self.roads.conns.get(&conn) else { return };
        if self.now > held.lost_after[side] || !held.open[side] {
            return;
        }
        let (node, peer) = (held.ends[side], held.ends[1 - side]);
        let id = self.hosts[peer].id;
        match packet {
            Packet::Up => self.side_up(node, peer, conn, false),
            Packet::Open { from } => {
                let link = self.roads.number();
                self.roads.ends.insert((node, link), End { conn, other: Some(from) });
                self.road(node, Road::LinkUp { link, node: id, outbound: false });
                self.say(node, conn, Packet::Opened { link: from, other: link });
            }
            Packet::Opened { link, other } => {
                let Some(end) = self.roads.ends.get_mut(&(node, link)) else { return };
                end.other = Some(other);
                self.road(node, Road::LinkUp { link, node: id, outbound: true });
            }
            Packet::Frame { link, frame } => {
                if !self.roads.ends.contains_key(&(node, link)) {
                    return;
                }
                if let Some(forged) = self.forge_reply(peer, node, &frame) {
                    return self.reply_instead(node, conn, link, forged);
                }
                self.road(node, Road::Frame { link, frame });
            }
            Packet::Close { link } => {
                if self.roads.ends.remove(&(node, link)).is_some() {
                    self.road(
                        node,
                        Road::LinkDown { link, reason: "closed".into(), garbage: false },
                    );
                }
            }
            Packet::Ask { id: ask, frame } => {
                let asked = self.roads.number();
                self.roads.asked.insert((node, asked), (conn, ask));
                self.road(node, Road::Asked { id: asked, node: id, frame });
            }
            Packet::Answer { id, frame } => self.answered(node, id, Ok(frame)),
        }
    }

    /// `node` does not hear the batch; the sender hears an answer that is not true.
    fn reply_instead(&mut self, node: usize, conn: Conn, link: LinkId, forged: Frame) {
        let Some(End { other: Some(other), .. }) = self.roads.ends.get(&(node, link)) else {
            return;
        };
        let other = *other;
        self.say(node, conn, Packet::Frame { link: other, frame: forged });
        // Whoever forges is in no state to go on in earnest.
        self.break_conn(conn, "reset", (2 * MINUTE, 2 * MINUTE), (2 * MINUTE, 3 * MINUTE));
    }

    /// What one node says to another on a mail stream is seen as soon as it is said.
    fn watch(&mut self, from: usize, conn: Conn, frame: &Frame) {
        let Some(held) = self.roads.conns.get(&conn) else { return };
        let to = held.ends[1 - side_of(held, from)];
        match frame {
            Frame::BatchReply(reply) => self.watch_reply(from, to, reply),
            Frame::Batch(batch) => {
                for envelope in &batch.envelopes {
                    let Some(number) = number_in(&envelope.body) else { continue };
                    self.about(number, || format!("in batch {} from {from} to {to}", batch.number));
                }
            }
            _ => {}
        }
    }

    /// A connection breaks: each direction loses what arrives later than some time from now, and
    /// each side notices within some time.
    fn break_conn(
        &mut self,
        conn: Conn,
        reason: &'static str,
        lost: (u64, u64),
        noticed: (u64, u64),
    ) {
        for side in 0..2 {
            let lost_after = self.now + self.dice.within(lost.0, lost.1);
            let notice = self.now + self.dice.within(noticed.0, noticed.1);
            let Some(held) = self.roads.conns.get_mut(&conn) else { return };
            held.lost_after[side] = held.lost_after[side].min(lost_after);
            if held.open[side] {
                self.at(notice, Event::Road(Passing::Broken { conn, side, reason }));
            }
        }
    }

    fn close_side(&mut self, conn: Conn, side: usize, reason: &str) {
        let Some(held) = self.roads.conns.get_mut(&conn) else { return };
        if !core::mem::replace(&mut held.open[side], false) {
            return;
        }
        let (node, peer) = (held.ends[side], held.ends[1 - side]);
        let id = self.hosts[peer].id;
        if held.open == [false; 2] {
            self.roads.conns.remove(&conn);
        }
        let links: Vec<(LinkId, bool)> = self
            .roads
            .ends
            .range((node, 0)..=(node, u64::MAX))
            .filter(|(_, end)| end.conn == conn)
            .map(|((_, link), end)| (*link, end.other.is_some()))
            .collect();
        let early = self.dice.once_in(2);
        if early {
            self.side_down(node, peer, conn, reason);
        }
        for (link, was_up) in links {
            self.roads.ends.remove(&(node, link));
            let reason = reason.to_owned();
            self.road(
                node,
                match was_up {
                    true => Road::LinkDown { link, reason, garbage: false },
                    false => Road::LinkFailed { node: id, reason },
                },
            );
        }
        if !early {
            self.side_down(node, peer, conn, reason);
        }
    }

    fn side_down(&mut self, node: usize, peer: usize, conn: Conn, reason: &str) {
        let Some(conns) = self.roads.sides[node].get_mut(&peer) else { return };
        if conns.remove(&conn) && conns.is_empty() {
            self.roads.sides[node].remove(&peer);
            let (node_id, reason) = (self.hosts[peer].id, reason.to_owned());
            self.road(node, Road::PeerDown { node: node_id, reason });
        }
    }

    /// A node is gone, with all it knew of connections.
    pub(super) fn forget_roads_of(&mut self, node: usize) {
        let of_node = self.roads.conns.iter().filter(|(_, held)| held.ends.contains(&node));
        let conns: Vec<Conn> = of_node.map(|(conn, _)| *conn).collect();
        for conn in conns {
            // A dead process shows at once, a dead machine by its silence.
            let noticed = if self.dice.once_in(3) { (5 * SECOND, 40 * SECOND) } else { (1, 300) };
            self.break_conn(conn, "reset", (0, 100), noticed);
            if let Some(held) = self.roads.conns.get_mut(&conn) {
                let side = side_of(held, node);
                held.open[side] = false;
                if held.open == [false; 2] {
                    self.roads.conns.remove(&conn);
                }
            }
        }
        self.roads.sides[node].clear();
        self.roads.dials.retain(|(from, _), _| *from != node);
        self.roads.ends.retain(|(at, _), _| *at != node);
        self.roads.asks.retain(|(at, _)| *at != node);
        self.roads.asked.retain(|(at, _), _| *at != node);
        self.roads.heard.retain(|(at, _), _| *at != node);
        self.roads.seen[node].clear();
    }

    /// Connections over which nothing passes any more break.
    pub(super) fn break_cut(&mut self) {
        let cut = |held: &&Connection, roads: &Roads| {
            let [a, b] = held.ends;
            !roads.one_way(a, b) || !roads.one_way(b, a)
        };
        let roads = &self.roads;
        let broken: Vec<Conn> = roads
            .conns
            .iter()
            .filter(|(_, held)| cut(held, roads))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in broken {
            let [a, b] = self.roads.conns[&conn].ends;
            let free = [self.roads.one_way(b, a), self.roads.one_way(a, b)];
            self.break_conn(conn, "timed out", (0, 40 * SECOND), (5 * SECOND, 40 * SECOND));
            // In the direction that is cut nothing arrives from now on.
            let held = self.roads.conns.get_mut(&conn).expect("it is there");
            for side in (0..2).filter(|side| !free[*side]) {
                held.lost_after[side] = self.now;
            }
        }
    }

    /// One connection breaks, out of nothing.
    pub(super) fn break_one(&mut self) {
        let conns: Vec<Conn> = self.roads.conns.keys().copied().collect();
        if let Some(conn) = self.dice.pick(&conns) {
            let noticed = if self.dice.once_in(3) { (5 * SECOND, 40 * SECOND) } else { (1, 300) };
            self.break_conn(conn, "reset", (0, 300), noticed);
        }
    }

    /// Passes a record on to all neighbours but one.
    pub(super) fn flood(&mut self, from: usize, but: Option<usize>, record: &Bytes) {
        for to in self.roads.peers(from).into_iter().filter(|to| Some(*to) != but) {
            self.gossip(from, to, record, false);
            if self.dice.once_in(10) {
                self.gossip(from, to, record, true);
            }
        }
    }

    pub(super) fn gossip(&mut self, from: usize, to: usize, record: &Bytes, again: bool) {
        if self.dice.once_in(20) {
            return;
        }
        // Some of it takes long, so that it comes in any order.
        let wait = self.latency(from, to);
        let late = if self.dice.once_in(10) { self.dice.below(30 * SECOND) } else { 0 };
        let record = record.clone();
        self.after(wait + late, Event::Road(Passing::Gossip { from, to, record, again }));
    }

    fn on_gossip(&mut self, from: usize, to: usize, record: Bytes, again: bool) {
        let connected = self.roads.sides[to].contains_key(&from);
        if !connected || !self.roads.one_way(from, to) || !self.hosts[to].is_up() {
            return;
        }
        let now = self.now;
        let seen = &mut self.roads.seen[to];
        seen.retain(|_, at| *at + SEEN > now);
        // Now and then a node has forgotten already.
        if seen.insert(hash(&record), now).is_some() && !again {
            return;
        }
        let id = self.roads.number();
        self.roads.heard.insert((to, id), (from, record.clone()));
        let from = self.hosts[from].id;
        self.road(to, Road::Gossip { id, from, record });
    }

    fn on_verdict(&mut self, node: usize, id: GossipId, verdict: Verdict) {
        let Some((from, record)) = self.roads.heard.remove(&(node, id)) else {
            self.fail(&format!("node {node} judges gossip {id} that it was not asked about"));
        };
        self.check_verdict(node, from, &record, verdict);
        if verdict == Verdict::Accept {
            self.flood(node, Some(from), &record);
        }
    }
}

fn side_of(held: &Connection, node: usize) -> usize {
    usize::from(held.ends[0] != node)
}

fn hash(record: &Bytes) -> [u8; 32] {
    *blake3::hash(record).as_bytes()
}
