//! `events`: what happened between this node and others, as it happens.

use std::{thread, time::Duration};

use postroad_cli::{CliError, Exit, Printer, safe};
use serde::{Deserialize, Serialize};

use crate::{admin::Target, args::EventsArgs, values::Extra};

/// How long the node may keep a question open until something happens.
const WAIT: Duration = Duration::from_secs(25);
/// The wait before a node that does not answer is asked again: it takes seconds to start.
const RETRY: Duration = Duration::from_secs(1);

/// `/v1/events`.
#[derive(Debug, Deserialize)]
struct Events {
    events: Vec<Event>,
    /// The number of the node's newest event.
    last: u64,
    /// Which run of the node has numbered them; older nodes do not say.
    #[serde(default)]
    run: Option<u64>,
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
pub(crate) fn run(target: &Target, args: &EventsArgs, printer: &Printer) -> Result<(), CliError> {
    if args.follow {
        return follow(target, args.since, printer);
    }
    let mut seen = args.since;
    loop {
        let found = ask(target, seen, Duration::ZERO)?;
        show(&found, printer)?;
        match found.events.last() {
            Some(event) => seen = event.id,
            None => return Ok(()),
        }
    }
}

/// Until interrupted: a node that ends is awaited. One that does not answer from the start is an
/// error, since it may be the wrong address.
fn follow(target: &Target, since: u64, printer: &Printer) -> Result<(), CliError> {
    let mut seen = since;
    let mut found = ask(target, seen, WAIT)?;
    loop {
        show(&found, printer)?;
        seen = found.events.last().map_or(seen, |event| event.id);
        let next = ask(target, seen, WAIT).or_else(|error| wait(target, seen, error, printer))?;
        let is_new = match (found.run, next.run) {
            (Some(old), Some(new)) => old != new,
            _ => next.last < seen,
        };
        // What it has said was about numbers of the run before; the first ones would be missing.
        found = if is_new { Events { events: Vec::new(), ..next } } else { next };
        if is_new {
            printer.warn("the node has started anew and numbers its events from 1");
            seen = 0;
        }
    }
}

/// Asks until the node answers again.
fn wait(
    target: &Target,
    seen: u64,
    mut error: CliError,
    printer: &Printer,
) -> Result<Events, CliError> {
    let mut denied = false;
    printer.warn(&format!("{}; it is asked again until it answers", safe(&error.message)));
    loop {
        // A node that starts may still have the token of its last run in its file. A token that is
        // denied for longer was given by hand, and waiting does not change it.
        let again = match error.exit {
            Exit::Denied => !denied,
            Exit::Unreachable | Exit::TimedOut => true,
            // Such as a node that is about to end. An answer that is not understood stays so.
            Exit::Failed => error.code != "answer",
            _ => false,
        };
        if !again {
            return Err(error);
        }
        denied = error.exit == Exit::Denied;
        thread::sleep(RETRY);
        match ask(target, seen, Duration::ZERO) {
            Ok(found) => return Ok(found),
            Err(next) => error = next,
        }
    }
}

/// The address and the token are looked up each time: a node may have others after a restart.
fn ask(target: &Target, after: u64, wait: Duration) -> Result<Events, CliError> {
    let admin = target.admin()?.patient(wait);
    admin.get(&format!("/v1/events?after={after}&wait={}", wait.as_secs()))
}

fn show(found: &Events, printer: &Printer) -> Result<(), CliError> {
    found.events.iter().try_for_each(|event| printer.object(event, || line(event)))
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
