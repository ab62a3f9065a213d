//! Peers, routes, and whether a node is there.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Json;
use postroad_core::Core;
use postroad_core::roads::{PeerView, RouteView};
use postroad_proto::ids::NodeId;
use postroad_proto::link::{LinkError, NodeLink};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::names::find_node;
use super::views::time;
use super::{Admin, Ctx, Problem, Reply};
use crate::clock;
use crate::engine::Stopped;

/// How long the answer to a new peer waits for the first attempt to connect.
const FIRST_ATTEMPT: Duration = Duration::from_secs(3);
/// How often it is looked whether that attempt is over.
const LOOK: Duration = Duration::from_millis(50);
const LINK_HINT: &str =
    "give the link that the other node's start and `postroad -o wide status` there show";
/// The one way there is to another node so far.
pub(super) const DIRECT: &str = "direct";

/// A connected node.
#[derive(Serialize)]
pub(super) struct Peer {
    node: String,
    name: String,
    path: &'static str,
    direction: &'static str,
    rtt_ms: Option<f64>,
    /// Where it is, then where else it says that it can be reached.
    addresses: Vec<String>,
    since: String,
    pinned: bool,
}

impl Peer {
    pub(super) fn new(core: &Core, view: PeerView, rtts: &Rtts) -> Self {
        let mut addresses = core.node_addresses(&view.node);
        addresses.retain(|address| *address != view.address);
        addresses.insert(0, view.address);
        Self {
            rtt_ms: rtts.of(&view.node),
            node: view.node.to_string(),
            name: view.name,
            path: DIRECT,
            direction: if view.outbound { "outbound" } else { "inbound" },
            addresses,
            since: time(view.since),
            pinned: view.pinned,
        }
    }
}

/// How far away connected nodes are.
#[derive(Default)]
pub(super) struct Rtts(HashMap<NodeId, Duration>);

impl Rtts {
    /// In milliseconds, to the hundredth; none when it is not known yet.
    pub(super) fn of(&self, node: &NodeId) -> Option<f64> {
        self.0.get(node).copied().map(millis)
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

pub(super) fn rtts(admin: &Admin) -> Rtts {
    let neighbours = admin.net.neighbours().into_iter();
    Rtts(neighbours.filter_map(|neighbour| Some((neighbour.node, neighbour.rtt?))).collect())
}

pub(super) async fn peers(State(admin): Ctx) -> Reply<Vec<Peer>> {
    let rtts = rtts(&admin);
    let look = move |core: &Core, _: &_| -> Vec<Peer> {
        core.peers().into_iter().map(|view| Peer::new(core, view, &rtts)).collect()
    };
    Ok(Json(admin.engine.look(look).await?))
}

#[derive(Deserialize)]
pub(super) struct NewPeer {
    link: String,
}

#[derive(Serialize)]
pub(super) struct AddedPeer {
    node: String,
    name: String,
    connected: bool,
    /// Why it is not connected, when that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Keeps a connection to a node from now on.
pub(super) async fn peer_add(State(admin): Ctx, Json(ask): Json<NewPeer>) -> Reply<AddedPeer> {
    let link = read_link(&ask.link, &admin)?;
    let node = link.node;
    let pin = move |core: &mut Core, _| {
        if link.p2p.is_empty() && core.node_addresses(&node).is_empty() {
            let message = "the link has no address for nodes, and no record of the node is here";
            return Err(Problem::bad(message.into(), LINK_HINT));
        }
        match core.pin(&link) {
            true => Ok(()),
            false => Err(Problem::bad("the link is this node's own".into(), LINK_HINT)),
        }
    };
    admin.engine.act(pin).await??;
    let (connected, reason) = first_attempt(&admin, node).await?;
    let name = admin.engine.look(move |core, _| core.node_name(&node)).await?;
    Ok(Json(AddedPeer { node: node.to_string(), name, connected, reason }))
}

fn read_link(text: &str, admin: &Admin) -> Result<NodeLink, Problem> {
    let link: NodeLink =
        text.parse().map_err(|error: LinkError| Problem::bad(error.to_string(), LINK_HINT))?;
    if link.network != admin.config.node.network {
        let (theirs, ours) = (&link.network, &admin.config.node.network);
        let message = format!("the node belongs to the network {theirs}, this one to {ours}");
        return Err(Problem::bad(message, "nodes of different networks never mix"));
    }
    Ok(link)
}

/// Whether a node is connected before the first attempt is over, and why not.
async fn first_attempt(admin: &Admin, node: NodeId) -> Result<(bool, Option<String>), Stopped> {
    let end = Instant::now() + FIRST_ATTEMPT;
    loop {
        let look = move |core: &Core, _: &_| {
            let connected = core.peers().iter().any(|peer| peer.node == node);
            let pin = core.pins().into_iter().find(|pin| pin.node == node);
            (connected, pin.map(|pin| pin.reason).filter(|reason| !reason.is_empty()))
        };
        let (connected, reason) = admin.engine.look(look).await?;
        if connected || reason.is_some() || Instant::now() >= end {
            return Ok((connected, reason.filter(|_| !connected)));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Undoes [`peer_add`].
pub(super) async fn peer_remove(
    State(admin): Ctx,
    Path(text): Path<String>,
) -> Result<StatusCode, Problem> {
    let wanted = text.clone();
    let removed = admin
        .engine
        .act(move |core, now| find_node(core, &wanted, now).map(|node| core.unpin(&node)))
        .await??;
    if removed {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::not_found(
        format!("{text:?} was not added as a peer"),
        "connections that come about by themselves cannot be removed; added peers are marked in: \
         postroad -o wide peers",
    ))
}

#[derive(Serialize)]
pub(super) struct Route {
    node: String,
    name: String,
    region: String,
    via: &'static str,
    seq: u64,
    generation: u64,
    expires_at: String,
    /// Since its record was issued.
    age_s: u64,
    addresses: Vec<String>,
    current: bool,
    #[serde(rename = "self")]
    own: bool,
    equivocates: bool,
}

impl From<RouteView> for Route {
    fn from(view: RouteView) -> Self {
        Self {
            via: via(&view),
            node: view.node.to_string(),
            name: view.name,
            region: view.region,
            seq: view.seq,
            generation: view.generation,
            expires_at: time(view.expires.saturating_mul(1000)),
            age_s: (clock::now() / 1000).saturating_sub(view.issued),
            addresses: view.addresses,
            current: view.current,
            own: view.own,
            equivocates: view.equivocates,
        }
    }
}

/// How a node is reached.
pub(super) fn via(route: &RouteView) -> &'static str {
    match route {
        RouteView { own: true, .. } => "self",
        RouteView { connected: true, .. } => DIRECT,
        RouteView { addresses, .. } if addresses.is_empty() => "none",
        RouteView { .. } => "dial",
    }
}

pub(super) async fn routes(State(admin): Ctx) -> Reply<Vec<Route>> {
    let routes = admin.engine.look(|core, _| core.routes(clock::now())).await?;
    Ok(Json(routes.into_iter().map(Into::into).collect()))
}

#[derive(Serialize)]
pub(super) struct Pong {
    node: String,
    name: String,
    path: &'static str,
    rtt_ms: f64,
}

/// Asks a node for a sign of life, connecting to it if need be.
pub(super) async fn ping(State(admin): Ctx, Path(text): Path<String>) -> Reply<Pong> {
    let look = move |core: &Core, _: &_| {
        let node = find_node(core, &text, clock::now())?;
        let mut addresses = core.node_addresses(&node);
        // A link names a node, and says where it is.
        addresses.extend(text.parse::<NodeLink>().map(|link| link.p2p).unwrap_or_default());
        Ok::<_, Problem>((node, core.node_name(&node), addresses, core.node()))
    };
    let (node, name, addresses, own) = admin.engine.look(look).await??;
    if node == own {
        return Err(Problem::bad(
            "that is this node itself, and it answers".into(),
            "postroad routes shows the others",
        ));
    }
    let rtt = admin.net.ping(node, addresses).await.map_err(|reason| {
        Problem::new(
            StatusCode::BAD_GATEWAY,
            "UNREACHABLE",
            format!("{name} cannot be reached: {reason}"),
            format!("see that posthoused runs there and its port is open: postroad trace {node}"),
        )
    })?;
    Ok(Json(Pong { node: node.to_string(), name, path: DIRECT, rtt_ms: millis(rtt) }))
}
