//! `status`.

use postroad_cli::{CliError, Colour, Printer, ago, fields, now_ms, rfc3339_ms, safe};
use postroad_client::{AtRest, Client, Error, Recovery};
use serde::Serialize;

use super::agent::{Running, running};
use super::lock::until;
use crate::args::ProfileArgs;
use crate::error::explain;
use crate::profile::{directory, sync};

#[derive(Serialize)]
struct StatusRow {
    verdict: &'static str,
    account: String,
    handle: Option<String>,
    node: NodeRow,
    online: bool,
    reason: Option<String>,
    synced_at: Option<String>,
    unread: u64,
    requests: u64,
    queued: u64,
    unsettled: u64,
    /// The agent, if one runs.
    agent: Option<Running>,
    recovery: RecoveryRow,
    at_rest: AtRestRow,
    /// Nodes that the account has left and that are to be told or emptied yet.
    left: Vec<String>,
    /// When the node is going to delete the account.
    ends_at: Option<String>,
    problems: Vec<ProblemRow>,
}

#[derive(Serialize)]
struct NodeRow {
    id: String,
    name: String,
    network: String,
}

/// What would bring the account back.
#[derive(Serialize)]
struct RecoveryRow {
    /// Whether this device has the recovery phrase.
    phrase: bool,
    phrase_tested_at: Option<String>,
    /// Whether the node keeps contacts and settings as they are now.
    vault: &'static str,
}

impl From<Recovery> for RecoveryRow {
    fn from(recovery: Recovery) -> Self {
        Self {
            phrase: recovery.has_phrase,
            phrase_tested_at: recovery.phrase_tested.map(rfc3339_ms),
            vault: if recovery.is_kept { "kept" } else { "behind" },
        }
    }
}

impl RecoveryRow {
    fn human(&self) -> String {
        let phrase = match (self.phrase, &self.phrase_tested_at) {
            (false, _) => "the phrase is on the account's first device",
            (true, None) => "not tested: pouch backup phrase, then --test",
            (true, Some(_)) => "phrase tested",
        };
        let vault = match self.vault {
            "kept" => "contacts are kept at the node",
            _ => "contacts are not at the node yet",
        };
        format!("{phrase}; {vault}")
    }
}

/// What a thief of the disk gets.
#[derive(Serialize)]
struct AtRestRow {
    protected: bool,
    by: &'static str,
    /// Whether the next command needs the passphrase.
    locked: bool,
    readable: &'static [&'static str],
    #[serde(skip)]
    state: AtRest,
}

/// Without a passphrase.
const ALL: &[&str] = &[
    "the account's keys: the thief can write as you and read what comes",
    "texts, drafts and files' names",
    "contacts, and when you wrote to whom",
];
/// With one.
const LITTLE: &[&str] = &[
    "that there is a profile, how large it is and when it was last used",
    "the agent's log: when it was connected, and what its hooks wrote",
];

impl From<AtRest> for AtRestRow {
    fn from(state: AtRest) -> Self {
        let protected = state.is_protected;
        let (by, readable) = if protected { ("passphrase", LITTLE) } else { ("none", ALL) };
        Self { protected, by, locked: state.is_locked, readable, state }
    }
}

impl AtRestRow {
    fn human(&self) -> String {
        match (self.protected, self.locked) {
            (false, _) => {
                "no passphrase: who steals this disk reads all and can write as you; pouch lock"
                    .to_owned()
            }
            (true, true) => "encrypted under a passphrase, and locked".to_owned(),
            (true, false) => {
                let until = until(self.state.idle);
                format!("encrypted under a passphrase; unlocked {until}")
            }
        }
    }
}

#[derive(Serialize)]
struct ProblemRow {
    code: String,
    message: String,
    at: String,
}

pub(crate) async fn run(
    client: &mut Client,
    profile: &ProfileArgs,
    printer: &Printer,
) -> Result<(), CliError> {
    let online = sync(client, printer).await?;
    let who = client.whoami().map_err(explain)?;
    let status = client.status().map_err(explain)?;
    let offline = Some(status.contact.offline).filter(|reason| !reason.is_empty() && !online);
    let now = offline.iter().map(|reason| ProblemRow {
        code: "offline".to_owned(),
        message: reason.clone(),
        at: rfc3339_ms(now_ms()),
    });
    let past = status.problems.into_iter();
    let past = past.map(|p| ProblemRow { code: p.code, message: p.message, at: rfc3339_ms(p.at) });
    let problems: Vec<ProblemRow> = now.chain(past).collect();
    let synced = (status.contact.at > 0).then_some(status.contact.at);
    let row = StatusRow {
        verdict: if online { "ok" } else { "degraded" },
        account: who.account.to_string(),
        handle: who.handle,
        node: NodeRow {
            id: who.node.node.to_string(),
            name: who.node.name,
            network: who.node.network.to_string(),
        },
        online,
        reason: offline,
        synced_at: synced.map(rfc3339_ms),
        unread: status.unread,
        requests: status.requests,
        queued: status.queued,
        unsettled: status.unsettled,
        agent: running(&directory(profile)?)?,
        recovery: RecoveryRow::from(status.recovery),
        at_rest: AtRestRow::from(client.at_rest().map_err(explain)?),
        left: status.left,
        ends_at: status.ends_at.map(rfc3339_ms),
        problems,
    };
    printer.object(&row, || human_status(&row, synced, printer))
}

fn no_agent() -> String {
    "none: nothing arrives while no pouch runs; pouch agent start".to_owned()
}

fn human_status(row: &StatusRow, synced: Option<u64>, printer: &Printer) -> String {
    let verdict = match (&row.reason, row.online) {
        (_, true) => printer.paint(Colour::Green, "ok: in step with the node"),
        (Some(reason), _) => {
            // A node that answers that it does not know us runs.
            let ask = if *reason == Error::NoAccount.to_string() {
                "; ask its operator"
            } else {
                "; is the node running?"
            };
            let text = format!("offline: {}{ask}", safe(reason));
            printer.paint(Colour::Yellow, &text)
        }
        (None, _) => printer.paint(Colour::Yellow, "offline"),
    };
    let node = if row.node.name.is_empty() { &row.node.id } else { &row.node.name };
    let mut text = format!("{verdict}\n");
    text += &fields(&[
        ("account", row.handle.clone().unwrap_or_else(|| row.account.clone())),
        ("node", format!("{node} ({})", row.node.network)),
        ("in step", synced.map_or_else(|| "never".to_owned(), |at| ago(at, now_ms()))),
        ("unread", row.unread.to_string()),
        ("requests", row.requests.to_string()),
        ("waiting here", row.queued.to_string()),
        ("on the way", row.unsettled.saturating_sub(row.queued).to_string()),
        ("agent", row.agent.as_ref().map_or_else(no_agent, Running::human)),
        ("recovery", row.recovery.human()),
        ("at rest", row.at_rest.human()),
    ]);
    if let Some(at) = &row.ends_at {
        let line = format!("the account is deleted at {at}; pouch account keep calls that off\n");
        text += &printer.paint(Colour::Yellow, &line);
    }
    for home in &row.left {
        let home = safe(home);
        text += &format!("moved away from {home}, which is to be told or emptied yet\n");
    }
    for problem in row.problems.iter().filter(|problem| problem.code != "offline") {
        text += &format!("{}  {}: {}\n", problem.at, safe(&problem.code), safe(&problem.message));
    }
    text
}
