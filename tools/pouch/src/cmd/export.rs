//! `export`: a whole conversation, for other programs or for a browser without any network.

mod draft;
mod page;

use std::io::IsTerminal;
use std::path::Path;

use postroad_cli::{CliError, Printer, json_line, safe};
use postroad_client::{Client, ContactView, Message, Query};
use serde::Serialize;

use self::draft::Draft;
use self::page::Page;
use crate::args::{Export, ExportFormat};
use crate::error::explain;
use crate::profile::sync;
use crate::view::MessageRow;

/// Messages in memory at a time; each may be as large as an envelope.
const PAGE: usize = 100;

/// What is printed about a file once it is there.
#[derive(Serialize)]
struct ExportRow {
    chat: String,
    file: String,
    messages: u64,
}

pub(crate) async fn run(
    client: &mut Client,
    args: &Export,
    printer: &Printer,
) -> Result<(), CliError> {
    let file = args.out.as_deref().filter(|path| *path != Path::new("-"));
    if args.out.is_none() && args.format == ExportFormat::Html && std::io::stdout().is_terminal() {
        return Err(CliError::usage(
            "an HTML page is nothing to read on a terminal",
            "name a file: -O FILE; -O - writes it here all the same",
        ));
    }
    sync(client, printer).await?;
    let contact = client.contact(&args.chat).map_err(explain)?;
    // Whoever reads slowly at the other end of a pipe is not to hold up other commands.
    client.disconnect();
    client.unlock().map_err(explain)?;
    let out = match file {
        Some(path) => Out::File(Draft::begin(path, printer)?),
        None => Out::Stdout(printer),
    };
    let mut export = Writing { out, format: Format::of(args.format, &contact), counts: (0, 0) };
    export.all(client, &contact).await?;
    let (messages, vanishing) = export.counts;
    if vanishing > 0 {
        let s = if vanishing == 1 { " vanishes" } else { "s vanish" };
        printer.warn(&format!("warning: {vanishing} text{s} here some day, but not in the export"));
    }
    let (Out::File(draft), Some(path)) = (export.out, file) else { return Ok(()) };
    draft.publish()?;
    let file = path.display().to_string();
    let row = ExportRow { chat: contact.name, file, messages };
    let s = if messages == 1 { "" } else { "s" };
    printer.object(&row, || format!("{messages} message{s} written to {}", safe(&row.file)))
}

/// Where it goes.
enum Out<'a> {
    Stdout(&'a Printer),
    File(Draft),
}

impl Out<'_> {
    fn write(&mut self, text: &str) -> Result<(), CliError> {
        match self {
            Self::Stdout(printer) => printer.out(text),
            Self::File(draft) => draft.write(text),
        }
    }
}

/// How it is written.
enum Format {
    /// One object per line, as `read` prints it.
    Lines {
        blocked: bool,
    },
    Page(Page),
}

impl Format {
    fn of(wanted: ExportFormat, contact: &ContactView) -> Self {
        match wanted {
            ExportFormat::Jsonl => Self::Lines { blocked: contact.blocked },
            ExportFormat::Html => Self::Page(Page::default()),
        }
    }

    fn message(&mut self, message: &Message) -> String {
        match self {
            Self::Lines { blocked } => {
                let mut row = MessageRow::from(message);
                row.blocked = *blocked;
                json_line(&row) + "\n"
            }
            Self::Page(page) => page.message(message),
        }
    }
}

struct Writing<'a> {
    out: Out<'a>,
    format: Format,
    /// Messages, and of these the texts that vanish.
    counts: (u64, u64),
}

impl Writing<'_> {
    /// Writes the conversation, oldest first, page by page: it may be larger than the memory.
    async fn all(&mut self, client: &mut Client, contact: &ContactView) -> Result<(), CliError> {
        if let Format::Page(_) = &self.format {
            self.out.write(&page::head(contact))?;
        }
        let account = Some(contact.account);
        let mut query = Query { contact: account, requests: true, first: PAGE, ..Query::default() };
        loop {
            let messages = client.messages(&query).map_err(explain)?;
            let Some(last) = messages.last() else { break };
            query.after = last.row;
            let vanishing =
                |message: &&Message| message.text.is_some() && message.vanish_after.is_some();
            self.counts.0 += messages.len() as u64;
            self.counts.1 += messages.iter().filter(vanishing).count() as u64;
            let texts: Vec<String> = messages.iter().map(|m| self.format.message(m)).collect();
            self.out.write(&texts.concat())?;
            // So that an interruption is noticed.
            tokio::task::yield_now().await;
        }
        if let Format::Page(_) = &self.format {
            self.out.write(&page::foot(self.counts.0))?;
        }
        Ok(())
    }
}
