//! The one account of how the node is.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use postroad_core::{Core, Counters};
use postroad_store::StoreStats;
use serde::Serialize;

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
    pub(super) peers: u64,
    pub(super) uptime_s: u64,
    pub(super) accounts: u64,
    pub(super) sessions: u64,
    pub(super) mail: Totals,
    pub(super) counters: Counters,
    pub(super) store: StoreStats,
    pub(super) version: &'static str,
}

#[derive(Serialize)]
pub(super) struct Node {
    id: String,
    name: String,
    network: String,
    link: String,
    generation: u64,
    client: Vec<String>,
    data_dir: std::path::PathBuf,
}

/// Something that an operator should know, and what to do about it.
#[derive(Serialize)]
pub(super) struct Trouble {
    code: &'static str,
    message: String,
    fix: String,
    /// Whether the node fails its users until it is mended.
    #[serde(skip)]
    grave: bool,
}

impl Admin {
    pub(super) async fn gather(&self) -> Result<Status, Stopped> {
        let (accounts, sessions, totals, counters, generation, store) = self
            .engine
            .look(|core: &Core, store: &StoreStats| {
                (
                    core.account_count() as u64,
                    core.sessions() as u64,
                    core.totals(),
                    core.counters(),
                    core.generation(),
                    store.clone(),
                )
            })
            .await?;
        let problems = self.problems(&store);
        let verdict = match &problems {
            problems if problems.iter().any(|p| p.grave) => "action",
            problems if problems.is_empty() => "ok",
            _ => "degraded",
        };
        Ok(Status {
            verdict,
            problems,
            notices: self.notices(accounts),
            node: Node {
                id: self.ready.node.clone(),
                name: self.ready.name.clone(),
                network: self.ready.network.clone(),
                link: self.ready.link.clone(),
                generation,
                client: self.ready.client.clone(),
                data_dir: self.ready.data_dir.clone(),
            },
            peers: 0,
            uptime_s: clock::now().saturating_sub(self.started) / 1000,
            accounts,
            sessions,
            mail: totals.into(),
            counters,
            store,
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

pub(super) async fn status(State(admin): Ctx) -> Reply<Status> {
    Ok(Json(admin.gather().await?))
}

/// 200 while new mail is taken, 503 otherwise.
pub(super) async fn readyz(State(admin): Ctx) -> Result<&'static str, Problem> {
    let status = admin.gather().await?;
    if status.problems.iter().any(|p| p.grave) {
        return Err(Problem {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "NOT_READY",
            message: "new mail is not taken".into(),
            hint: "see: postroad status",
        });
    }
    Ok("ready\n")
}
