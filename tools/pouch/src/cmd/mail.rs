//! Reading: `chats`, `inbox`, `read`.

use postroad_cli::{CliError, Format, Printer, rfc3339_ms, safe};
use postroad_client::{Client, Message, Query};

use crate::args::{Inbox, Read};
use crate::error::explain;
use crate::profile::sync;
use crate::view::{ChatRow, MessageRow};

pub(crate) async fn chats(client: &mut Client, printer: &Printer) -> Result<(), CliError> {
    sync(client, printer).await?;
    let mut rows = Vec::new();
    for contact in client.contacts().map_err(explain)? {
        let newest = Query { contact: Some(contact.account), last: 1, ..Query::default() };
        let last = client.messages(&newest).map_err(explain)?;
        let unread = client.unread(&contact.account).map_err(explain)?;
        let last = last.into_iter().next();
        let at = last.as_ref().map(|message| message.received_at.unwrap_or(message.sent_at));
        rows.push(ChatRow {
            chat: contact.name,
            blocked: contact.blocked,
            account: contact.account.to_string(),
            unread,
            last_at: at.map(rfc3339_ms),
            last_text: last.and_then(|message| message.text),
            last_ms: at,
        });
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.last_ms));
    printer.rows(&rows, "no conversations yet: pouch contact add LINK")
}

pub(crate) async fn inbox(
    client: &mut Client,
    args: &Inbox,
    printer: &Printer,
) -> Result<(), CliError> {
    sync(client, printer).await?;
    let messages =
        client.messages(&Query { unshown: true, ..Query::default() }).map_err(explain)?;
    print(&messages, false, printer, "nothing new")?;
    let status = client.status().map_err(explain)?;
    if status.requests > 0 {
        printer.hint(&format!("{} ask to write to you: pouch requests", status.requests));
    }
    if args.peek { Ok(()) } else { shown(client, &messages, printer).await }
}

pub(crate) async fn read(
    client: &mut Client,
    args: &Read,
    printer: &Printer,
) -> Result<(), CliError> {
    sync(client, printer).await?;
    let contact = client.contact(&args.chat).map_err(explain)?;
    let query = Query {
        contact: Some(contact.account),
        search: args.search.clone(),
        last: args.last,
        requests: true,
        ..Query::default()
    };
    let messages = client.messages(&query).map_err(explain)?;
    if contact.blocked {
        let name = safe(&contact.name);
        printer.hint(&format!("{name} is blocked; undo: pouch contact unblock {name}"));
    }
    print(&messages, contact.blocked, printer, "no messages")?;
    shown(client, &messages, printer).await
}

/// Marks what was printed, and lets its senders know if they may.
async fn shown(
    client: &mut Client,
    messages: &[Message],
    printer: &Printer,
) -> Result<(), CliError> {
    if client.is_read_only() {
        return Ok(());
    }
    client.mark_shown(messages).map_err(explain)?;
    if client.is_online() && messages.iter().any(|message| !message.outgoing && !message.shown) {
        sync(client, printer).await?;
    }
    Ok(())
}

/// Messages are no table: texts have lines of their own.
fn print(
    messages: &[Message],
    blocked: bool,
    printer: &Printer,
    empty: &str,
) -> Result<(), CliError> {
    let mut rows: Vec<MessageRow> = messages.iter().map(MessageRow::from).collect();
    rows.iter_mut().for_each(|row| row.blocked = blocked);
    let is_wide = printer.format() == Format::Wide;
    printer.list(&rows, empty, || rows.iter().map(|row| row.human(is_wide)).collect())
}
