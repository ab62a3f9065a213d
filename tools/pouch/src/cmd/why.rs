//! `why`: each step of a message's way, its signer and time, and what it waits for.

use postroad_cli::{CliError, Format, Printer, safe};
use postroad_client::Client;
use serde::Serialize;

use crate::args::Why;
use crate::error::explain;
use crate::profile::sync;
use crate::view::{StepRow, WaitingRow};

#[derive(Serialize)]
struct WhyRow {
    id: String,
    chat: String,
    state: String,
    steps: Vec<StepRow>,
    waiting: Option<WaitingRow>,
    reason: Option<String>,
    /// Its id as nodes know it: what an operator traces.
    parcel: Option<String>,
}

pub(crate) async fn run(
    client: &mut Client,
    args: &Why,
    printer: &Printer,
) -> Result<(), CliError> {
    let id = super::message_id(&args.message)?;
    sync(client, printer).await?;
    let why = client.why(&id).map_err(explain)?;
    let row = WhyRow {
        id: why.message.id.to_string(),
        chat: why.message.chat.clone(),
        state: why.message.state.to_string(),
        steps: why.steps.iter().map(StepRow::from).collect(),
        waiting: why.waiting.as_ref().map(WaitingRow::from),
        reason: Some(why.message.reason.clone()).filter(|reason| !reason.is_empty()),
        parcel: why.parcel.map(|parcel| parcel.to_string()),
    };
    let is_wide = printer.format() == Format::Wide || printer.verbosity() > 0;
    printer.object(&row, || human(&row, is_wide))
}

/// For people: nodes by their names, and with `is_wide` by their ids as well.
fn human(row: &WhyRow, is_wide: bool) -> String {
    let mut text = format!("{} to {}  {}\n", row.state, safe(&row.chat), row.id);
    for step in &row.steps {
        let checked = if step.verified { "verified" } else { "not verifiable" };
        let id = if is_wide && step.name != step.by { &*step.by } else { "" };
        let by = format!("{} {id}", safe(&step.name));
        text += &format!("  {:<9}  {}  {checked}  by {}\n", step.state, step.at, by.trim_end());
    }
    if let (Some(reason), None) = (&row.reason, &row.waiting) {
        text += &format!("reason: {}\n", safe(reason));
    }
    if let Some(waiting) = &row.waiting {
        let there = row.steps.iter().rev().find(|step| step.by == waiting.at);
        let at = there.map_or(&waiting.at, |step| &step.name);
        text += &format!("waits at {} since {}\n", safe(at), waiting.since);
        text += &format!("  for: {}\n", safe(&waiting.reason));
        if let Some(detail) = &waiting.detail {
            text += &format!("  {}\n", safe(detail));
        }
        if let Some(hint) = waiting.hint {
            text += &format!("  next try: {hint}\n");
        }
        if let Some(next) = &waiting.next_try {
            text += &format!("  next try: {next}\n");
        }
    }
    if let (true, Some(parcel)) = (is_wide, &row.parcel) {
        text += &format!("parcel {parcel}: the operator's postroad trace finds it by this\n");
    }
    text
}
