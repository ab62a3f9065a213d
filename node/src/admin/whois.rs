//! What an id or a name stands for.

use axum::extract::{Path, State};
use axum::response::Json;
use postroad_core::Core;
use postroad_core::roads::RouteView;
use postroad_proto::ids::{AccountId, Millis, NodeId};
use serde::Serialize;

use super::names::{Kind, Named, find};
use super::roads::via;
use super::views::time;
use super::{Ctx, Problem, Reply};
use crate::clock;

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Found {
    Node(Box<NodeFound>),
    Person(Box<PersonFound>),
}

#[derive(Serialize)]
pub(super) struct NodeFound {
    kind: &'static str,
    node: String,
    name: String,
    region: Option<String>,
    via: &'static str,
    generation: Option<u64>,
    seq: Option<u64>,
    expires_at: Option<String>,
    addresses: Vec<String>,
    #[serde(rename = "self")]
    own: bool,
    pinned: bool,
}

#[derive(Serialize)]
pub(super) struct PersonFound {
    kind: &'static str,
    /// None when only its home knows.
    account: Option<String>,
    handle: Option<String>,
    home: String,
    home_name: String,
    backups: Vec<String>,
    devices: Option<u64>,
    since: Option<String>,
}

pub(super) async fn whois(State(admin): Ctx, Path(target): Path<String>) -> Reply<Found> {
    let found = admin
        .engine
        .look(move |core, _| {
            let now = clock::now();
            find(core, &target, now).and_then(|named| describe(core, named, now))
        })
        .await??;
    Ok(Json(found))
}

fn describe(core: &Core, named: Named, now: Millis) -> Result<Found, Problem> {
    match named {
        Named::Node(node) => Ok(Found::Node(Box::new(of_node(core, node, now)))),
        Named::Account(account, kind) => of_account(core, &account, kind),
        Named::Elsewhere { handle, account, home } => Ok(Found::Person(Box::new(PersonFound {
            kind: Kind::of(account.as_ref()).word(),
            account: account.map(|account| account.to_string()),
            handle,
            home: home.to_string(),
            home_name: core.node_name(&home),
            backups: Vec::new(),
            devices: None,
            since: None,
        }))),
        Named::Parcel(parcel) => Err(Problem::not_found(
            format!("{parcel} is the id of a message or a parcel, not of somebody"),
            "postroad trace shows where a parcel is",
        )),
    }
}

fn of_node(core: &Core, node: NodeId, now: Millis) -> NodeFound {
    let route: Option<RouteView> = core.route(&node, now);
    let addresses = core.node_addresses(&node);
    let connected = core.peers().iter().any(|peer| peer.node == node);
    NodeFound {
        kind: "node",
        node: node.to_string(),
        name: core.node_name(&node),
        via: match &route {
            Some(route) => via(route),
            None if connected => super::roads::DIRECT,
            None if addresses.is_empty() => "none",
            None => "dial",
        },
        region: route.as_ref().map(|route| route.region.clone()),
        generation: route.as_ref().map(|route| route.generation),
        seq: route.as_ref().map(|route| route.seq),
        expires_at: route.as_ref().map(|route| time(route.expires.saturating_mul(1000))),
        addresses,
        own: node == core.node(),
        pinned: core.is_pinned(&node),
    }
}

fn of_account(core: &Core, account: &AccountId, kind: Kind) -> Result<Found, Problem> {
    let (user, way) = core.user(account).zip(core.trace(account)).ok_or_else(|| {
        Problem::not_found(format!("{account} is not homed here any more"), "postroad user ls")
    })?;
    Ok(Found::Person(Box::new(PersonFound {
        kind: kind.word(),
        account: Some(account.to_string()),
        handle: user.handle,
        home: way.home.to_string(),
        home_name: core.node_name(&way.home),
        backups: way.backups.iter().map(ToString::to_string).collect(),
        devices: Some(user.devices),
        since: Some(time(user.since.saturating_mul(1000))),
    })))
}
