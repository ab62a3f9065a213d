//! Finding out what is wrong: each part of the way from here to the last ack by itself.

use std::time::Duration;

use postroad_proto::limits::CLOCK_ALLOWANCE_SECONDS;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use super::Client;
use crate::clock;
use crate::connection::Dial;
use crate::db::{int, unsigned};
use crate::error::{ConnectionError, Result};
use crate::identity::Identity;
use crate::messages;
use crate::sync::Synced;

/// How long one address may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long coming into step may take.
const SLOW: Duration = Duration::from_secs(8);
/// When mail that the node has is late at the other one, milliseconds.
const LATE: u64 = 600_000;
/// Problems that are still news, milliseconds.
const RECENT: u64 = 86_400_000;
/// Reasons that are named.
const NAMED: usize = 3;

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// It works, but somebody should look.
    Warn,
    /// It does not work, and here is why.
    Fail,
    /// There was nothing to look at, for what came before failed.
    Skipped,
}

impl Verdict {
    /// As commands print it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }
}

/// What was found at one step of the way.
#[derive(Debug, Clone)]
pub struct Check {
    /// Which step.
    pub step: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty when there is nothing to do.
    pub fix: &'static str,
    /// Whether it failed because the node was not reached.
    pub is_unreachable: bool,
}

/// The steps that need the node, in order.
pub const STEPS: [&str; 6] = ["names", "network", "handshake", "account", "answer", "clock"];

fn fine(step: &'static str, detail: impl Into<String>) -> Check {
    Check { step, verdict: Verdict::Fine, detail: detail.into(), fix: "", is_unreachable: false }
}

fn warn(step: &'static str, detail: impl Into<String>, fix: &'static str) -> Check {
    Check { verdict: Verdict::Warn, fix, ..fine(step, detail) }
}

fn fail(step: &'static str, detail: impl Into<String>, fix: &'static str) -> Check {
    Check { verdict: Verdict::Fail, fix, ..fine(step, detail) }
}

/// [`fail`] for want of the node.
fn away(step: &'static str, detail: impl Into<String>, fix: &'static str) -> Check {
    Check { is_unreachable: true, ..fail(step, detail, fix) }
}

impl Client {
    /// Walks the way from this profile to its node and back, and looks at what waits. What cannot be
    /// looked at because a step before it failed is skipped.
    ///
    /// # Errors
    /// [`crate::Error::Storage`], [`crate::Error::NotJoined`].
    pub async fn checkup(&mut self) -> Result<Vec<Check>> {
        let own = self.identity()?;
        let mut checks = self.way(&own).await?;
        for step in STEPS.iter().skip(checks.len()) {
            let verdict = Verdict::Skipped;
            checks.push(Check { verdict, ..fine(step, "a step before it failed") });
        }
        checks.push(self.waiting()?);
        checks.push(self.unreached()?);
        checks.push(self.recent()?);
        Ok(checks)
    }

    /// The steps to the node, up to the first that fails.
    async fn way(&mut self, own: &Identity) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        for step in STEPS {
            let check = match step {
                "names" => names(&own.home.addresses).await,
                "network" => network(&own.home.addresses).await,
                "handshake" => handshake(own).await,
                "account" => self.account(own).await?,
                "answer" => self.round_trip().await?,
                _ => self.clocks(),
            };
            let failed = check.verdict == Verdict::Fail;
            checks.push(check);
            if failed {
                break;
            }
        }
        Ok(checks)
    }

    async fn account(&mut self, own: &Identity) -> Result<Check> {
        let name = own.full_handle().unwrap_or_else(|| own.account.to_string());
        let slow = "it answers too slowly, or not at all";
        let Ok(synced) = timeout(SLOW, self.sync()).await else {
            self.disconnect();
            return Ok(away("account", slow, "try again; if it stays, tell the operator"));
        };
        Ok(match synced {
            Ok(Synced::Online) => fine("account", format!("in step with the node as {name}")),
            Ok(Synced::Shared) => {
                fine("account", format!("another process is in step with it as {name}"))
            }
            Ok(Synced::Offline(error @ ConnectionError::Silent)) => {
                fail("account", error.to_string(), "end that process: pouch agent stop, or kill it")
            }
            Ok(Synced::Offline(error)) => {
                away("account", error.to_string(), "try again; if it stays, tell the operator")
            }
            Err(error @ (crate::Error::NoAccount | crate::Error::Refused { .. })) => {
                fail("account", error.to_string(), "ask the node's operator")
            }
            Err(error) => return Err(error),
        })
    }

    async fn round_trip(&mut self) -> Result<Check> {
        let Some(online) = self.online.as_mut() else {
            return Ok(fine("answer", "the other process had it just now"));
        };
        let asked = Instant::now();
        Ok(match online.ping().await {
            Ok(()) => fine("answer", format!("in {} ms", asked.elapsed().as_millis())),
            Err(error) => away("answer", error.to_string(), "the node hangs: tell its operator"),
        })
    }

    fn clocks(&self) -> Check {
        let Some(ahead) = self.online.as_ref().map(|online| online.ahead()) else {
            return fine("clock", "not compared: the other process has the connection");
        };
        let seconds = ahead.unsigned_abs() / 1000;
        let way = if ahead > 0 { "ahead of" } else { "behind" };
        match seconds {
            0..=2 => fine("clock", "the same as the node's"),
            3..=CLOCK_ALLOWANCE_SECONDS => {
                fine("clock", format!("{seconds} s {way} the node's, which does no harm"))
            }
            _ => warn(
                "clock",
                format!("{seconds} s {way} the node's: mail may expire at the wrong time"),
                "set this device's clock",
            ),
        }
    }

    fn waiting(&mut self) -> Result<Check> {
        let status = self.status()?;
        let late = clock::now().saturating_sub(LATE);
        let (reasons, late) = self.db.read(|tx| {
            let of = format!(
                "FROM outbox JOIN message ON row = message WHERE kind NOT IN {}",
                messages::HIDDEN
            );
            let mut query = tx.prepare(&format!("SELECT row {of} AND state = 0 ORDER BY row"))?;
            let rows = query.query_map([], |row| row.get(0))?;
            let mut reasons: Vec<String> = Vec::new();
            for row in rows.collect::<rusqlite::Result<Vec<i64>>>()? {
                let Some(message) = messages::at(tx, row)? else { continue };
                let is_new = !message.reason.is_empty() && !reasons.contains(&message.reason);
                if is_new && reasons.len() < NAMED {
                    reasons.push(message.reason);
                }
            }
            let late: u64 = tx.query_row(
                &format!("SELECT count(*) AS late {of} AND state = 1 AND sent_at < ?1"),
                [int(late)],
                |row| unsigned(row, "late"),
            )?;
            Ok((reasons, late))
        })?;
        let fix = "pouch why MESSAGE says more about each";
        if status.queued > 0 {
            let why =
                if reasons.is_empty() { "about to be sent".into() } else { reasons.join("; ") };
            return Ok(warn("sending", format!("{} wait here: {why}", status.queued), fix));
        }
        if late > 0 {
            let detail =
                format!("{late} wait at your node for another one, for ten minutes or more");
            return Ok(warn("sending", detail, fix));
        }
        Ok(fine("sending", format!("nothing waits here; {} on the way", status.unsettled)))
    }

    fn unreached(&mut self) -> Result<Check> {
        let trouble: Vec<String> = self
            .contacts()?
            .into_iter()
            .filter(|contact| !contact.blocked && !contact.reason.is_empty())
            .map(|contact| format!("{}: {}", contact.name, contact.reason))
            .collect();
        if trouble.is_empty() {
            return Ok(fine("contacts", "all can be written to"));
        }
        let more = trouble.len().saturating_sub(NAMED);
        let mut detail = trouble.into_iter().take(NAMED).collect::<Vec<_>>().join("; ");
        if more > 0 {
            detail.push_str(&format!("; and {more} more"));
        }
        Ok(warn("contacts", detail, "pouch contact ls shows all of them"))
    }

    fn recent(&mut self) -> Result<Check> {
        let since = clock::now().saturating_sub(RECENT);
        let problems = self.status()?.problems;
        let recent: Vec<_> = problems.iter().filter(|problem| problem.at >= since).collect();
        let Some(last) = recent.first() else {
            return Ok(fine("problems", "none in the last day"));
        };
        let detail = format!("{} in the last day, the last: {}", recent.len(), last.message);
        Ok(warn("problems", detail, "pouch status lists them"))
    }
}

async fn names(addresses: &[String]) -> Check {
    let mut found = Vec::new();
    for address in addresses {
        if let Ok(Ok(mut sockets)) = timeout(PATIENCE, lookup_host(address)).await
            && sockets.next().is_some()
        {
            found.push(address.clone());
        }
    }
    let all = addresses.join(", ");
    match (addresses.len(), found.len()) {
        (0, _) => away("names", "the node has no address", "ask its operator for a new node link"),
        (_, 0) => away("names", format!("no address for {all}"), "is the DNS reachable?"),
        (all, some) if some < all => {
            warn("names", format!("{} of {all} have an address", found.join(", ")), "")
        }
        _ => fine("names", all),
    }
}

async fn network(addresses: &[String]) -> Check {
    let (mut reached, mut why) = (Vec::new(), Vec::new());
    for address in addresses {
        let asked = Instant::now();
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => reached.push(format!("{address} in {} ms", asked.elapsed().as_millis())),
            Ok(Err(error)) => why.push(format!("{address}: {error}")),
            Err(_) => why.push(format!("{address}: no answer")),
        }
    }
    let fix = "is the node running, and is its port open? its operator knows";
    match (reached.is_empty(), why.is_empty()) {
        (true, _) => away("network", why.join("; "), fix),
        (_, true) => fine("network", reached.join("; ")),
        _ => warn("network", format!("{}; but {}", reached.join("; "), why.join("; ")), ""),
    }
}

async fn handshake(own: &Identity) -> Check {
    let dial = Dial {
        network: &own.network,
        node: Some(&own.home.node),
        addresses: &own.home.addresses,
        secret: own.noise(),
        within: PATIENCE,
    };
    match dial.connect().await {
        Ok((_, record)) => {
            let name = if record.name.is_empty() { own.home.node.to_string() } else { record.name };
            fine("handshake", format!("it is {name}, and nobody else"))
        }
        Err(error) => away(
            "handshake",
            error.to_string(),
            "something else answers there, or the node has another key: ask its operator",
        ),
    }
}
