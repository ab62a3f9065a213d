//! The full screen: what `pouch` shows on a terminal when it is given no command.
//!
//! [`app::App`] is the whole state and decides: what happens goes in, what is to be done comes out.
//! [`draw`] shows it. Both know no terminal and no profile. [`desk`] reads and writes the profile,
//! [`net`] has the connection on a thread of its own, [`terminal`] reads keys, and [`run`] brings
//! them together.

mod app;
mod conversation;
mod desk;
mod dialog;
mod draw;
mod editor;
mod input;
mod keys;
mod layout;
mod model;
mod net;
mod safety;
mod scroll;
mod signs;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod theme;
mod views;

use std::collections::VecDeque;
use std::time::Duration;

use clap::Parser;
use postroad_cli::{CliError, now_ms};
use postroad_client::{Client, Error, StorageError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::args::Bare;
use crate::error::explain;
use crate::passphrase;
use crate::profile;
use app::App;
use desk::Desk;
use input::{Action, Data, Input};
use model::{Link, Trouble};
use net::{Net, Order};
use terminal::Screen;
use theme::Theme;

/// How often it is looked whether something has happened in the profile.
const TICK: Duration = Duration::from_millis(100);
/// How long the end may take for contacts to be told of it.
const FAREWELL: Duration = Duration::from_millis(400);
/// Ticks after which it is also looked for what happens without an event.
const AROUND: u64 = 10;

/// Whether the command line names no command, and there is a terminal to show the screen on.
pub(crate) fn is_wanted() -> bool {
    terminal::is_there() && Bare::try_parse().is_ok_and(|bare| !bare.global.format().is_json())
}

/// Shows the screen until the user has enough.
pub(crate) fn run(bare: &Bare) -> Result<(), CliError> {
    let names = profile::names(&bare.profile)?;
    let client = open(bare)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CliError::io("cannot start", &e, "try again"))?;
    runtime.block_on(async {
        let net = match client.is_read_only() {
            true => None,
            false => Some(Net::start(client.another().map_err(explain)?, names)),
        };
        let screen = Screen::open()?;
        let app = App::new(Theme::of_environment(), screen.size()?, now_ms());
        let mut live = Live { screen, app, desk: Desk::new(client), net, is_stale: true };
        let ended = live.follow().await;
        live.leave().await;
        ended
    })
}

/// Opens the profile, for reading alone where nothing can be written.
fn open(bare: &Bare) -> Result<Client, CliError> {
    match profile::open_as_given(&bare.profile) {
        Err(error) if matches!(error.code, "read_only" | "disk_full") => {
            let given = passphrase::given(&bare.profile)?;
            let directory = profile::directory(&bare.profile)?;
            Client::open_read_only(&directory, given.as_ref()).map_err(|_| error)
        }
        opened => {
            let mut client = opened?;
            client.used().map_err(explain)?;
            Ok(client)
        }
    }
}

/// Everything that runs.
struct Live {
    screen: Screen,
    app: App,
    desk: Desk,
    /// Absent when the profile can only be read.
    net: Option<Net>,
    /// Whether the terminal shows something else than the state.
    is_stale: bool,
}

impl Live {
    async fn follow(&mut self) -> Result<(), CliError> {
        let mut keys = terminal::keys();
        let mut ends = Ends::new()?;
        let mut ticker = tokio::time::interval(TICK);
        ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ticks: u64 = 0;
        let first = self.desk.start().map_err(explain)?;
        if self.net.is_none() {
            self.take(vec![Data::Link(Link::ReadOnly).into()])?;
        }
        self.take(first.into_iter().map(Input::from).collect())?;
        loop {
            if core::mem::take(&mut self.is_stale) {
                self.draw()?;
            }
            let inputs = tokio::select! {
                biased;
                () = ends.come() => return Err(crate::interrupted()),
                key = keys.recv() => typed(key, &mut keys)?,
                news = told(self.net.as_mut()) => self.hear(news?),
                _ = ticker.tick() => {
                    if self.desk.client.was_locked() {
                        return Err(explain(StorageError::Locked.into()));
                    }
                    ticks += 1;
                    let is_around = ticks.is_multiple_of(AROUND);
                    // The next try is counted down.
                    self.is_stale |= is_around;
                    self.look(is_around)
                }
            };
            if !self.take(inputs)? {
                return Ok(());
            }
        }
    }

    /// Contacts are told that the user has gone, before a connection that is ours ends.
    async fn leave(&mut self) {
        self.desk.leave();
        let until = tokio::time::Instant::now() + FAREWELL;
        let is_ours = self.app.standing.link == Link::Online;
        while is_ours && !self.desk.is_told() && tokio::time::Instant::now() < until {
            tokio::time::sleep(FAREWELL / 20).await;
        }
    }

    fn draw(&mut self) -> Result<(), CliError> {
        let size = self.screen.size()?;
        if size != self.app.size {
            // Before the terminal's own word comes through the queue of keys.
            let actions = self.app.handle(Input::Resize(size.0, size.1));
            self.perform(actions)?;
        }
        self.screen.draw(&self.app)
    }

    /// What the connection tells.
    fn hear(&mut self, news: Data) -> Vec<Input> {
        let joined = matches!(news, Data::Joined);
        let mut data = vec![news];
        if joined {
            data.extend(self.desk.start().unwrap_or_else(|error| vec![failed(error)]));
        }
        data.into_iter().map(Input::from).collect()
    }

    /// What has happened in the profile.
    fn look(&mut self, is_around: bool) -> Vec<Input> {
        let mut inputs = vec![Input::Tick(now_ms())];
        if self.app.start.is_none() {
            let mut news = self.desk.news();
            if let (true, Ok(data)) = (is_around, &mut news) {
                match self.desk.look_around() {
                    Ok(more) => data.extend(more),
                    Err(error) => news = Err(error),
                }
            }
            let news = news.unwrap_or_else(|error| vec![failed(error)]);
            inputs.extend(news.into_iter().map(Input::from));
        }
        inputs
    }

    /// Deals with what happened. False at the end.
    fn take(&mut self, inputs: Vec<Input>) -> Result<bool, CliError> {
        for input in inputs {
            self.is_stale |= !matches!(input, Input::Tick(_));
            let actions = self.app.handle(input);
            if !self.perform(actions)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Does what is to be done, and what comes of it. False at the end.
    fn perform(&mut self, actions: Vec<Action>) -> Result<bool, CliError> {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            self.is_stale = true;
            let data = match action {
                Action::Quit => return Ok(false),
                Action::Redraw => {
                    self.screen.redraw()?;
                    Vec::new()
                }
                Action::Copy(text) => vec![self.copy(&text)?],
                Action::Join { link, name } => self.order(Order::Join { link, name }),
                Action::Add { contact, name } => self.order(Order::Add { contact, name }),
                other => self.desk.act(other),
            };
            for data in data {
                actions.extend(self.app.handle(data.into()));
            }
        }
        Ok(true)
    }

    fn copy(&mut self, text: &str) -> Result<Data, CliError> {
        Ok(if self.screen.copy(text)? {
            Data::Done("handed to the terminal to copy".to_owned())
        } else {
            let message = "this text is longer than terminals copy".to_owned();
            Data::Failed(Trouble { message, hint: "F3 and the mouse".to_owned() })
        })
    }

    fn order(&mut self, order: Order) -> Vec<Data> {
        if self.net.as_ref().is_some_and(|net| net.order(order)) {
            return Vec::new();
        }
        let message = "this cannot be done now".to_owned();
        vec![Data::Failed(Trouble { message, hint: "try again in a while".to_owned() })]
    }
}

fn failed(error: Error) -> Data {
    Data::Failed(net::trouble(explain(error)))
}

/// A key, and those that were typed before it was looked at.
fn typed(key: Option<Input>, keys: &mut mpsc::Receiver<Input>) -> Result<Vec<Input>, CliError> {
    let Some(key) = key else {
        return Err(CliError::failed("terminal", "the terminal is gone", "open another"));
    };
    let mut inputs = vec![key];
    while let Ok(key) = keys.try_recv() {
        inputs.push(key);
    }
    Ok(inputs)
}

/// What the connection tells next, if there is one.
async fn told(net: Option<&mut Net>) -> Result<Data, CliError> {
    match net {
        Some(net) => net.told().await,
        None => std::future::pending().await,
    }
}

/// Signals that end the program: the terminal is given back first.
struct Ends {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Ends {
    fn new() -> Result<Self, CliError> {
        let on = |kind| signal(kind).map_err(|e| CliError::io("cannot start", &e, "try again"));
        Ok(Self {
            hangup: on(SignalKind::hangup())?,
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
        })
    }

    async fn come(&mut self) {
        tokio::select! {
            _ = self.hangup.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
