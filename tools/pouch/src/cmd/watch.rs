//! `watch`: what happens, as it happens, one line each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postroad_cli::{CliError, Format, GlobalArgs, Printer, json_line, now_ms, rfc3339_ms, safe};
use postroad_client::{Client, Event, Message, Query, Signs};
use postroad_proto::ids::AccountId;
use serde::Serialize;

use crate::args;
use crate::error::explain;
use crate::profile::sync;
use crate::view::MessageRow;

/// How long one round may wait for something to happen.
const ROUND: Duration = Duration::from_secs(5);

/// One line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Line {
    Message(MessageRow),
    /// The message as it is now, after an edit, a deletion or a reaction.
    Changed(MessageRow),
    State {
        id: String,
        chat: String,
        state: String,
    },
    Request {
        account: String,
    },
    Contact {
        account: String,
    },
    Problem {
        code: String,
        message: String,
    },
    /// A contact does something else than before.
    Signs {
        chat: String,
        writing: bool,
        here: bool,
    },
    Online {
        at: String,
    },
    Offline {
        reason: String,
        at: String,
    },
}

pub(crate) async fn run(
    client: &mut Client,
    args: &args::Watch,
    global: &GlobalArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    // A program reads this, unless somebody says otherwise.
    let is_human = matches!(global.output, Some(Format::Table | Format::Wide));
    let signs = args.signs.then(BTreeMap::new);
    let mut watch =
        Watch { client, printer, is_human, newest: 0, online: None, shown: BTreeSet::new(), signs };
    watch.newest = watch.client.newest_event().map_err(explain)?;
    sync(watch.client, printer).await?;
    watch.client.unlock().map_err(explain)?;
    watch.connection()?;
    let query = Query { unshown: true, ..Query::default() };
    let waiting = watch.client.messages(&query).map_err(explain)?;
    watch.shown = waiting.iter().map(|message| message.row).collect();
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
    /// Rows that were shown before their events were seen.
    shown: BTreeSet<i64>,
    /// What contacts did last, if that is wanted.
    signs: Option<BTreeMap<AccountId, Signs>>,
}

impl Watch<'_> {
    async fn round(&mut self) -> Result<(), CliError> {
        self.connection()?;
        self.signs()?;
        for (number, event) in self.client.events_since(self.newest).map_err(explain)? {
            self.newest = number;
            match event {
                Event::Message { row } => {
                    // Whatever another command has shown meanwhile: who watches sees all of it.
                    if !self.shown.remove(&row) {
                        let message = self.client.message_at(row).map_err(explain)?;
                        let new: Vec<Message> = message.into_iter().collect();
                        self.show(&new).await?;
                    }
                }
                Event::State { row, state } => {
                    if let Some(message) = self.client.message_at(row).map_err(explain)? {
                        let (id, chat) = (message.id.to_string(), message.chat);
                        self.line(&Line::State { id, chat, state: state.to_string() })?;
                    }
                }
                Event::Changed { row } => {
                    // One that vanished is no more.
                    if let Some(message) = self.client.message_at(row).map_err(explain)? {
                        self.line(&Line::Changed(MessageRow::from(&message)))?;
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

    /// What contacts do has no events: it is compared with before.
    fn signs(&mut self) -> Result<(), CliError> {
        let Some(before) = &mut self.signs else { return Ok(()) };
        let now = self.client.signs().map_err(explain)?;
        let before = std::mem::replace(before, now.clone());
        let all: BTreeSet<AccountId> = before.keys().chain(now.keys()).copied().collect();
        for account in all {
            let of = |signs: &BTreeMap<AccountId, Signs>| signs.get(&account).copied();
            let Signs { writing, here } = of(&now).unwrap_or_default();
            if of(&before).unwrap_or_default() != (Signs { writing, here }) {
                let chat = self.client.contact(&account.to_string()).map_err(explain)?.name;
                self.line(&Line::Signs { chat, writing, here })?;
            }
        }
        Ok(())
    }

    fn connection(&mut self) -> Result<(), CliError> {
        // Another process's connection is as good: what it takes is in the database at once.
        let online = self.client.is_online() || self.client.is_shared().map_err(explain)?;
        if self.online.replace(online) == Some(online) {
            return Ok(());
        }
        let at = rfc3339_ms(now_ms());
        if online {
            return self.line(&Line::Online { at });
        }
        let reason = self.client.offline_reason().map_err(explain)?;
        let reason = reason.unwrap_or_else(|| "there was no connection yet".to_owned());
        self.line(&Line::Offline { reason, at })
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
            Line::Changed(row) => format!("changed:\n{}", row.human(false)),
            Line::State { id, chat, state } => format!("{state}: {id} to {}\n", safe(chat)),
            Line::Request { account } => format!("{account} asks to write: pouch requests\n"),
            Line::Contact { account } => format!("contact {account}\n"),
            Line::Problem { code, message } => format!("{}: {}\n", safe(code), safe(message)),
            Line::Signs { chat, writing, here } => {
                let does = match (writing, here) {
                    (true, _) => "is writing",
                    (false, true) => "is here",
                    (false, false) => "is not here, as far as they say",
                };
                format!("{} {does}\n", safe(chat))
            }
            Line::Online { at } => format!("online  {at}\n"),
            Line::Offline { reason, at } => format!("offline  {at}  {}\n", safe(reason)),
        };
        self.printer.out(&text)
    }
}
