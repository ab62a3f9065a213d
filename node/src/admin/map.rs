//! The network as this node sees it.

use axum::extract::State;
use axum::response::Json;
use postroad_core::roads::RouteView;
use serde::Serialize;

use super::roads::{Rtts, rtts};
use super::{Ctx, Reply};
use crate::clock;

#[derive(Serialize)]
pub(super) struct Map {
    nodes: Vec<Node>,
    /// This node's own connections: it does not know those of others.
    edges: Vec<Edge>,
}

#[derive(Serialize)]
struct Node {
    node: String,
    name: String,
    region: String,
    #[serde(rename = "self")]
    own: bool,
    connected: bool,
    rtt_ms: Option<f64>,
    current: bool,
}

#[derive(Serialize)]
struct Edge {
    from: String,
    to: String,
    path: &'static str,
    rtt_ms: Option<f64>,
}

pub(super) async fn map(State(admin): Ctx) -> Reply<Map> {
    let look =
        |core: &postroad_core::Core, _: &_| (core.node(), core.routes(clock::now()), core.peers());
    let (own, routes, peers) = admin.engine.look(look).await?;
    let rtts = rtts(&admin);
    // A node that has just connected is there before its record is.
    let unrecorded = peers.iter().filter(|peer| !routes.iter().any(|r| r.node == peer.node));
    let strangers = unrecorded.map(|peer| Node {
        node: peer.node.to_string(),
        name: peer.name.clone(),
        region: String::new(),
        own: false,
        connected: true,
        rtt_ms: rtts.of(&peer.node),
        current: true,
    });
    let nodes = routes.iter().map(|route| node(route, &rtts)).chain(strangers).collect();
    let edges = peers.iter().map(|peer| Edge {
        from: own.to_string(),
        to: peer.node.to_string(),
        path: "direct",
        rtt_ms: rtts.of(&peer.node),
    });
    Ok(Json(Map { nodes, edges: edges.collect() }))
}

fn node(route: &RouteView, rtts: &Rtts) -> Node {
    Node {
        node: route.node.to_string(),
        name: route.name.clone(),
        region: route.region.clone(),
        own: route.own,
        connected: route.connected,
        rtt_ms: rtts.of(&route.node),
        current: route.current,
    }
}
