//! `watch`: what happens, as it happens, one line each.

use std::time::Duration;

use postroad_cli::{CliError, Format, GlobalArgs, Printer, json_line, safe};
use postroad_client::{Client, Event, Message, Query};
use serde::Serialize;

use crate::error::explain;
use crate::profile::sync;
use crate::view::MessageRow;

/// How long one round may wait for something to happen.
const ROUND: Duration = Duration::from_secs(5);

/// One line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line {
    Message(MessageRow),
    State { id: String, chat: String, state: String },
    Request { account: String },
    Contact { account: String },
    Problem { code: String, message: String },
    Online,
    Offline,
}

pub(crate) async fn run(
    client: &mut Client,
    global: &GlobalArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    // A program reads this, unless somebody says otherwise.
    let is_human = matches!(global.output, Some(Format::Table | Format::Wide));
    let mut watch = Watch { client, printer, is_human, newest: 0, online: None };
    watch.newest = watch.client.newest_event().map_err(explain)?;
    sync(watch.client, printer).await?;
    watch.client.unlock().map_err(explain)?;
    watch.connection()?;
    let query = Query { unshown: true, ..Query::default() };
    let waiting = watch.client.messages(&query).map_err(explain)?;
    watch.show(&waiting).await?;
    loop {
        watch.round().await?;
        watch.client.step(ROUND).await.map_err(explain)?;
    }
}

struct Watch<'a> {
    client: &'a mut Client,
    printer: &'a Printer,
    is_human: bool,
    newest: i64,
    online: Option<bool>,
}

impl Watch<'_> {
    async fn round(&mut self) -> Result<(), CliError> {
        self.connection()?;
        for (number, event) in self.client.events_since(self.newest).map_err(explain)? {
            self.newest = number;
            match event {
                Event::Message { row } => {
                    let message = self.client.message_at(row).map_err(explain)?;
                    // What another command showed is not new.
                    let new: Vec<Message> = message.into_iter().filter(|m| !m.shown).collect();
                    self.show(&new).await?;
                }
                Event::State { row, state } => {
                    if let Some(message) = self.client.message_at(row).map_err(explain)? {
                        let (id, chat) = (message.id.to_string(), message.chat);
                        self.line(&Line::State { id, chat, state: state.to_string() })?;
                    }
                }
                Event::Request { account } => {
                    self.line(&Line::Request { account: account.to_string() })?;
                }
                Event::Contact { account } => {
                    self.line(&Line::Contact { account: account.to_string() })?;
                }
                Event::Problem { code, message } => self.line(&Line::Problem { code, message })?,
            }
        }
        Ok(())
    }

    fn connection(&mut self) -> Result<(), CliError> {
        let online = self.client.is_online();
        if self.online.replace(online) == Some(online) {
            return Ok(());
        }
        self.line(if online { &Line::Online } else { &Line::Offline })
    }

    /// Prints messages, marks them, and lets their senders know if they may.
    async fn show(&mut self, messages: &[Message]) -> Result<(), CliError> {
        if messages.is_empty() {
            return Ok(());
        }
        for message in messages {
            self.line(&Line::Message(MessageRow::from(message)))?;
        }
        self.client.mark_shown(messages).map_err(explain)?;
        if self.client.is_online() {
            sync(self.client, self.printer).await?;
        }
        Ok(())
    }

    fn line(&self, line: &Line) -> Result<(), CliError> {
        if !self.is_human {
            return self.printer.out(&format!("{}\n", json_line(line)));
        }
        let text = match line {
            Line::Message(row) => row.human(false),
            Line::State { id, chat, state } => format!("{state}: {id} to {}\n", safe(chat)),
            Line::Request { account } => format!("{account} asks to write: pouch requests\n"),
            Line::Contact { account } => format!("contact {account}\n"),
            Line::Problem { code, message } => format!("{}: {}\n", safe(code), safe(message)),
            Line::Online => "online\n".to_owned(),
            Line::Offline => "offline\n".to_owned(),
        };
        self.printer.out(&text)
    }
}
