//! Being the agent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use postroad_cli::{CliError, Printer, rfc3339_ms};
use postroad_client::{Client, Event, Lock};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::hook::{Hooks, News};
use super::place::{Place, running};
use crate::args::{AgentArgs, ProfileArgs};
use crate::cmd::watch::Line;
use crate::error::{LOCKED, explain};
use crate::profile::{directory, open};
use crate::view::MessageRow;

/// How long the agent works on the connection before it looks whether it is to end.
const STEP: Duration = Duration::from_millis(250);
/// When a place that nobody has, and that could not be had, is tried again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How often it is looked whether a locked profile was unlocked.
const LOCKED_FOR: Duration = Duration::from_millis(250);

pub(super) async fn run(
    profile: &ProfileArgs,
    args: &AgentArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        let listening = signal(kind);
        let signals = listening.map_err(|e| CliError::io("no signals", &e, "try again"))?;
        tokio::spawn(raise(signals, stop.clone()));
    }
    let mut found = unlocked(profile, printer).await?;
    let place = directory(profile)?;
    let _place = loop {
        if let Some(taken) = Place::take(&place)? {
            break taken;
        }
        if let Some(found) = running(&place)? {
            return printer.object(&found, || format!("the agent {} already", found.human()));
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Somebody has just looked whether one runs, which takes the lock for a moment.
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    while !stop.load(Ordering::Relaxed) {
        if let Some(client) = found.take() {
            match serve(client, args, &stop, printer).await {
                Err(error) if error.code == LOCKED => say_locked(printer),
                ended => return ended,
            }
        } else {
            tokio::time::sleep(LOCKED_FOR).await;
        }
        found = held(profile, printer).await?;
    }
    Ok(())
}

/// The profile, if it can be opened now; none while it is locked.
async fn unlocked(profile: &ProfileArgs, printer: &Printer) -> Result<Option<Client>, CliError> {
    match open(profile, false, printer).await {
        Ok(client) => {
            client.unlock().map_err(explain)?;
            Ok(Some(client))
        }
        Err(error) if error.code == LOCKED => {
            say_locked(printer);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The profile once somebody has unlocked it, or has taken its passphrase away. The passphrase that
/// the agent was given at its start does not count any more: somebody has locked it since.
async fn held(profile: &ProfileArgs, printer: &Printer) -> Result<Option<Client>, CliError> {
    let lock = Lock::of(&directory(profile)?);
    if lock.is_set().map_err(explain)? && !lock.is_open().map_err(explain)? {
        return Ok(None);
    }
    unlocked(profile, printer).await
}

fn say_locked(printer: &Printer) {
    let at = rfc3339_ms(postroad_cli::now_ms());
    printer.warn(&format!("{at} locked: nothing comes in until pouch unlock"));
}

/// Is the agent until it is to end, or the profile is locked: then all keys go with the client.
async fn serve(
    mut client: Client,
    args: &AgentArgs,
    stop: &AtomicBool,
    printer: &Printer,
) -> Result<(), CliError> {
    let hooks = Hooks::new(args, printer);
    let seen = match client.remembered_event().map_err(explain)? {
        Some(seen) => seen,
        None => {
            // Kept at once: what comes in after this agent, even if nothing came in before, is news.
            let newest = client.newest_event().map_err(explain)?;
            client.remember_event(newest).map_err(explain)?;
            newest
        }
    };
    let mut agent = Agent { client, hooks, seen, remembered: seen, told: None };
    let mut ended = Ok(());
    while ended.is_ok() && !stop.load(Ordering::Relaxed) {
        ended = agent.turn(printer).await;
    }
    if ended.as_ref().is_err_and(|error: &CliError| error.code != LOCKED) {
        return ended;
    }
    agent.hooks.finish().await;
    agent.remember()?;
    agent.client.disconnect();
    ended
}

async fn raise(mut signals: Signal, stop: Arc<AtomicBool>) {
    while signals.recv().await.is_some() {
        stop.store(true, Ordering::Relaxed);
    }
}

struct Agent {
    client: Client,
    hooks: Hooks,
    /// The last event that was looked at, and the last that needs no more looking at: what lies
    /// between is being told.
    seen: i64,
    remembered: i64,
    /// Whether it was told last that there is a connection.
    told: Option<bool>,
}

impl Agent {
    async fn turn(&mut self, printer: &Printer) -> Result<(), CliError> {
        self.client.step(STEP).await.map_err(explain)?;
        for (number, event) in self.client.events_since(self.seen).map_err(explain)? {
            // A slow hook must not keep the connection from its work: what is over stays where it is.
            if !self.hooks.has_room() {
                break;
            }
            if let Some(news) = self.news(&event)? {
                self.hooks.tell(number, news);
            }
            self.seen = number;
        }
        self.remember()?;
        self.connection(printer)
    }

    /// Keeps how far everything has been told: what had not when the agent was killed is told again.
    fn remember(&mut self) -> Result<(), CliError> {
        let done = self.hooks.first_open().map_or(self.seen, |open| open - 1);
        if done > self.remembered {
            self.client.remember_event(done).map_err(explain)?;
            self.remembered = done;
        }
        Ok(())
    }

    fn news(&mut self, event: &Event) -> Result<Option<News>, CliError> {
        Ok(match event {
            Event::Message { row } => {
                // It may have been deleted, or have vanished, meanwhile.
                let found = self.client.message_at(*row).map_err(explain)?;
                found.map(|message| News {
                    event: "message",
                    chat: message.chat.clone(),
                    id: message.id.to_string(),
                    text: MessageRow::from(&message).body(),
                    line: postroad_cli::json_line(&Line::Message(MessageRow::from(&message))),
                })
            }
            Event::Request { account } => {
                let account = account.to_string();
                let name = self.client.contact(&account).map(|c| c.name).unwrap_or_default();
                Some(News {
                    event: "request",
                    chat: name,
                    id: account.clone(),
                    text: "asks to write to you".to_owned(),
                    line: postroad_cli::json_line(&Line::Request { account }),
                })
            }
            _ => None,
        })
    }

    /// Says when the connection comes and goes, with the time: for the log.
    fn connection(&mut self, printer: &Printer) -> Result<(), CliError> {
        let online = self.client.is_online() || self.client.is_shared().map_err(explain)?;
        if self.told.replace(online) == Some(online) {
            return Ok(());
        }
        let at = rfc3339_ms(postroad_cli::now_ms());
        if online {
            printer.warn(&format!("{at} connected"));
        } else {
            let reason = self.client.offline_reason().map_err(explain)?.unwrap_or_default();
            printer.warn(&format!("{at} offline: {}", postroad_cli::safe(&reason)));
        }
        Ok(())
    }
}
