//! How things stand between this node and others, as far as an operator should know.

use std::collections::BTreeSet;

use postroad_core::Core;
use postroad_core::roads::{Happening, News};
use postroad_proto::ids::{Millis, NodeId};
use serde::Serialize;

use super::status::Trouble;
use super::views::age;
use crate::clock;

/// A node that has just started gets this long to connect before anybody is told.
const SETTLING: Millis = 10_000;
/// Mail that waits for longer for another node is worth a word, seconds.
const LONG: u64 = 86_400;
/// How long what happened once is told, milliseconds.
const RECENT: Millis = 3_600_000;
const DAY: u64 = 86_400;
/// How long a node that was restored from an older copy says so, seconds.
const RESTORED: u64 = 7 * DAY;
/// Nodes whose records come from the future: one has a wrong clock, several mean this one does.
const CLOCKS: usize = 2;
/// Nodes named in one list at most.
const NAMED: usize = 5;

/// All outboxes together.
#[derive(Serialize, Default)]
pub(super) struct Waiting {
    pub(super) nodes: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) oldest_s: Option<u64>,
}

/// The roads at one moment.
pub(super) struct Roads {
    pub(super) peers: u64,
    pub(super) routes: u64,
    pub(super) waiting: Waiting,
    /// Mail streams that this node opened, and that others did.
    pub(super) links: (usize, usize),
    pub(super) problems: Vec<Trouble>,
    pub(super) notices: Vec<String>,
}

impl Roads {
    /// `uptime` in milliseconds.
    pub(super) fn new(core: &Core, uptime: Millis) -> Self {
        let mut roads = Self {
            peers: core.peers().len() as u64,
            routes: core.route_count() as u64,
            waiting: Waiting::default(),
            links: core.link_count(),
            problems: Vec::new(),
            notices: Vec::new(),
        };
        roads.look_at_peers(core, uptime);
        roads.look_at_outboxes(core);
        roads.look_at_records(core);
        roads
    }

    fn look_at_peers(&mut self, core: &Core, uptime: Millis) {
        let (given, known) = (core.named_peers(), self.routes.saturating_sub(1));
        if self.peers > 0 {
            return self.look_at_pins(core);
        }
        if given == 0 && known == 0 {
            let text = "no other node is known: mail stays among the users of this one; to join a \
                        network start it with --network FILE, or: postroad peer add LINK";
            return self.notices.push(text.into());
        }
        if uptime < SETTLING {
            return self.notices.push("connecting to other nodes".into());
        }
        if given == 0 {
            let text = format!("not connected to any of the {known} other nodes that are known");
            return self.notices.push(text);
        }
        let reasons = core.pins().into_iter().filter(|pin| !pin.reason.is_empty());
        let reasons: Vec<String> =
            reasons.map(|pin| format!("{}: {}", pin.name, pin.reason)).take(NAMED).collect();
        let because = match reasons.as_slice() {
            [] => String::new(),
            reasons => format!(" ({})", reasons.join("; ")),
        };
        self.problems.push(Trouble {
            code: "NO_PEERS",
            message: format!("connected to no other node, mail for others waits{because}"),
            fix:
                "see that the network is up here and that those nodes run: postroad ping NODE; or \
                  add another: postroad peer add LINK"
                    .into(),
            grave: false,
        });
    }

    /// Some are there; those that the operator named and that are not are worth a word.
    fn look_at_pins(&mut self, core: &Core) {
        let away = core.pins().into_iter().filter(|pin| pin.by_operator && !pin.connected);
        for pin in away.take(NAMED) {
            let why = if pin.reason.is_empty() { "not reached yet" } else { &pin.reason };
            self.notices.push(format!("the peer {} is not connected: {why}", pin.name));
        }
    }

    fn look_at_outboxes(&mut self, core: &Core) {
        let mut old = Vec::new();
        for outbox in core.outboxes() {
            let oldest_s = age(outbox.oldest);
            let waiting = &mut self.waiting;
            waiting.nodes += 1;
            waiting.messages += outbox.messages;
            waiting.bytes += outbox.bytes;
            waiting.oldest_s = waiting.oldest_s.max(oldest_s);
            if let Some(seconds) = oldest_s.filter(|seconds| *seconds >= LONG) {
                old.push((seconds, outbox));
            }
        }
        old.sort_by_key(|(seconds, _)| std::cmp::Reverse(*seconds));
        for (seconds, outbox) in old.into_iter().take(NAMED) {
            let text = &outbox.reason.text;
            let days = seconds / DAY;
            self.notices.push(format!("mail for {} waits for {days}d: {text}", outbox.name));
        }
    }

    fn look_at_records(&mut self, core: &Core) {
        let now = clock::now();
        let twice: Vec<String> =
            core.equivocators().iter().take(NAMED).map(|node| core.node_name(node)).collect();
        if !twice.is_empty() {
            let text = "signed different records with one number: a key of theirs is used twice";
            self.notices.push(format!("{} {text}", twice.join(", ")));
        }
        if let Some(at) = core.rolled_back_at().filter(|at| now / 1000 < at + RESTORED) {
            self.notices.push(format!(
                "the node was restored from an older copy, as it found at {}: its users' devices \
                 give what is missing when they connect",
                clock::rfc3339(at * 1000)
            ));
        }
        let (mut of_future, mut own) = (BTreeSet::<NodeId>::new(), false);
        for Happening { at, news, .. } in recent_events(core) {
            match news {
                News::FutureRecord { node, .. } if at + RECENT > now => {
                    of_future.insert(node);
                }
                News::OwnRecord { .. } if at + RECENT > now => own = true,
                _ => {}
            }
        }
        if of_future.len() >= CLOCKS {
            let count = of_future.len();
            self.notices.push(format!(
                "the records of {count} nodes are dated in the future: see that this node's clock \
                 is right"
            ));
        }
        if own {
            let text = "others hold a record of this node that it does not remember: its data is an \
                        older copy, or its key is used by a second node";
            self.notices.push(text.into());
        }
    }
}

fn recent_events(core: &Core) -> Vec<Happening> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let (events, _) = core.events(after);
        let Some(last) = events.last() else { return all };
        after = last.id;
        all.extend(events);
    }
}
