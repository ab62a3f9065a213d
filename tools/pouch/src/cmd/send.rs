//! `send`: the text is stored first; whatever happens then, it is not lost.

use std::io::Read;
use std::time::{Duration, Instant};

use postroad_cli::{CliError, Exit, Printer, safe};
use postroad_client::{Client, Error, MAX_TEXT, Sent, State};
use serde::Serialize;

use crate::args::{Send, WaitFor};
use crate::error::explain;
use crate::profile::{sync, sync_within};

/// How long `send` waits for `accepted` when it was not told what to wait for.
const ACCEPTED: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct SentRow {
    id: String,
    chat: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(crate) async fn run(
    client: &mut Client,
    args: &Send,
    printer: &Printer,
) -> Result<(), CliError> {
    let text = text(args)?;
    let begun = Instant::now();
    let sent = store(client, &args.to, &text, printer).await?;
    let within = if args.wait.is_some() { args.timeout } else { ACCEPTED };
    let wanted = args.wait.map_or(State::Accepted, State::from);
    sync_within(client, printer, within).await?;
    client.unlock().map_err(explain)?;
    // The sync has waited for the node's answer. What is still queued then waits for a connection,
    // keys or an acceptance: only who asks for it waits along.
    let state = if args.wait.is_some() {
        let left = within.saturating_sub(begun.elapsed());
        client.wait_for(sent.row, wanted, left).await
    } else {
        client.state_of(sent.row).map(|state| state.unwrap_or(sent.state))
    };
    let state = state.map_err(explain)?;
    report(client, &sent, state, wanted, args.wait.is_some(), printer)
}

impl From<WaitFor> for State {
    fn from(wait: WaitFor) -> Self {
        match wait {
            WaitFor::Accepted => Self::Accepted,
            WaitFor::AtNode => Self::AtNode,
            WaitFor::Delivered => Self::Delivered,
            WaitFor::Read => Self::Read,
        }
    }
}

/// Stores the text. A name that is not known here may have come in: then that is fetched first.
async fn store(
    client: &mut Client,
    to: &str,
    text: &str,
    printer: &Printer,
) -> Result<Sent, CliError> {
    match client.send_text(to, text) {
        Err(Error::NotFound { .. }) => {
            sync(client, printer).await?;
            client.send_text(to, text).map_err(explain)
        }
        stored => stored.map_err(explain),
    }
}

fn text(args: &Send) -> Result<String, CliError> {
    let bytes = match (&args.text, &args.file) {
        (Some(text), _) if text != "-" => return Ok(text.clone()),
        (Some(_), _) => read_all(std::io::stdin().lock(), "standard input")?,
        (None, Some(path)) => {
            let name = path.display().to_string();
            let file = std::fs::File::open(path);
            let hint = "name a file that can be read";
            let file = file.map_err(|e| CliError::io(format!("cannot read {name}"), &e, hint))?;
            read_all(file, &name)?
        }
        (None, None) => {
            return Err(CliError::usage("there is no text", "pouch send TO TEXT, or - to read it"));
        }
    };
    String::from_utf8(bytes).map_err(|_| {
        CliError::failed("not_text", "the text is not UTF-8", "convert it, or send it otherwise")
    })
}

/// All of it, but not more than it takes to see that it is too much.
fn read_all(from: impl Read, name: &str) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let limit = 64 * MAX_TEXT as u64;
    from.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|e| CliError::io(format!("cannot read {name}"), &e, "check it"))?;
    Ok(bytes)
}

fn report(
    client: &mut Client,
    sent: &Sent,
    state: State,
    wanted: State,
    explicit: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    let reason = match client.why(&sent.id).map_err(explain)? {
        why if state.is_lost() => Some(why.message.reason),
        why => why.waiting.filter(|_| state == State::Queued).map(|waiting| waiting.reason),
    };
    let reason = reason.filter(|reason| !reason.is_empty());
    let id = sent.id.to_string();
    let row = SentRow { id: id.clone(), chat: sent.chat.clone(), state: state.to_string(), reason };
    printer.object(&row, || {
        let why = row.reason.as_deref().map(|r| format!(": {}", safe(r))).unwrap_or_default();
        format!("{} to {}{why}  {}", row.state, safe(&row.chat), row.id)
    })?;
    let next = format!("pouch why {id}");
    if explicit && !state.reached(wanted) {
        let message = format!("the message is {state}, not {wanted}");
        return Err(CliError::new(Exit::TimedOut, "timed_out", message, next));
    }
    if state.is_lost() {
        let is_denied = row.reason.as_deref().is_some_and(|reason| reason.starts_with("DENIED"));
        let (exit, code) =
            if is_denied { (Exit::Denied, "denied") } else { (Exit::Failed, "failed") };
        return Err(CliError::new(exit, code, format!("the message is {state}"), next));
    }
    Ok(())
}
