//! The connection, on a thread of its own: neither a slow node nor much mail keeps the user waiting.
//! It has its own [`Client`] on the profile; what it does shows in the database.

use std::time::Duration;

use postroad_cli::{CliError, now_ms};
use postroad_client::{Client, ContactView, Error, Names};
use postroad_proto::link::ContactLink;
use postroad_proto::record::Handle;
use tokio::sync::mpsc;

use super::input::Data;
use super::model::{Link, Trouble};
use crate::cmd::{join_link, offline_lookup, refused_join};
use crate::error::explain;

/// How long one round may wait for something to happen; an order waits as long.
const ROUND: Duration = Duration::from_millis(100);
/// How long to wait after the database has failed.
const PAUSE: Duration = Duration::from_secs(3);
/// Orders and news that wait at most.
const WAITING: usize = 16;

/// What needs the node.
#[derive(Debug)]
pub(super) enum Order {
    /// Make an account.
    Join { link: String, name: String },
    /// Add a contact.
    Add { contact: String, name: String },
}

/// The other end of the thread. It ends when this is dropped.
pub(super) struct Net {
    orders: mpsc::Sender<Order>,
    /// What it tells. An error is the last.
    news: mpsc::Receiver<Result<Data, CliError>>,
}

impl Net {
    /// Starts the thread, with a client of its own.
    pub(super) fn start(client: Client, names: Names) -> Self {
        let (orders, taken) = mpsc::channel(WAITING);
        let (told, news) = mpsc::channel(WAITING);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let worker = Worker { client, names, told: told.clone() };
                if let Err(error) = worker.run(taken).await {
                    // Nobody listens any more when the screen is closed.
                    let _ = told.send(Err(explain(error))).await;
                }
            });
        });
        Self { orders, news }
    }

    /// What it tells next. An error is the end of it.
    pub(super) async fn told(&mut self) -> Result<Data, CliError> {
        // It only ends without a word when it panics, and then the terminal was given back.
        let bug = || Err(CliError::failed("internal", "the connection failed", "report this bug"));
        self.news.recv().await.unwrap_or_else(bug)
    }

    /// Hands an order in. False when too many wait.
    pub(super) fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }
}

/// What an error says.
pub(super) fn trouble(error: CliError) -> Trouble {
    Trouble { message: error.message, hint: error.hint }
}

struct Worker {
    client: Client,
    names: Names,
    told: mpsc::Sender<Result<Data, CliError>>,
}

impl Worker {
    /// Until the screen is closed.
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) -> Result<(), Error> {
        let mut last = None;
        let mut is_joined = self.client.is_joined()?;
        loop {
            let order = match orders.try_recv() {
                Ok(order) => Some(order),
                Err(mpsc::error::TryRecvError::Disconnected) => return Ok(()),
                // Without an account there is nothing else to do.
                Err(mpsc::error::TryRecvError::Empty) if !is_joined => match orders.recv().await {
                    Some(order) => Some(order),
                    None => return Ok(()),
                },
                Err(mpsc::error::TryRecvError::Empty) => None,
            };
            if let Some(order) = order {
                let answer = self.answer(order).await.unwrap_or_else(|e| Data::Failed(trouble(e)));
                self.tell(answer).await;
                is_joined = self.client.is_joined()?;
            }
            if !is_joined {
                continue;
            }
            let link = match self.round().await {
                Ok(link) => link,
                Err(error) => {
                    // A full disk may have room again.
                    let reason = explain(error).message;
                    let pause = u64::try_from(PAUSE.as_millis()).unwrap_or(0);
                    let link = Link::Offline { reason, next_try: Some(now_ms() + pause) };
                    self.tell(Data::Link(link)).await;
                    tokio::time::sleep(PAUSE).await;
                    last = None;
                    continue;
                }
            };
            if last.as_ref() != Some(&link) {
                self.tell(Data::Link(link.clone())).await;
                last = Some(link);
            }
        }
    }

    async fn round(&mut self) -> Result<Link, Error> {
        self.client.step(ROUND).await?;
        self.link()
    }

    async fn tell(&self, data: Data) {
        // The screen is closed: the next look for orders ends this.
        let _ = self.told.send(Ok(data)).await;
    }

    fn link(&mut self) -> Result<Link, Error> {
        if self.client.is_online() {
            return Ok(Link::Online);
        }
        if self.client.is_shared()? {
            return Ok(Link::Shared);
        }
        let reason = self.client.offline_reason()?.unwrap_or_default();
        let wait = self.client.retries_in();
        let next = wait.map(|wait| now_ms() + u64::try_from(wait.as_millis()).unwrap_or(0));
        // To the second: it is counted down elsewhere, and is the same until the next try.
        let next_try = next.map(|at| at.next_multiple_of(1000));
        Ok(Link::Offline { reason, next_try })
    }

    async fn answer(&mut self, order: Order) -> Result<Data, CliError> {
        match order {
            Order::Join { link, name } => {
                let link = join_link(&link)?;
                let handle = Some(name).filter(|name| !name.is_empty());
                let handle = handle.as_deref().map(str::parse::<Handle>).transpose();
                let handle =
                    handle.map_err(|e| CliError::usage(e.to_string(), "choose another handle"))?;
                let joined = self.client.join(&link, handle.as_ref()).await;
                joined.map_err(|error| refused_join(&link, error))?;
                Ok(Data::Joined)
            }
            Order::Add { contact, name } => {
                let name = Some(name.as_str()).filter(|name| !name.is_empty());
                let added = self.add(&contact, name).await?;
                Ok(Data::Added(added.account))
            }
        }
    }

    async fn add(&mut self, contact: &str, name: Option<&str>) -> Result<ContactView, CliError> {
        if !contact.starts_with("postroad:") {
            return self.add_handle(contact, name).await;
        }
        let link: ContactLink = contact.parse().map_err(|e| explain(Error::Link(e)))?;
        let added = self.client.add_link(&link, name).map_err(explain)?;
        match self.client.redeem_link(&added.account).await {
            // It is redeemed with the next connection.
            Err(Error::Connection(_)) => {
                self.client.disconnect();
                Ok(added)
            }
            redeemed => redeemed.map_err(explain),
        }
    }

    async fn add_handle(
        &mut self,
        handle: &str,
        name: Option<&str>,
    ) -> Result<ContactView, CliError> {
        if !self.client.is_online() {
            // Another command may have the connection, and only the home can ask for handles.
            self.client.take_over().await.map_err(explain)?;
            self.client.step(ROUND).await.map_err(explain)?;
        }
        if !self.client.is_online() {
            return Err(offline_lookup(handle));
        }
        self.client.add_handle(handle, name, &self.names).await.map_err(explain)
    }
}
