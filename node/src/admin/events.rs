//! What happened between this node and others, for those who look and those who wait.

use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Json;
use postroad_core::Core;
use postroad_core::roads::{Happening, News};
use postroad_proto::ids::NodeId;
use serde::Serialize;
use tokio::time::Instant;

use super::views::time;
use super::{Ctx, Problem, Reply};

/// Longest that a question stays open.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// How often it is looked for something new.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Serialize)]
pub(super) struct Events {
    pub(super) events: Vec<Event>,
    /// The number of the newest there is: below what was asked after when the node has started
    /// anew.
    last: u64,
    /// Which run of the node has numbered them.
    run: u64,
}

#[derive(Serialize)]
pub(super) struct Event {
    id: u64,
    at: String,
    pub(super) kind: &'static str,
    node: String,
    pub(super) text: String,
}

/// Answers at once when there is something, otherwise as soon as there is or `wait` is over.
pub(super) async fn events(State(admin): Ctx, RawQuery(query): RawQuery) -> Reply<Events> {
    let query = query.unwrap_or_default();
    let after = number(&query, "after")?;
    let wait = Duration::from_secs(number(&query, "wait")?).min(MAX_WAIT);
    let end = Instant::now() + wait;
    loop {
        let run = admin.started;
        let found = admin.engine.look(move |core, _| look(core, after, run)).await?;
        let is_over = !found.events.is_empty() || found.last < after || Instant::now() >= end;
        if is_over {
            return Ok(Json(found));
        }
        tokio::time::sleep_until(end.min(Instant::now() + LOOK)).await;
    }
}

pub(super) fn number(query: &str, name: &str) -> Result<u64, Problem> {
    let given = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name);
    given.map_or(Ok(0), |(_, value)| value.parse()).map_err(|_| {
        Problem::bad(format!("{name} is no number"), "such as /v1/events?after=7&wait=10")
    })
}

pub(super) fn look(core: &Core, after: u64, run: u64) -> Events {
    let (happenings, last) = core.events(after);
    let events = happenings.into_iter().map(|happening| event(core, happening));
    Events { events: events.collect(), last, run }
}

fn event(core: &Core, happening: Happening) -> Event {
    let name = |node: &NodeId| match *node == core.node() {
        true => "this node".to_owned(),
        false => core.node_name(node),
    };
    let (kind, node, text) = match &happening.news {
        News::PeerUp { node, outbound, address } => {
            let way = if *outbound { "to" } else { "from" };
            ("peer-up", node, format!("connected {way} {} at {address}", name(node)))
        }
        News::PeerDown { node, reason } => {
            ("peer-down", node, format!("{} is gone: {reason}", name(node)))
        }
        News::NotConnected { node, reason } => {
            ("not-connected", node, format!("{} cannot be connected to: {reason}", name(node)))
        }
        News::NewNode { node, name } => {
            let known = if name.is_empty() { node.to_string() } else { name.clone() };
            ("new-node", node, format!("a new node is known: {known}"))
        }
        News::Forgotten { node } => {
            ("forgotten", node, format!("{} is forgotten: its record is long over", name(node)))
        }
        News::BadRecord { from } => {
            ("bad-record", from, format!("{} passed on a forged or damaged record", name(from)))
        }
        News::FutureRecord { node, from } => {
            let text = format!(
                "the record of {}, passed on by {}, is dated in the future: a clock is wrong",
                name(node),
                name(from)
            );
            ("future-record", node, text)
        }
        News::Equivocates { node, from } => {
            let text = format!(
                "{} has signed two records with one number, the second came from {}: its key is \
                 used twice",
                name(node),
                name(from)
            );
            ("equivocates", node, text)
        }
        News::OwnRecord { from } => {
            let text = format!("{} has a record of this node that it does not know", name(from));
            ("own-record", from, text)
        }
        News::MailWaits { node, reason } => {
            ("mail-waits", node, format!("mail for {} waits: {reason}", name(node)))
        }
        News::MailFlows { node } => {
            ("mail-flows", node, format!("mail for {} gets through again", name(node)))
        }
        News::Misbehaved { node, how } => {
            ("misbehaved", node, format!("{} broke the rules: {how}", name(node)))
        }
        News::SetBack { node, generation } => {
            let text = format!(
                "{} says that it is in generation {generation}, though it was in a later one: it \
                 was restored from an older copy",
                name(node)
            );
            ("set-back", node, text)
        }
        News::Generation { node, generation } => {
            let text = format!(
                "{} was restored from an older copy and begins generation {generation}",
                name(node)
            );
            ("generation", node, text)
        }
    };
    let (id, at) = (happening.id, time(happening.at));
    Event { id, at, kind, node: node.to_string(), text }
}
