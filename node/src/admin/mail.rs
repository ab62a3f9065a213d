//! Mailboxes, the queue, and the way to an account.

use axum::extract::{Path, State};
use axum::response::Json;
use serde::Serialize;

use super::views::{Mailbox, Totals, age};
use super::{Ctx, Problem, Reply};

#[derive(Serialize)]
pub(super) struct QueueRow {
    to: String,
    messages: u64,
    bytes: u64,
    oldest_s: Option<u64>,
    reason: String,
    /// Mail for a device of this node goes out when the device connects, not at a time.
    next_try: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Trace {
    account: String,
    handle: Option<String>,
    home: String,
    backups: Vec<String>,
    route: Vec<Hop>,
    mailboxes: Vec<Mailbox>,
    reachable: bool,
    reason: String,
}

#[derive(Serialize)]
struct Hop {
    node: String,
    via: &'static str,
}

pub(super) async fn stats(State(admin): Ctx) -> Reply<Totals> {
    Ok(Json(admin.engine.look(|core, _| core.totals()).await?.into()))
}

pub(super) async fn mailboxes(State(admin): Ctx) -> Reply<Vec<Mailbox>> {
    let list = admin.engine.look(|core, _| core.mailbox_list()).await?;
    Ok(Json(list.into_iter().map(Into::into).collect()))
}

pub(super) async fn queue(State(admin): Ctx) -> Reply<Vec<QueueRow>> {
    let rows = admin.engine.look(|core, _| core.queue()).await?;
    let rows = rows.into_iter().map(|row| QueueRow {
        to: row.to,
        messages: row.messages,
        bytes: row.bytes,
        oldest_s: age(row.oldest),
        reason: row.reason,
        next_try: None,
    });
    Ok(Json(rows.collect()))
}

pub(super) async fn trace(State(admin): Ctx, Path(target): Path<String>) -> Reply<Trace> {
    let wanted = target.clone();
    let found = admin
        .engine
        .look(move |core, _| core.find_account(&wanted).and_then(|account| core.trace(&account)))
        .await?;
    let found = found.ok_or_else(|| {
        Problem::not_found(
            format!("{target:?} is no account homed here"),
            "give a handle, handle@node or an account id; see: postroad user ls",
        )
    })?;
    let away = found.mailboxes.iter().filter(|m| !m.connected).count();
    let reason = match (found.mailboxes.len(), away) {
        (_, 0) => "homed here, every device is connected".to_owned(),
        (all, away) if all == away => "homed here, no device is connected: mail waits".to_owned(),
        (all, away) => format!("homed here, {away} of {all} devices are away"),
    };
    Ok(Json(Trace {
        account: found.account.to_string(),
        handle: found.handle,
        home: found.home.to_string(),
        backups: found.backups.iter().map(ToString::to_string).collect(),
        route: vec![Hop { node: found.home.to_string(), via: "local" }],
        mailboxes: found.mailboxes.into_iter().map(Into::into).collect(),
        reachable: true,
        reason,
    }))
}
