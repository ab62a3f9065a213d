//! Finding out what is wrong: each part of the way from here to the last ack by itself.

use std::time::Duration;

use postroad_proto::limits::CLOCK_ALLOWANCE_SECONDS;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use super::Client;
use crate::clock;
use crate::connection::Dial;
use crate::error::Result;
use crate::identity::Identity;
use crate::sync::Synced;

/// How long one address may take.
const PATIENCE: Duration = Duration::from_secs(2);
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
}

/// The steps that need the node, in order.
pub const STEPS: [&str; 6] = ["names", "network", "handshake", "account", "answer", "clock"];

fn fine(step: &'static str, detail: impl Into<String>) -> Check {
    Check { step, verdict: Verdict::Fine, detail: detail.into(), fix: "" }
}

fn warn(step: &'static str, detail: impl Into<String>, fix: &'static str) -> Check {
    Check { step, verdict: Verdict::Warn, detail: detail.into(), fix }
}

fn fail(step: &'static str, detail: impl Into<String>, fix: &'static str) -> Check {
    Check { step, verdict: Verdict::Fail, detail: detail.into(), fix }
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
            let detail = "the step before it failed".to_owned();
            checks.push(Check { step, verdict: Verdict::Skipped, detail, fix: "" });
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
        Ok(match self.sync().await {
            Ok(Synced::Online) => fine("account", format!("in step with the node as {name}")),
            Ok(Synced::Shared) => {
                fine("account", format!("another process is connected as {name}"))
            }
            Ok(Synced::Offline(error)) => {
                fail("account", error.to_string(), "try again; if it stays, tell the operator")
            }
            Err(error @ (crate::Error::NoAccount | crate::Error::Refused { .. })) => {
                fail("account", error.to_string(), "ask the node's operator")
            }
            Err(error) => return Err(error),
        })
    }

    async fn round_trip(&mut self) -> Result<Check> {
        let Some(online) = self.online.as_mut() else {
            return Ok(fine("answer", "the other process has it"));
        };
        let asked = Instant::now();
        Ok(match online.ping().await {
            Ok(()) => fine("answer", format!("in {} ms", asked.elapsed().as_millis())),
            Err(error) => fail("answer", error.to_string(), "the node hangs: tell its operator"),
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
        if status.queued == 0 {
            let more = status.unsettled;
            return Ok(fine("sending", format!("nothing waits here; {more} on the way")));
        }
        let reasons: Vec<String> = self.db.read(|tx| {
            let mut query = tx.prepare(
                "SELECT DISTINCT CASE reason WHEN '' THEN 'about to be sent' ELSE reason END
                 FROM outbox JOIN message ON row = message WHERE state = 0 LIMIT ?1",
            )?;
            let rows = query.query_map([NAMED as i64], |row| row.get(0))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })?;
        let detail = format!("{} wait here: {}", status.queued, reasons.join("; "));
        Ok(warn("sending", detail, "pouch why MESSAGE says more about each"))
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
        (0, _) => fail("names", "the node has no address", "ask its operator for a new node link"),
        (_, 0) => fail("names", format!("no address for {all}"), "is the DNS reachable?"),
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
        (true, _) => fail("network", why.join("; "), fix),
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
        Err(error) => fail(
            "handshake",
            error.to_string(),
            "something else answers there, or the node has another key: ask its operator",
        ),
    }
}
