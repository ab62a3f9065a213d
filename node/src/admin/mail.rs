//! Mailboxes and the queue.

use axum::extract::State;
use axum::response::Json;
use serde::Serialize;

use super::views::{Mailbox, Totals, age, time_to_come};
use super::{Ctx, Reply};

#[derive(Serialize)]
pub(super) struct QueueRow {
    to: String,
    messages: u64,
    bytes: u64,
    oldest_s: Option<u64>,
    reason: String,
    /// None where something else than time is waited for: a device that is to connect.
    next_try: Option<String>,
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
        next_try: row.next_try.map(time_to_come),
    });
    Ok(Json(rows.collect()))
}
