//! The account: `join`, `whoami`.

use postroad_cli::{CliError, Exit, Printer, fields, qr};
use postroad_client::{Client, Error};
use postroad_proto::error::ErrorCode;
use postroad_proto::link::{ContactLink, JoinLink, NodeLink};
use postroad_proto::record::Handle;
use serde::Serialize;

use crate::args::{Join, ProfileArgs, Whoami};
use crate::error::explain;
use crate::profile::{open_any, sync};

/// What `whoami` and `join` print.
#[derive(Serialize)]
pub(super) struct WhoamiRow {
    account: String,
    handle: Option<String>,
    device: String,
    node: String,
    link: String,
}

impl From<postroad_client::Whoami> for WhoamiRow {
    fn from(who: postroad_client::Whoami) -> Self {
        Self {
            account: who.account.to_string(),
            handle: who.handle,
            device: who.device,
            node: who.node.to_string(),
            link: who.link.to_string(),
        }
    }
}

impl WhoamiRow {
    pub(super) fn human(&self) -> String {
        fields(&[
            ("account", self.account.clone()),
            ("handle", self.handle.clone().unwrap_or_else(|| "none".to_owned())),
            ("device", self.device.clone()),
            ("node", self.node.clone()),
            ("link", self.link.clone()),
        ])
    }
}

pub(crate) async fn join(
    profile: &ProfileArgs,
    args: &Join,
    printer: &Printer,
) -> Result<(), CliError> {
    let link = join_link(&args.link)?;
    let handle = args.name.as_deref().map(str::parse::<Handle>).transpose();
    let handle = handle.map_err(|e| CliError::usage(e.to_string(), "choose another --name"))?;
    let mut client = open_any(profile, printer).await?;
    printer.progress("making the account and its keys");
    let joined = client.join(&link, handle.as_ref()).await;
    let row = WhoamiRow::from(joined.map_err(|error| refused_join(&link, error))?);
    printer.object(&row, || row.human())?;
    if handle.is_none() {
        printer.hint("the account has no handle: people add it by its link alone");
    }
    printer.hint("hand your link to others; pouch contact add LINK adds theirs");
    Ok(())
}

/// Why an account was not made.
pub(crate) fn refused_join(link: &JoinLink, error: Error) -> CliError {
    match &error {
        Error::Refused { code: ErrorCode::InviteUnknown, .. } if link.code.is_none() => {
            CliError::new(
                Exit::Denied,
                "invite_needed",
                "this node takes only people with an invite, and this is the node's plain link",
                "ask its operator for a join link: postroad invite create",
            )
        }
        _ => explain(error),
    }
}

/// A node's invitation, or the link of a node that is open to all.
pub(crate) fn join_link(text: &str) -> Result<JoinLink, CliError> {
    if text.parse::<ContactLink>().is_ok() {
        return Err(CliError::usage(
            "this is a contact link: it adds a person to an account",
            "pouch contact add LINK; to make an account take a node's invitation",
        ));
    }
    match text.parse::<NodeLink>() {
        Ok(node) => Ok(JoinLink { node, code: None }),
        Err(_) => text.parse().map_err(|e| explain(Error::Link(e))),
    }
}

pub(crate) async fn whoami(
    client: &mut Client,
    args: &Whoami,
    printer: &Printer,
) -> Result<(), CliError> {
    sync(client, printer).await?;
    let row = WhoamiRow::from(client.whoami().map_err(explain)?);
    let code = if args.qr && !printer.is_json() { qr(&row.link)? } else { String::new() };
    printer.object(&row, || row.human() + &code)
}
