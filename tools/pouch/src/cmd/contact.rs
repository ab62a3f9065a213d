//! Contacts: `contact add|ls|invite|invites|revoke|rename|verify|block|unblock`.

mod verify;

use std::time::Duration;

use postroad_cli::{
    CliError, Column, Exit, Printer, Row, fields, now_ms, qr, rfc3339_ms, rfc3339_secs, safe,
};
use postroad_client::{Client, ContactView, Error, InviteView, Names};
use postroad_proto::link::ContactLink;
use serde::Serialize;

use crate::args::{Contact, ProfileArgs};
use crate::error::explain;
use crate::profile::{names, sync};
use crate::view::ContactRow;

pub(crate) async fn run(
    client: &mut Client,
    profile: &ProfileArgs,
    verb: &Contact,
    printer: &Printer,
) -> Result<(), CliError> {
    match verb {
        Contact::Add { contact, name } => {
            let names = names(profile)?;
            add(client, contact, name.as_deref(), &names, printer).await
        }
        Contact::Ls => {
            sync(client, printer).await?;
            let contacts = client.contacts().map_err(explain)?;
            let rows: Vec<ContactRow> = contacts.into_iter().map(ContactRow::from).collect();
            printer.rows(&rows, "no contacts yet: pouch contact add LINK")
        }
        Contact::Invite { uses, expires, qr } => {
            invite(client, *uses, *expires, *qr, printer).await
        }
        Contact::Invites => {
            sync(client, printer).await?;
            let invites = client.invites().map_err(explain)?;
            let rows: Vec<InviteRow> = invites.iter().map(InviteRow::from).collect();
            printer.rows(&rows, "no links: pouch contact invite makes one")
        }
        Contact::Revoke { link } => revoke(client, link, printer).await,
        Contact::Rename { contact, name } => {
            sync(client, printer).await?;
            let row = ContactRow::from(client.rename(contact, name).map_err(explain)?);
            sync(client, printer).await?;
            printer.object(&row, || format!("now called {}", safe(&row.name)))
        }
        Contact::Verify { contact, qr, code, undo } => {
            let verify = verify::Verify { contact, qr: *qr, code: code.as_deref(), undo: *undo };
            verify::run(client, &verify, printer).await
        }
        Contact::Block { contact } => {
            sync(client, printer).await?;
            let row = ContactRow::from(client.block(contact).map_err(explain)?);
            sync(client, printer).await?;
            printer.object(&row, || {
                format!(
                    "{} is blocked: nothing more is taken from them or sent to them. What was \
                     written stays readable; what waited here to be sent has failed.\n\
                     undo: pouch contact unblock {0}",
                    safe(&row.name)
                )
            })
        }
        Contact::Unblock { contact } => {
            sync(client, printer).await?;
            let row = ContactRow::from(client.unblock(contact).map_err(explain)?);
            sync(client, printer).await?;
            printer.object(&row, || {
                format!("{} is no longer blocked, and is sent your card again", safe(&row.name))
            })
        }
    }
}

async fn add(
    client: &mut Client,
    contact: &str,
    name: Option<&str>,
    names: &Names,
    printer: &Printer,
) -> Result<(), CliError> {
    let link = contact.starts_with("postroad:").then(|| contact.parse::<ContactLink>());
    let link = link.transpose().map_err(|e| explain(Error::Link(e)))?;
    let online = sync(client, printer).await?;
    let added = match link {
        Some(link) => {
            let added = client.add_link(&link, name).map_err(explain)?;
            if online && !client.is_online() {
                sync(client, printer).await?;
            }
            if online { redeem(client, &added.account, printer).await? } else { added }
        }
        None if !online => return Err(offline_lookup(contact)),
        None => add_handle(client, contact, name, names, printer).await?,
    };
    let row = ContactRow::from(added);
    printer.object(&row, || format!("{} is a contact: pouch send {0} TEXT", safe(&row.name)))?;
    if row.state == "stranger" {
        printer.hint("they are asked first: one message goes out, the others when they accept");
    }
    if online {
        sync(client, printer).await?;
    }
    Ok(())
}

/// Finds somebody by handle, through the home.
pub(super) async fn add_handle(
    client: &mut Client,
    handle: &str,
    name: Option<&str>,
    names: &Names,
    printer: &Printer,
) -> Result<ContactView, CliError> {
    if !client.is_online() {
        // Another process has the connection, and only the home can ask for handles.
        client.take_over().await.map_err(explain)?;
        if !sync(client, printer).await? || !client.is_online() {
            return Err(offline_lookup(handle));
        }
    }
    client.add_handle(handle, name, names).await.map_err(explain)
}

/// Uses the link at once. A connection that is lost meanwhile is no failure: the next sync does it.
async fn redeem(
    client: &mut Client,
    account: &postroad_proto::ids::AccountId,
    printer: &Printer,
) -> Result<ContactView, CliError> {
    match client.redeem_link(account).await {
        Ok(contact) => Ok(contact),
        Err(Error::Connection(error)) => {
            client.disconnect();
            printer.hint(&format!("offline: {}", safe(&error.to_string())));
            client.contact(&account.to_string()).map_err(explain)
        }
        Err(error) => Err(explain(error)),
    }
}

/// A handle cannot be looked up now.
pub(crate) fn offline_lookup(handle: &str) -> CliError {
    CliError::new(
        Exit::Unreachable,
        "unreachable",
        format!("{handle:?} cannot be looked up without a connection to the node"),
        "try again when the node is reachable, or ask for a contact link, which works offline",
    )
}

/// A link of one's own.
#[derive(Serialize)]
struct InviteRow {
    link: String,
    uses: Option<u64>,
    expires_at: Option<String>,
    created_at: String,
    registered: bool,
}

impl From<&InviteView> for InviteRow {
    fn from(invite: &InviteView) -> Self {
        Self {
            link: invite.link.to_string(),
            uses: Some(invite.uses).filter(|uses| *uses > 0),
            expires_at: Some(invite.expires).filter(|at| *at > 0).map(rfc3339_secs),
            created_at: rfc3339_ms(invite.created_at),
            registered: invite.registered,
        }
    }
}

impl Row for InviteRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("CREATED"),
        Column::text("USES ALLOWED"),
        Column::text("EXPIRES"),
        Column::text("LINK").wide(),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.created_at.clone(),
            self.uses.map_or_else(|| "any".to_owned(), |uses| uses.to_string()),
            self.expires_at.clone().unwrap_or_else(|| "never".to_owned()),
            self.link.clone(),
        ]
    }
}

async fn invite(
    client: &mut Client,
    uses: Option<u64>,
    expires: Option<Duration>,
    with_qr: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    if expires.is_some_and(|within| within.as_secs() == 0) {
        return Err(CliError::usage("the link would expire at once", "give a second at least: 7d"));
    }
    let expires = expires.map_or(0, |within| now_ms() / 1000 + within.as_secs());
    let link = client.create_invite(uses.unwrap_or(0), expires).map_err(explain)?;
    sync(client, printer).await?;
    let made = client.invites().map_err(explain)?;
    let made = made.iter().find(|invite| invite.link.code == link.code);
    let Some(row) = made.map(InviteRow::from) else {
        return Err(CliError::failed("revoked", "the link was taken back meanwhile", "try again"));
    };
    let code = if with_qr && !printer.is_json() { qr(&row.link)? } else { String::new() };
    printer.object(&row, || {
        fields(&[
            ("link", row.link.clone()),
            ("uses", row.uses.map_or_else(|| "any".to_owned(), |uses| uses.to_string())),
            ("expires", row.expires_at.clone().unwrap_or_else(|| "never".to_owned())),
        ]) + &code
    })
}

async fn revoke(client: &mut Client, link: &str, printer: &Printer) -> Result<(), CliError> {
    let link: ContactLink = link.parse().map_err(|e| explain(Error::Link(e)))?;
    printer
        .confirm("Take this link back? Nobody can use it any more.")
        .map_err(|error| CliError { hint: "add --yes to go ahead".to_owned(), ..error })?;
    let is_new = client.revoke_invite(&link).map_err(explain)?;
    let online = sync(client, printer).await?;
    let row = Revoked { revoked: true, known_to_node: online };
    printer.object(&row, || {
        if !is_new {
            "already revoked"
        } else if online {
            "taken back"
        } else {
            "taken back here; the node is told with the next connection"
        }
        .to_owned()
    })
}

#[derive(Serialize)]
struct Revoked {
    revoked: bool,
    known_to_node: bool,
}
