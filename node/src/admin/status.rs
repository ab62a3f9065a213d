//! The one account of how the node is.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use postroad_core::{Core, Counters};
use postroad_proto::ids::Millis;
use postroad_store::StoreStats;
use serde::Serialize;

use super::condition::{Roads, Waiting};
use super::views::Totals;
use super::{Admin, Ctx, Problem, Reply};
use crate::clock;
use crate::engine::Stopped;

#[derive(Serialize)]
pub(super) struct Status {
    pub(super) verdict: &'static str,
    pub(super) problems: Vec<Trouble>,
    pub(super) notices: Vec<String>,
    pub(super) node: Node,
    /// Nodes connected.
    pub(super) peers: u64,
    /// Nodes known, this one among them.
    pub(super) routes: u64,
    /// Mail streams open to other nodes, and from them.
    pub(super) links: Links,
    /// What waits for other nodes.
    pub(super) outbox: Waiting,
    pub(super) uptime_s: u64,
    pub(super) accounts: u64,
    pub(super) sessions: u64,
    pub(super) mail: Totals,
    pub(super) counters: Counters,
    /// What was to be done between nodes, but had to wait for the next occasion.
    #[serde(skip)]
    pub(super) put_off: u64,
    pub(super) store: StoreStats,
    pub(super) version: &'static str,
}

#[derive(Serialize)]
pub(super) struct Links {
    pub(super) out: u64,
    pub(super) r#in: u64,
}

#[derive(Serialize)]
pub(super) struct Node {
    id: String,
    name: String,
    network: String,
    link: String,
    generation: u64,
    client: Vec<String>,
    p2p: Vec<String>,
    data_dir: std::path::PathBuf,
}

/// Something that an operator should know, and what to do about it.
#[derive(Serialize)]
pub(super) struct Trouble {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) fix: String,
    /// Whether the node fails its users until it is mended.
    #[serde(skip)]
    pub(super) grave: bool,
}

/// What is read off the core at one moment.
struct Seen {
    accounts: u64,
    sessions: u64,
    mail: Totals,
    counters: Counters,
    generation: u64,
    store: StoreStats,
    roads: Roads,
}

impl Seen {
    fn new(core: &Core, store: &StoreStats, uptime: Millis) -> Self {
        Self {
            accounts: core.account_count() as u64,
            sessions: core.sessions() as u64,
            mail: core.totals().into(),
            counters: core.counters(),
            generation: core.generation(),
            store: store.clone(),
            roads: Roads::new(core, uptime),
        }
    }
}

impl Admin {
    pub(super) async fn gather(&self) -> Result<Status, Stopped> {
        let uptime = clock::now().saturating_sub(self.started);
        let look = move |core: &Core, store: &StoreStats| Seen::new(core, store, uptime);
        let seen = self.engine.look(look).await?;
        let mut problems = self.problems(&seen.store);
        problems.extend(self.net.deaf().map(deaf));
        problems.extend(seen.roads.problems);
        let verdict = match &problems {
            problems if problems.iter().any(|p| p.grave) => "action",
            problems if problems.is_empty() => "ok",
            _ => "degraded",
        };
        let mut notices = self.notices(seen.accounts);
        notices.extend(seen.roads.notices);
        Ok(Status {
            verdict,
            problems,
            notices,
            node: Node {
                id: self.ready.node.clone(),
                name: self.ready.name.clone(),
                network: self.ready.network.clone(),
                link: self.ready.link.clone(),
                generation: seen.generation,
                client: self.ready.client.clone(),
                p2p: self.ready.p2p.clone(),
                data_dir: self.ready.data_dir.clone(),
            },
            peers: seen.roads.peers,
            routes: seen.roads.routes,
            links: Links { out: seen.roads.links.0 as u64, r#in: seen.roads.links.1 as u64 },
            outbox: seen.roads.waiting,
            uptime_s: uptime / 1000,
            accounts: seen.accounts,
            sessions: seen.sessions,
            mail: seen.mail,
            counters: seen.counters,
            put_off: self.net.put_off(),
            store: seen.store,
            version: env!("CARGO_PKG_VERSION"),
        })
    }

    fn problems(&self, store: &StoreStats) -> Vec<Trouble> {
        let mut problems = Vec::new();
        let limit = self.config.store.max_bytes;
        if store.full || (limit != 0 && store.disk_bytes > limit) {
            problems.push(Trouble {
                code: "NO_SPACE",
                message: "no room for new mail: it is refused, delivery goes on".into(),
                fix: format!(
                    "free disk space below {}, or raise --disk; the node takes mail again by itself",
                    self.ready.data_dir.display()
                ),
                grave: true,
            });
        }
        if store.damaged > 0 {
            problems.push(Trouble {
                code: "DAMAGED",
                message: format!("{} records on the disk are damaged", store.damaged),
                fix: "check the disk, then run: posthoused store verify".into(),
                grave: false,
            });
        }
        problems
    }

    fn notices(&self, accounts: u64) -> Vec<String> {
        let mut notices = Vec::new();
        if accounts == 0 {
            notices.push("nobody has an account here yet: postroad invite create".into());
        }
        if self.config.node.name.is_empty() {
            notices.push("the node is named by its key; set node.name for readable handles".into());
        }
        notices
    }
}

fn deaf(why: &str) -> Trouble {
    Trouble {
        code: "NOT_LISTENING",
        message: format!("other nodes cannot connect to this one any more: {why}"),
        fix: "restart the node".into(),
        grave: true,
    }
}

pub(super) async fn status(State(admin): Ctx) -> Reply<Status> {
    Ok(Json(admin.gather().await?))
}

/// 200 while the node serves its users, 503 otherwise.
pub(super) async fn readyz(State(admin): Ctx) -> Result<&'static str, Problem> {
    let status = admin.gather().await?;
    if let Some(problem) = status.problems.into_iter().find(|problem| problem.grave) {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "NOT_READY",
            problem.message,
            "see: postroad status",
        ));
    }
    Ok("ready\n")
}
