//! Invites and users.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Json;
use postroad_core::{InviteView, UserView};
use postroad_proto::ids::{Hash, from_base32, to_base32};
use postroad_proto::link::{JoinLink, NodeLink};
use postroad_proto::token::InviteCode;
use serde::{Deserialize, Serialize};

use super::{Ctx, Problem, Reply};
use crate::clock;

#[derive(Deserialize)]
pub(super) struct NewInvite {
    /// 0 for any number.
    #[serde(default = "one")]
    uses: u64,
    expires_s: Option<u64>,
}

fn one() -> u64 {
    1
}

#[derive(Serialize)]
pub(super) struct Invite {
    /// What lists and logs call it: the hash of its code.
    id: String,
    code: String,
    link: String,
    uses: u64,
    expires_at: Option<String>,
}

/// An invite as listed: its code is not kept, so `code` is its id here.
#[derive(Serialize)]
pub(super) struct InviteRow {
    id: String,
    code: String,
    uses: u64,
    used: u64,
    expires_at: Option<String>,
    state: &'static str,
}

impl From<InviteView> for InviteRow {
    fn from(view: InviteView) -> Self {
        Self {
            id: view.hash.to_string(),
            code: view.hash.to_string(),
            uses: view.uses,
            used: view.used,
            expires_at: time(view.expires),
            state: view.state.word(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct User {
    account: String,
    handle: Option<String>,
    devices: u64,
    messages: u64,
    bytes: u64,
    since: Option<String>,
    delete_at: Option<String>,
}

impl From<UserView> for User {
    fn from(view: UserView) -> Self {
        Self {
            account: view.account.to_string(),
            handle: view.handle,
            devices: view.devices,
            messages: view.messages,
            bytes: view.bytes,
            since: time(view.since),
            delete_at: time(view.delete_at),
        }
    }
}

/// From seconds since the Unix epoch; 0 is never.
fn time(seconds: u64) -> Option<String> {
    (seconds != 0).then(|| clock::rfc3339(seconds * 1000))
}

pub(super) async fn invites(State(admin): Ctx) -> Reply<Vec<InviteRow>> {
    let list = admin.engine.look(|core, _| core.invites(clock::now() / 1000)).await?;
    Ok(Json(list.into_iter().map(Into::into).collect()))
}

pub(super) async fn invite_create(State(admin): Ctx, Json(ask): Json<NewInvite>) -> Reply<Invite> {
    let mut node: NodeLink = admin
        .ready
        .link
        .parse()
        .map_err(|_| Problem::bad("the node has no link of its own".into(), "see the log"))?;
    // Other nodes' business; without it the QR code is smaller.
    node.p2p.clear();
    let mut random = [0; 16];
    getrandom::fill(&mut random)
        .map_err(|e| Problem::bad(format!("no randomness: {e}"), "see the log"))?;
    let code = InviteCode(random);
    let expires = ask.expires_s.map_or(0, |after| clock::now() / 1000 + after);
    let (text, id) = (to_base32(&code.0), code.hash().to_string());
    let link = JoinLink { node, code: Some(code.clone()) };
    let uses = ask.uses;
    admin
        .engine
        .act(move |core, now| core.create_invite(now, &code, uses, expires))
        .await?
        .map_err(|error| Problem::bad(error.to_string(), "postroad invite ls"))?;
    Ok(Json(Invite { id, code: text, link: link.to_string(), uses, expires_at: time(expires) }))
}

/// Takes the id that a list shows, the code, or the whole link.
pub(super) async fn invite_revoke(
    State(admin): Ctx,
    Path(text): Path<String>,
) -> Result<StatusCode, Problem> {
    let hash = parse_invite(&text).ok_or_else(|| {
        Problem::not_found(format!("{text:?} is no invite"), "postroad invite ls shows them")
    })?;
    if admin.engine.act(move |core, _| core.revoke_invite(&hash)).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::not_found("no such invite".into(), "postroad invite ls shows them"))
}

fn parse_invite(text: &str) -> Option<Hash> {
    if let Ok(link) = text.parse::<JoinLink>() {
        return link.code.map(|code| code.hash());
    }
    if let Ok(code) = from_base32(text, 16) {
        return <[u8; 16]>::try_from(code).ok().map(|code| InviteCode(code).hash());
    }
    text.parse().ok()
}

pub(super) async fn users(State(admin): Ctx) -> Reply<Vec<User>> {
    let list = admin.engine.look(|core, _| core.users()).await?;
    Ok(Json(list.into_iter().map(Into::into).collect()))
}

pub(super) async fn user(State(admin): Ctx, Path(text): Path<String>) -> Reply<User> {
    let wanted = text.clone();
    let found = admin
        .engine
        .look(move |core, _| core.find_account(&wanted).and_then(|account| core.user(&account)))
        .await?;
    found.map(|user| Json(user.into())).ok_or_else(|| nobody(&text))
}

pub(super) async fn user_delete(
    State(admin): Ctx,
    Path(text): Path<String>,
) -> Result<StatusCode, Problem> {
    let wanted = text.clone();
    let deleted = admin
        .engine
        .act(move |core, now| {
            core.find_account(&wanted).is_some_and(|account| core.delete_account(now, &account))
        })
        .await?;
    if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(nobody(&text)) }
}

fn nobody(text: &str) -> Problem {
    Problem::not_found(format!("{text:?} is nobody here"), "postroad user ls shows who is")
}
