//! `events`: what happened between this node and others, as it happens.

use std::time::Duration;

use postroad_cli::{CliError, Printer, safe};
use serde::{Deserialize, Serialize};

use crate::{admin::Admin, args::EventsArgs, values::Extra};

/// How long the node may keep a question open until something happens.
const WAIT: Duration = Duration::from_secs(25);

/// `/v1/events`.
#[derive(Debug, Deserialize)]
struct Events {
    events: Vec<Event>,
    /// The number of the node's newest event.
    last: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Event {
    id: u64,
    at: String,
    kind: String,
    node: Option<String>,
    text: String,
    #[serde(flatten)]
    extra: Extra,
}

/// `postroad events`.
pub(crate) fn run(admin: &Admin, args: &EventsArgs, printer: &Printer) -> Result<(), CliError> {
    let admin = admin.clone().patient(WAIT);
    let wait = if args.follow { WAIT.as_secs() } else { 0 };
    let mut seen = args.since;
    loop {
        let found: Events = admin.get(&format!("/v1/events?after={seen}&wait={wait}"))?;
        for event in &found.events {
            printer.object(event, || line(event))?;
        }
        match found.events.last() {
            Some(event) => seen = event.id,
            None if !args.follow => break,
            // The node has started anew and numbers from 1.
            None if found.last < seen => seen = 0,
            None => {}
        }
    }
    Ok(())
}

fn line(event: &Event) -> String {
    format!(
        "{}  {:>4}  {:<12}  {}",
        safe(&event.at),
        event.id,
        safe(&event.kind),
        safe(&event.text)
    )
}
