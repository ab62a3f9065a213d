//! The users of a node.

use postroad_cli::{CliError, Column, Printer, Row, fields, human_bytes, safe};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    admin::{Admin, segment},
    args::{DeleteArgs, UserCommand},
    values::{Extra, inline, or_dash, relative},
};

/// One of `/v1/users`.
#[derive(Debug, Deserialize, Serialize)]
struct User {
    account: String,
    handle: Option<String>,
    /// A number in the list; the node may say more about one user.
    #[serde(default)]
    devices: Value,
    #[serde(default)]
    messages: u64,
    #[serde(default)]
    bytes: u64,
    since: Option<String>,
    #[serde(flatten)]
    extra: Extra,
}

impl Row for User {
    const COLUMNS: &'static [Column] = &[
        Column::text("HANDLE"),
        Column::text("ACCOUNT"),
        Column::number("DEVICES"),
        Column::number("MESSAGES"),
        Column::number("SIZE"),
        Column::text("SINCE"),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            or_dash(self.handle.as_deref()),
            self.account.clone(),
            self.devices.as_array().map_or(inline(&self.devices), |list| list.len().to_string()),
            self.messages.to_string(),
            human_bytes(self.bytes),
            relative(self.since.as_deref()),
        ]
    }
}

/// `postroad user`.
pub(crate) fn run(admin: &Admin, command: &UserCommand, printer: &Printer) -> Result<(), CliError> {
    match command {
        UserCommand::Ls => {
            let rows: Vec<User> = admin.get("/v1/users")?;
            printer.rows(&rows, "no users yet; invite someone: postroad invite create")
        }
        UserCommand::Show { user } => {
            let user = find(admin, user)?;
            printer.object(&user, || describe(&user))
        }
        UserCommand::Delete(args) => delete(admin, args, printer),
    }
}

fn path(user: &str) -> String {
    format!("/v1/users/{}", segment(user))
}

fn find(admin: &Admin, user: &str) -> Result<User, CliError> {
    admin.get(&path(user))
}

fn describe(user: &User) -> String {
    let mut pairs = vec![
        ("handle", or_dash(user.handle.as_deref())),
        ("account", user.account.clone()),
        ("devices", inline(&user.devices)),
        ("messages", user.messages.to_string()),
        ("size", human_bytes(user.bytes)),
        ("since", relative(user.since.as_deref())),
    ];
    pairs.extend(user.extra.iter().map(|(name, value)| (name.as_str(), inline(value))));
    fields(&pairs)
}

fn delete(admin: &Admin, args: &DeleteArgs, printer: &Printer) -> Result<(), CliError> {
    let user = find(admin, &args.user)?;
    let name = user.handle.as_deref().unwrap_or(&user.account);
    let what = format!(
        "the account {} with {} waiting messages ({})",
        safe(name),
        user.messages,
        human_bytes(user.bytes)
    );
    let report = |state: &str| {
        json!({ "account": user.account, "handle": user.handle, "messages": user.messages,
            "bytes": user.bytes, "state": state })
    };
    if args.dry_run {
        return printer.object(&report("would-delete"), || format!("would delete {what}"));
    }
    printer.confirm(&format!("Delete {what} from this node? This cannot be undone."))?;
    // By account: a handle could have come to mean someone else since it was looked up.
    admin.delete(&path(&user.account))?;
    printer.object(&report("deleted"), || format!("deleted {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_shown_with_devices_as_number_or_list() {
        let mut value = json!({"account": "a1", "handle": "alice@x", "devices": 2, "messages": 3,
            "bytes": 10, "since": null});
        let user: User = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(user.cells(), ["alice@x", "a1", "2", "3", "10B", "-"]);
        assert_eq!(user.cells().len(), User::COLUMNS.len());
        value["devices"] = json!(["d1", "d2", "d3"]);
        let user: User = serde_json::from_value(value).unwrap();
        assert_eq!(user.cells()[2], "3");
        assert!(describe(&user).contains("d1, d2, d3"));
    }
}
