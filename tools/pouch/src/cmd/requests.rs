//! People who ask to write: `requests ls|accept|ignore|block`.

use postroad_cli::{CliError, Column, Printer, Row, safe};
use postroad_client::{Client, ContactView, Query};
use serde::Serialize;

use crate::args::Request;
use crate::error::explain;
use crate::profile::sync;
use crate::view::{ContactRow, MessageRow, shown_handle};

/// Somebody who asks.
#[derive(Serialize)]
struct RequestRow {
    account: String,
    name: String,
    handle: Option<String>,
    handle_proven: bool,
    text: Option<String>,
    messages: Vec<MessageRow>,
}

impl Row for RequestRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("NAME"),
        Column::text("HANDLE"),
        Column::text("TEXT").gives_way(),
        Column::text("ACCOUNT").wide(),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            shown_handle(self.handle.as_deref(), self.handle_proven),
            self.text.clone().unwrap_or_default(),
            self.account.clone(),
        ]
    }
}

pub(crate) async fn run(
    client: &mut Client,
    verb: Option<&Request>,
    printer: &Printer,
) -> Result<(), CliError> {
    sync(client, printer).await?;
    let (settled, what): (ContactView, _) = match verb {
        None | Some(Request::Ls) => return ls(client, printer),
        Some(Request::Accept { contact }) => (client.accept(contact).map_err(explain)?, "accepted"),
        Some(Request::Ignore { contact }) => (client.ignore(contact).map_err(explain)?, "ignored"),
        Some(Request::Block { contact }) => (block(client, contact)?, "blocked"),
    };
    sync(client, printer).await?;
    let mut row = ContactRow::from(settled);
    if matches!(verb, Some(Request::Ignore { .. })) {
        row.state = "ignored";
    }
    printer.object(&row, || format!("{} is {what}", safe(&row.name)))
}

/// Only somebody who asks; a contact is blocked by `contact block`.
fn block(client: &mut Client, contact: &str) -> Result<ContactView, CliError> {
    let found = client.contact(contact).map_err(explain)?;
    let asking = client.requests().map_err(explain)?;
    if asking.iter().any(|request| request.account == found.account) {
        return client.block(contact).map_err(explain);
    }
    Err(explain(postroad_client::Error::NotFound { what: "request of", name: found.name }))
}

fn ls(client: &mut Client, printer: &Printer) -> Result<(), CliError> {
    let mut rows = Vec::new();
    for request in client.requests().map_err(explain)? {
        let query = Query { contact: Some(request.account), requests: true, ..Query::default() };
        let messages = client.messages(&query).map_err(explain)?;
        rows.push(RequestRow {
            account: request.account.to_string(),
            name: request.name,
            handle_proven: request.handle_proven,
            handle: Some(request.handle).filter(|handle| !handle.is_empty()),
            text: messages.first().and_then(|message| message.text.clone()),
            messages: messages.iter().map(MessageRow::from).collect(),
        });
    }
    printer.rows(&rows, "nobody asks to write to you")
}
