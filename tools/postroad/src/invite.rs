//! Invites: how people come to a node.

use postroad_cli::{CliError, Column, Printer, Row, qr, safe};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    admin::{Admin, segment},
    args::{CreateArgs, InviteCommand},
    values::{Extra, or_dash, relative},
};

/// A fresh invite: the only time its code and link are seen.
#[derive(Debug, Deserialize, Serialize)]
struct Created {
    code: String,
    link: String,
    uses: u64,
    expires_at: Option<String>,
    #[serde(flatten)]
    extra: Extra,
}

/// One of `/v1/invites`; `code` is an id.
#[derive(Debug, Deserialize, Serialize)]
struct Listed {
    code: String,
    uses: u64,
    #[serde(default)]
    used: u64,
    expires_at: Option<String>,
    state: Option<String>,
    #[serde(flatten)]
    extra: Extra,
}

impl Row for Listed {
    const COLUMNS: &'static [Column] = &[
        Column::text("ID"),
        Column::number("USED"),
        Column::number("OF"),
        Column::text("EXPIRES"),
        Column::text("STATE"),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.code.clone(),
            self.used.to_string(),
            if self.uses == 0 { "any".to_owned() } else { self.uses.to_string() },
            self.expires_at.as_deref().map_or("never".to_owned(), |at| relative(Some(at))),
            or_dash(self.state.as_deref()),
        ]
    }
}

/// `postroad invite`.
pub(crate) fn run(
    admin: &Admin,
    command: &InviteCommand,
    printer: &Printer,
) -> Result<(), CliError> {
    match command {
        InviteCommand::Create(args) => create(admin, args, printer),
        InviteCommand::Ls => {
            let rows: Vec<Listed> = admin.get("/v1/invites")?;
            printer.rows(&rows, "no invites; make one: postroad invite create")
        }
        InviteCommand::Revoke { code } => {
            admin.delete(&format!("/v1/invites/{}", segment(code)))?;
            printer.object(&json!({ "code": code, "state": "revoked" }), || {
                format!("revoked: nobody can join with {} any more", safe(code))
            })
        }
    }
}

fn create(admin: &Admin, args: &CreateArgs, printer: &Printer) -> Result<(), CliError> {
    let expires = args.expires.0.map(|duration| duration.as_secs());
    let uses = if args.many { 0 } else { args.uses };
    let body: Value = json!({ "uses": uses, "expires_s": expires });
    let created: Created = admin.post("/v1/invites", &body)?;
    // The link alone on standard output, so that $(postroad invite create) is a link.
    printer.object(&created, || safe(&created.link).into_owned())?;
    if args.qr && !printer.is_json() {
        printer.out(&format!("{}\n", qr(&created.link)?))?;
    }
    let people = match created.uses {
        0 => "any number of people".to_owned(),
        1 => "one person".to_owned(),
        n => format!("{n} people"),
    };
    let ends = match created.expires_at.as_deref() {
        Some(at) => format!("until {at}"),
        None => "without end".to_owned(),
    };
    printer.hint(&format!("for {people}, {ends}; they type: pouch join LINK --name NAME"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_without_limits_reads_well() {
        let row: Listed = serde_json::from_value(
            json!({"code": "i1", "uses": 0, "used": 4, "expires_at": null, "state": "open"}),
        )
        .unwrap();
        assert_eq!(row.cells(), ["i1", "4", "any", "never", "open"]);
        assert_eq!(row.cells().len(), Listed::COLUMNS.len());
    }
}
