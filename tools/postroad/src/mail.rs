//! Where mail lies and where it goes.

use postroad_cli::{CliError, Column, Printer, Row, fields, human_bytes};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    admin::Admin,
    args::MailboxCommand,
    values::{Extra, inline, next, or_dash, seconds, yes_no},
};

/// `/v1/mailboxes/stats`.
#[derive(Debug, Deserialize, Serialize)]
struct Stats {
    mailboxes: u64,
    messages: u64,
    bytes: u64,
    oldest_s: Option<u64>,
    #[serde(flatten)]
    extra: Extra,
}

/// One of `/v1/mailboxes`: the mail of one device.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Mailbox {
    account: String,
    handle: Option<String>,
    /// A number, unique within the account.
    device: Value,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) oldest_s: Option<u64>,
    #[serde(default)]
    pub(crate) connected: bool,
    #[serde(flatten)]
    extra: Extra,
}

impl Row for Mailbox {
    const COLUMNS: &'static [Column] = &[
        Column::text("HANDLE"),
        Column::text("DEVICE"),
        Column::number("MESSAGES"),
        Column::number("SIZE"),
        Column::number("OLDEST"),
        Column::text("CONNECTED"),
        Column::text("ACCOUNT").wide(),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            or_dash(self.handle.as_deref()),
            inline(&self.device),
            self.messages.to_string(),
            human_bytes(self.bytes),
            seconds(self.oldest_s),
            yes_no(self.connected).to_owned(),
            self.account.clone(),
        ]
    }
}

impl Mailbox {
    /// Whose it is, in words.
    pub(crate) fn whose(&self) -> String {
        let owner = self.handle.as_deref().unwrap_or(&self.account);
        format!("mailbox of {owner} device {}", inline(&self.device))
    }
}

/// `postroad mailbox`.
pub(crate) fn mailbox(
    admin: &Admin,
    command: &MailboxCommand,
    printer: &Printer,
) -> Result<(), CliError> {
    match command {
        MailboxCommand::Stats => {
            let stats: Stats = admin.get("/v1/mailboxes/stats")?;
            printer.object(&stats, || {
                fields(&[
                    ("mailboxes", stats.mailboxes.to_string()),
                    ("messages", stats.messages.to_string()),
                    ("size", human_bytes(stats.bytes)),
                    ("oldest", seconds(stats.oldest_s)),
                ])
            })
        }
        MailboxCommand::Ls => {
            let rows: Vec<Mailbox> = admin.get("/v1/mailboxes")?;
            printer.rows(&rows, "no mailboxes yet; invite someone: postroad invite create")
        }
    }
}

/// One of `/v1/queue`.
#[derive(Debug, Deserialize, Serialize)]
struct Waiting {
    to: String,
    messages: u64,
    bytes: u64,
    oldest_s: Option<u64>,
    reason: Option<String>,
    next_try: Option<String>,
    #[serde(flatten)]
    extra: Extra,
}

impl Row for Waiting {
    const COLUMNS: &'static [Column] = &[
        Column::text("TO"),
        Column::number("MESSAGES"),
        Column::number("SIZE"),
        Column::number("OLDEST"),
        Column::text("NEXT TRY"),
        Column::text("REASON").whole(),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.to.clone(),
            self.messages.to_string(),
            human_bytes(self.bytes),
            seconds(self.oldest_s),
            next(self.next_try.as_deref()),
            or_dash(self.reason.as_deref()),
        ]
    }
}

/// `postroad queue`.
pub(crate) fn queue(admin: &Admin, printer: &Printer) -> Result<(), CliError> {
    let rows: Vec<Waiting> = admin.get("/v1/queue")?;
    printer.rows(&rows, "nothing waits")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_read_with_nulls_and_with_more_fields() {
        let value = json!({"to": "n2", "messages": 2, "bytes": 2048, "oldest_s": 61,
            "reason": "away", "next_try": null, "tries": 3});
        let row: Waiting = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(row.cells(), ["n2", "2", "2KiB", "1m", "-", "away"]);
        assert_eq!(row.cells().len(), Waiting::COLUMNS.len());
        assert_eq!(serde_json::to_value(&row).unwrap(), value);
        let row: Mailbox = serde_json::from_value(json!({"account": "a", "handle": null,
            "device": 1, "messages": 0, "bytes": 0, "oldest_s": null, "connected": true}))
        .unwrap();
        assert_eq!(row.cells(), ["-", "1", "0", "0B", "-", "yes", "a"]);
        assert_eq!(row.cells().len(), Mailbox::COLUMNS.len());
    }
}
