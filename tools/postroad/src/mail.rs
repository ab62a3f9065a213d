//! Where mail lies and where it goes.

use postroad_cli::{CliError, Column, Printer, Row, fields, human_bytes};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    admin::{Admin, segment},
    args::{MailboxCommand, TraceArgs},
    values::{Extra, inline, or_dash, relative, seconds},
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
struct Mailbox {
    account: String,
    handle: Option<String>,
    /// A number, unique within the account.
    device: Value,
    messages: u64,
    bytes: u64,
    oldest_s: Option<u64>,
    #[serde(default)]
    connected: bool,
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
            if self.connected { "yes" } else { "no" }.to_owned(),
            self.account.clone(),
        ]
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
        Column::text("REASON"),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.to.clone(),
            self.messages.to_string(),
            human_bytes(self.bytes),
            seconds(self.oldest_s),
            relative(self.next_try.as_deref()),
            or_dash(self.reason.as_deref()),
        ]
    }
}

/// `postroad queue`.
pub(crate) fn queue(admin: &Admin, printer: &Printer) -> Result<(), CliError> {
    let rows: Vec<Waiting> = admin.get("/v1/queue")?;
    printer.rows(&rows, "nothing waits")
}

/// `/v1/trace/…`.
#[derive(Debug, Deserialize, Serialize)]
struct Trace {
    account: Option<String>,
    home: Option<String>,
    #[serde(default)]
    backups: Vec<Value>,
    #[serde(default)]
    route: Vec<Value>,
    reachable: Option<bool>,
    reason: Option<String>,
    #[serde(flatten)]
    extra: Extra,
}

/// `postroad trace`.
pub(crate) fn trace(admin: &Admin, args: &TraceArgs, printer: &Printer) -> Result<(), CliError> {
    let trace: Trace = admin.get(&format!("/v1/trace/{}", segment(&args.address)))?;
    printer.object(&trace, || {
        let reachable = match trace.reachable {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not known",
        };
        let mut pairs = vec![
            ("account", or_dash(trace.account.as_deref())),
            ("home", or_dash(trace.home.as_deref())),
            ("backups", inline(&Value::Array(trace.backups.clone()))),
            ("reachable", reachable.to_owned()),
            ("reason", or_dash(trace.reason.as_deref())),
        ];
        pairs.extend(trace.route.iter().map(|hop| ("by way of", inline(hop))));
        pairs.extend(trace.extra.iter().map(|(name, value)| (name.as_str(), inline(value))));
        fields(&pairs)
    })
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
