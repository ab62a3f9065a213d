//! The way of mail: through the mailboxes and outboxes here, and on to another node.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Json;
use postroad_core::Core;
use postroad_core::roads::{OutboxView, RouteView};
use postroad_proto::ids::{AccountId, Millis, NodeId, ParcelId};
use serde::Serialize;

use super::names::{Kind, Named, find};
use super::roads::{Peer, Rtts, rtts, via};
use super::views::{Mailbox, age, time_to_come};
use super::{Admin, Ctx, Problem, Reply};
use crate::clock;

/// How long a node that is not connected gets to answer, so that a trace stays short.
const PROBE: Duration = Duration::from_secs(3);

#[derive(Serialize)]
pub(super) struct Trace {
    target: String,
    /// What the target is: an account, a handle, a node, a parcel.
    kind: &'static str,
    account: Option<String>,
    handle: Option<String>,
    /// The node that mail goes to.
    pub(super) home: String,
    backups: Vec<String>,
    /// From this node on.
    route: Vec<Hop>,
    pub(super) reachable: bool,
    pub(super) reason: String,
    mailboxes: Vec<Mailbox>,
    outbox: Option<Outbox>,
    peer: Option<Peer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parcel: Option<Parcel>,
}

#[derive(Serialize)]
struct Hop {
    node: String,
    name: String,
    via: &'static str,
}

/// What waits for another node.
#[derive(Serialize)]
struct Outbox {
    node: String,
    messages: u64,
    bytes: u64,
    oldest_s: Option<u64>,
    reason: String,
    next_try: Option<String>,
}

impl From<OutboxView> for Outbox {
    fn from(view: OutboxView) -> Self {
        Self {
            node: view.node.to_string(),
            messages: view.messages,
            bytes: view.bytes,
            oldest_s: age(view.oldest),
            reason: view.reason.text,
            next_try: view.reason.next_try.map(time_to_come),
        }
    }
}

#[derive(Serialize)]
struct Parcel {
    /// Copies that devices homed here have not acked.
    copies: u8,
    /// How long it has waited for another node.
    waits_s: Option<u64>,
}

/// A node that may be there although it is not connected.
pub(super) struct Doubt {
    pub(super) node: NodeId,
    name: String,
    addresses: Vec<String>,
}

pub(super) async fn trace(State(admin): Ctx, Path(target): Path<String>) -> Reply<Trace> {
    let rtts = rtts(&admin);
    let look = move |core: &Core, _: &_| Way { core, target, rtts, now: clock::now() }.trace();
    let (mut trace, doubt) = admin.engine.look(look).await??;
    if let Some(doubt) = doubt {
        (trace.reachable, trace.reason) = probe(&admin, doubt).await;
    }
    Ok(Json(trace))
}

async fn probe(admin: &Admin, doubt: Doubt) -> (bool, String) {
    let Doubt { node, name, addresses } = doubt;
    match tokio::time::timeout(PROBE, admin.net.ping(node, addresses)).await {
        Ok(Ok(_)) => (true, format!("{name} answers; it is connected to when there is mail")),
        Ok(Err(reason)) => (false, format!("{name} cannot be reached: {reason}")),
        Err(_) => (false, format!("{name} does not answer")),
    }
}

/// What a trace is made from.
pub(super) struct Way<'a> {
    pub(super) core: &'a Core,
    pub(super) target: String,
    pub(super) rtts: Rtts,
    pub(super) now: Millis,
}

impl Way<'_> {
    /// The way, and whom to ask whether it can be gone.
    pub(super) fn trace(self) -> Result<(Trace, Option<Doubt>), Problem> {
        let named = find(self.core, &self.target, self.now)?;
        match named {
            Named::Account(account, kind) => self.to_account(&account, kind),
            Named::Node(node) => {
                let mut trace = self.blank("node");
                let doubt = self.to_node(&mut trace, node);
                Ok((trace, doubt))
            }
            Named::Elsewhere { handle, account, home } => {
                let mut trace = self.blank(Kind::of(account.as_ref()).word());
                trace.handle = handle;
                trace.account = account.map(|account| account.to_string());
                let doubt = self.to_node(&mut trace, home);
                Ok((trace, doubt))
            }
            Named::Parcel(parcel) => self.of_parcel(&parcel),
        }
    }

    /// A trace that ends at this node.
    fn blank(&self, kind: &'static str) -> Trace {
        let own = self.core.node();
        let here = Hop { node: own.to_string(), name: self.core.node_name(&own), via: "self" };
        Trace {
            target: self.target.clone(),
            kind,
            account: None,
            handle: None,
            home: own.to_string(),
            backups: Vec::new(),
            route: vec![here],
            reachable: true,
            reason: "it is this node".into(),
            mailboxes: Vec::new(),
            outbox: None,
            peer: None,
            parcel: None,
        }
    }

    /// Goes on to another node.
    fn to_node(&self, trace: &mut Trace, node: NodeId) -> Option<Doubt> {
        if node == self.core.node() {
            return None;
        }
        let route = self.core.route(&node, self.now);
        let peer = self.core.peers().into_iter().find(|peer| peer.node == node);
        let name = self.core.node_name(&node);
        let addresses = self.core.node_addresses(&node);
        trace.home = node.to_string();
        let via = match (&route, &peer) {
            (Some(route), _) => via(route),
            (None, Some(_)) => super::roads::DIRECT,
            (None, None) if addresses.is_empty() => "none",
            (None, None) => "dial",
        };
        trace.route.push(Hop { node: node.to_string(), name: name.clone(), via });
        let outbox = self.core.outbox(&node).filter(|outbox| outbox.messages > 0);
        trace.outbox = outbox.map(Into::into);
        let is_over = route.as_ref().is_some_and(|route: &RouteView| !route.current);
        (trace.reachable, trace.reason) = match &peer {
            Some(_) => (true, format!("{name} is connected")),
            None if addresses.is_empty() && route.is_none() => {
                (false, format!("no address of {name} is known: its record has not come here yet"))
            }
            None if is_over => {
                (false, format!("{name} has not been heard of for long: its record is over"))
            }
            None if addresses.is_empty() => {
                let why = "its record names no address that this node can use";
                (false, format!("{name} is not connected, and has to connect itself: {why}"))
            }
            None => (false, format!("{name} is not connected")),
        };
        let in_doubt = peer.is_none() && !addresses.is_empty();
        trace.peer = peer.map(|peer| Peer::new(self.core, peer, &self.rtts));
        in_doubt.then_some(Doubt { node, name, addresses })
    }

    fn to_account(
        &self,
        account: &AccountId,
        kind: Kind,
    ) -> Result<(Trace, Option<Doubt>), Problem> {
        let found = self.core.trace(account).ok_or_else(|| {
            Problem::not_found(format!("{account} is not homed here any more"), "postroad user ls")
        })?;
        let mut trace = self.blank(kind.word());
        trace.account = Some(found.account.to_string());
        trace.handle = found.handle;
        trace.backups = found.backups.iter().map(ToString::to_string).collect();
        let away = found.mailboxes.iter().filter(|m| !m.connected).count();
        trace.reason = match (found.mailboxes.len(), away) {
            (_, 0) => "homed here, every device is connected".to_owned(),
            (all, away) if all == away => {
                "homed here, no device is connected: mail waits".to_owned()
            }
            (all, away) => format!("homed here, {away} of {all} devices are away"),
        };
        trace.mailboxes = found.mailboxes.into_iter().map(Into::into).collect();
        let doubt = self.to_node(&mut trace, found.home);
        Ok((trace, doubt))
    }

    fn of_parcel(&self, parcel: &ParcelId) -> Result<(Trace, Option<Doubt>), Problem> {
        let found = self.core.parcel(parcel).ok_or_else(|| {
            let gone = match self.core.was_here(parcel) {
                true => "was fetched by a device lately",
                false => "never was, or was fetched, handed over or too old",
            };
            Problem::not_found(
                format!("no parcel {parcel} is in custody here: it {gone}"),
                "give the parcel that `pouch --json why MESSAGE` names; every step is shown there",
            )
        })?;
        let mut trace = self.blank("parcel");
        // What waits for another node is a copy of its own.
        let copies = found.copies.saturating_sub(u8::from(found.waits.is_some()));
        trace.reason = match copies {
            1 => "a device homed here has not acked it yet; see: postroad queue".to_owned(),
            copies => format!("{copies} devices homed here have not acked it; see: postroad queue"),
        };
        trace.parcel = Some(Parcel { copies, waits_s: None });
        let Some((node, since, reason)) = found.waits else { return Ok((trace, None)) };
        let doubt = self.to_node(&mut trace, node);
        trace.parcel = Some(Parcel { copies, waits_s: age(Some(since)) });
        if let Some(outbox) = &mut trace.outbox {
            // Of this parcel: the outbox as a whole may wait for something else.
            outbox.reason = reason.text;
            outbox.next_try = reason.next_try.map(time_to_come);
        }
        Ok((trace, doubt))
    }
}
