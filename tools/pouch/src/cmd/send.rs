//! `send`: the text is stored first; whatever happens then, it is not lost.

use std::io::Read;
use std::time::{Duration, Instant};

use postroad_cli::{CliError, Exit, Printer, safe};
use postroad_client::{Client, Error, MAX_TEXT, Sent, State};
use serde::Serialize;

use super::contact::{add_handle, offline_lookup};
use crate::args::{ProfileArgs, Send, Wait, WaitFor};
use crate::error::explain;
use crate::profile::{names, open, sync, sync_within};

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
    profile: &ProfileArgs,
    args: &Send,
    printer: &Printer,
) -> Result<(), CliError> {
    let interrupt = crate::interrupt();
    tokio::pin!(interrupt);
    // Before the profile is opened: others have their turns while somebody types.
    let text = tokio::select! {
        biased;
        text = text(args) => text?,
        () = &mut interrupt => return Err(nothing_stored()),
    };
    let stored = async {
        let mut client = open(profile, false, printer).await?;
        let sent = match &args.reply {
            Some(message) => reply(&mut client, &args.to, message, &text)?,
            None => store(&mut client, &args.to, &text, profile, printer).await?,
        };
        Ok::<_, CliError>((client, sent))
    };
    let (mut client, sent) = tokio::select! {
        biased;
        stored = stored => stored?,
        () = &mut interrupt => return Err(nothing_stored()),
    };
    let went = tokio::select! {
        biased;
        state = go(&mut client, &args.wait, &sent, printer) => Some(state?),
        () = &mut interrupt => None,
    };
    match went {
        Some(state) => report(&mut client, &sent, state, args.wait.wait, printer),
        None => {
            let state = client.state_of(sent.row).map_err(explain)?.unwrap_or(sent.state);
            show(&mut client, &sent, state, printer)?;
            Err(crate::interrupted())
        }
    }
}

fn nothing_stored() -> CliError {
    CliError { hint: "nothing was stored or sent".to_owned(), ..crate::interrupted() }
}

/// Sends what was stored, waits as long as was asked for, and prints how far it got.
pub(super) async fn follow(
    client: &mut Client,
    sent: &Sent,
    wait: &Wait,
    printer: &Printer,
) -> Result<(), CliError> {
    let state = go(client, wait, sent, printer).await?;
    report(client, sent, state, wait.wait, printer)
}

/// Sends it, and waits as long as was asked for. How far it got.
async fn go(
    client: &mut Client,
    args: &Wait,
    sent: &Sent,
    printer: &Printer,
) -> Result<State, CliError> {
    let begun = Instant::now();
    let within = if args.wait.is_some() { args.timeout } else { ACCEPTED };
    sync_within(client, printer, within).await?;
    client.unlock().map_err(explain)?;
    // The sync has waited for the node's answer. What is still queued then waits for a connection,
    // keys or an acceptance: only who asks for it waits along.
    let state = if let Some(wanted) = args.wait {
        let left = within.saturating_sub(begun.elapsed());
        client.wait_for(sent.row, wanted.into(), left).await
    } else {
        client.state_of(sent.row).map(|state| state.unwrap_or(sent.state))
    };
    state.map_err(explain)
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

/// Stores the text. A name that is not known here may have come in: then that is fetched first. Who
/// is named by handle is looked up.
async fn store(
    client: &mut Client,
    to: &str,
    text: &str,
    profile: &ProfileArgs,
    printer: &Printer,
) -> Result<Sent, CliError> {
    match client.send_text(to, text) {
        Err(Error::NotFound { .. }) => {}
        stored => return stored.map_err(explain),
    }
    let online = sync(client, printer).await?;
    match client.send_text(to, text) {
        Err(Error::NotFound { .. }) if to.contains('@') => {}
        stored => return stored.map_err(explain),
    }
    if !online {
        return Err(offline_lookup(to));
    }
    let names = names(profile)?;
    let found = tokio::time::timeout(ACCEPTED, add_handle(client, to, None, &names, printer)).await;
    let found = found.map_err(|_| slow_lookup(to))??;
    client.send_text(&found.account.to_string(), text).map_err(explain)
}

/// Stores an answer to a message, which must be of the conversation that was named.
fn reply(client: &mut Client, to: &str, message: &str, text: &str) -> Result<Sent, CliError> {
    let id = super::message_id(message)?;
    let contact = client.contact(to).map_err(explain)?;
    let with = client.why(&id).map_err(explain)?.message.contact;
    if with != contact.account {
        let message = format!("that message is of another conversation than {to:?}");
        return Err(CliError::usage(message, "pouch -o wide read CHAT shows ids"));
    }
    client.reply(&id, text).map_err(explain)
}

fn slow_lookup(to: &str) -> CliError {
    let message = format!("{to:?} was not found in time; nothing was stored or sent");
    let hint = format!("pouch contact add {to} waits longer");
    CliError::new(Exit::TimedOut, "timed_out", message, hint)
}

async fn text(args: &Send) -> Result<String, CliError> {
    let bytes = match (&args.text, &args.file) {
        (Some(text), _) if text != "-" => return checked(text.clone()),
        (Some(_), _) => standard_input().await?,
        (None, Some(path)) => {
            let name = path.display().to_string();
            let file = std::fs::File::open(path);
            let hint = "name a file that can be read";
            let file = file.map_err(|e| CliError::io(format!("cannot read {name}"), &e, hint))?;
            read_all(file, &name)?
        }
        (None, None) => return Err(no_text()),
    };
    let text = String::from_utf8(bytes).map_err(|_| {
        CliError::failed("not_text", "the text is not UTF-8", "convert it, or send it otherwise")
    })?;
    checked(text)
}

pub(super) fn checked(text: String) -> Result<String, CliError> {
    if text.trim().is_empty() { Err(no_text()) } else { Ok(text) }
}

fn no_text() -> CliError {
    CliError::usage("there is no text", "pouch send TO TEXT, or - to read it")
}

/// On a thread of its own, so that an interruption is noticed meanwhile.
async fn standard_input() -> Result<Vec<u8>, CliError> {
    let read = tokio::task::spawn_blocking(|| read_all(std::io::stdin(), "standard input")).await;
    read.unwrap_or_else(|_| {
        Err(CliError::failed("internal", "standard input was not read", "report this bug"))
    })
}

/// All of it, but not more than it takes to see that it is too much.
fn read_all(from: impl Read, name: &str) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let limit = MAX_TEXT as u64 + 1;
    from.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|e| CliError::io(format!("cannot read {name}"), &e, "check it"))?;
    if bytes.len() > MAX_TEXT {
        let message = format!("the text has more than {MAX_TEXT} bytes, which is what fits");
        let hint = "send it in parts; nothing of it was stored";
        return Err(CliError::failed("too_large", message, hint));
    }
    Ok(bytes)
}

fn report(
    client: &mut Client,
    sent: &Sent,
    state: State,
    wanted: Option<WaitFor>,
    printer: &Printer,
) -> Result<(), CliError> {
    let reason = show(client, sent, state, printer)?;
    let next = format!("pouch why {}", sent.id);
    if let Some(wanted) = wanted.map(State::from).filter(|wanted| !state.reached(*wanted)) {
        let message = format!("the message is {state}, not {wanted}");
        return Err(CliError::new(Exit::TimedOut, "timed_out", message, next));
    }
    if state.is_lost() {
        let is_denied = reason.is_some_and(|reason| reason.starts_with("DENIED"));
        let (exit, code) =
            if is_denied { (Exit::Denied, "denied") } else { (Exit::Failed, "failed") };
        return Err(CliError::new(exit, code, format!("the message is {state}"), next));
    }
    Ok(())
}

/// Prints where the message is; returns why it is not further.
fn show(
    client: &mut Client,
    sent: &Sent,
    state: State,
    printer: &Printer,
) -> Result<Option<String>, CliError> {
    let (reason, detail) = match client.why(&sent.id).map_err(explain)? {
        why if state.is_lost() => (Some(why.message.reason), String::new()),
        why => match why.waiting.filter(|_| state == State::Queued) {
            Some(waiting) => (Some(waiting.reason), waiting.detail),
            None => (None, String::new()),
        },
    };
    let reason = reason.filter(|reason| !reason.is_empty());
    let (id, chat) = (sent.id.to_string(), sent.chat.clone());
    let row = SentRow { id, chat, state: state.to_string(), reason };
    printer.object(&row, || {
        let mut why = row.reason.as_deref().map(|r| format!(": {}", safe(r))).unwrap_or_default();
        if !detail.is_empty() {
            why += &format!(" ({})", safe(&detail));
        }
        format!("{} to {}{why}  {}", row.state, safe(&row.chat), row.id)
    })?;
    Ok(row.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_nothing_is_refused_and_what_is_too_long_is_not_read_to_its_end() {
        for nothing in ["", " ", "\n", "\t \r\n", "\u{3000}"] {
            let refused = checked(nothing.to_owned()).unwrap_err();
            assert_eq!((refused.exit, &*refused.message), (Exit::Usage, "there is no text"));
        }
        assert_eq!(checked("hi\n".to_owned()).unwrap(), "hi\n", "exactly what was given");
        let fits = vec![b'x'; MAX_TEXT];
        assert_eq!(read_all(fits.as_slice(), "it").unwrap(), fits);
        let endless = std::io::repeat(b'x');
        let refused = read_all(endless, "it").unwrap_err();
        assert!(refused.message.contains("more than 61440"), "{refused:?}");
    }

    #[test]
    fn an_interruption_before_anything_was_stored_says_so() {
        let error = nothing_stored();
        assert_eq!((error.exit, error.code), (Exit::Interrupted, "interrupted"));
        assert!(error.hint.contains("nothing was stored"));
    }
}
