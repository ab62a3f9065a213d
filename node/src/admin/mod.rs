//! The operator's interface: HTTP on loopback, with a token. The only source for `postroad`, for
//! health checks and for metrics: one [`status::Status`] renders all of them.

mod condition;
mod events;
mod listen;
mod mail;
mod map;
mod metrics;
mod names;
mod people;
mod roads;
mod status;
#[cfg(test)]
mod tests;
mod trace;
mod views;
mod whois;

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{delete, get, post};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::clock;
use crate::config::Config;
use crate::engine::{EngineHandle, Stopped};
use crate::identity::write_private;
use crate::net::NetHandle;
use crate::ready::Ready;

/// The file in the data directory that holds the token.
pub(crate) const TOKEN_FILE: &str = "admin.token";

/// The file in the data directory that tells `postroad` where to ask.
const POINTER_FILE: &str = "admin.json";

/// What every handler needs.
pub(crate) struct Admin {
    engine: EngineHandle,
    net: NetHandle,
    ready: Ready,
    config: Config,
    token: String,
    started: u64,
    shutdown: watch::Sender<bool>,
}

/// An error for a program: becomes `{"code","message","hint"}`.
#[derive(Debug, Serialize)]
struct Problem {
    #[serde(skip)]
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: Cow<'static, str>,
}

impl Problem {
    fn new(
        status: StatusCode,
        code: &'static str,
        message: String,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, message, hint: hint.into() }
    }

    fn not_found(message: String, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message, hint)
    }

    fn bad(message: String, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MALFORMED", message, hint)
    }
}

impl From<Stopped> for Problem {
    fn from(stopped: Stopped) -> Self {
        let message = stopped.to_string();
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "STOPPING", message, "see the node's log")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

type Reply<T> = Result<Json<T>, Problem>;
type Ctx = State<Arc<Admin>>;

impl Admin {
    /// Writes a new token and where to ask into the data directory.
    pub(crate) fn new(
        engine: EngineHandle,
        net: NetHandle,
        ready: Ready,
        config: Config,
        shutdown: watch::Sender<bool>,
        data_dir: &Path,
    ) -> io::Result<Self> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
        let token = postroad_proto::ids::to_base32(&random);
        let token_file = data_dir.join(TOKEN_FILE);
        write_private(&token_file, token.as_bytes())?;
        let pointer = serde_json::json!({ "admin": ready.admin, "token_file": token_file });
        write_private(&data_dir.join(POINTER_FILE), pointer.to_string().as_bytes())?;
        Ok(Self { engine, net, ready, config, token, started: clock::now(), shutdown })
    }

    pub(crate) async fn serve(self, listener: TcpListener) {
        let admin = Arc::new(self);
        let guarded = Router::new()
            .route("/metrics", get(metrics::metrics))
            .route("/v1/status", get(status::status))
            .route("/v1/mailboxes/stats", get(mail::stats))
            .route("/v1/mailboxes", get(mail::mailboxes))
            .route("/v1/queue", get(mail::queue))
            .route("/v1/trace/{target}", get(trace::trace))
            .route("/v1/whois/{target}", get(whois::whois))
            .route("/v1/peers", get(roads::peers).post(roads::peer_add))
            .route("/v1/peers/{node}", delete(roads::peer_remove))
            .route("/v1/routes", get(roads::routes))
            .route("/v1/ping/{node}", post(roads::ping))
            .route("/v1/map", get(map::map))
            .route("/v1/events", get(events::events))
            .route("/v1/invites", get(people::invites).post(people::invite_create))
            .route("/v1/invites/{code}", delete(people::invite_revoke))
            .route("/v1/users", get(people::users))
            .route("/v1/users/{user}", get(people::user).delete(people::user_delete))
            .route("/v1/shutdown", post(shutdown))
            .layer(middleware::from_fn_with_state(admin.clone(), authorize));
        let router = Router::new()
            .route("/livez", get(|| async { "alive\n" }))
            .route("/readyz", get(status::readyz))
            .merge(guarded)
            .with_state(admin);
        listen::serve(listener, router).await;
    }
}

async fn shutdown(State(admin): Ctx) -> Json<serde_json::Value> {
    admin.shutdown.send_replace(true);
    Json(serde_json::json!({ "stopping": true }))
}

/// Lets requests with the token through. A page in a browser on this machine has no token, and a
/// name that resolves to loopback does not help it.
async fn authorize(State(admin): Ctx, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if given.is_some_and(|given| same(given.trim().as_bytes(), admin.token.as_bytes())) {
        return next.run(request).await;
    }
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "DENIED",
        "the token is missing or wrong".into(),
        "it is in admin.token in the node's data directory and changes with every start",
    )
    .into_response()
}

/// Compares in a time that does not depend on where the two differ.
fn same(given: &[u8], expected: &[u8]) -> bool {
    let difference = given.iter().zip(expected).fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == expected.len() && std::hint::black_box(difference) == 0
}
