//! What commands print: the JSON objects that scripts rely on, and the rows that people see.

mod message;

use postroad_cli::{Column, Row, ago, now_ms, rfc3339_ms};
use postroad_client::{CheckedStep, ContactView, WaitsFor};
use serde::Serialize;

pub(crate) use message::MessageRow;
#[cfg(test)]
pub(crate) use message::sample;

/// A contact.
#[derive(Debug, Serialize)]
pub(crate) struct ContactRow {
    pub(crate) account: String,
    pub(crate) name: String,
    verified: bool,
    handle: Option<String>,
    handle_proven: bool,
    blocked: bool,
    pub(crate) state: &'static str,
    node: String,
    reason: Option<String>,
}

impl From<ContactView> for ContactRow {
    fn from(contact: ContactView) -> Self {
        Self {
            account: contact.account.to_string(),
            name: contact.name,
            verified: contact.verified,
            handle: Some(contact.handle).filter(|handle| !handle.is_empty()),
            handle_proven: contact.handle_proven,
            blocked: contact.blocked,
            state: contact.phase.word(),
            node: contact.home.node.to_string(),
            reason: Some(contact.reason).filter(|reason| !reason.is_empty()),
        }
    }
}

/// A handle as tables show it: one that somebody merely claims must not look like one that is theirs.
pub(crate) fn shown_handle(handle: Option<&str>, is_proven: bool) -> String {
    match handle {
        Some(handle) if !is_proven => format!("{handle} (unproven)"),
        handle => handle.unwrap_or_default().to_owned(),
    }
}

impl Row for ContactRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("NAME"),
        Column::text("HANDLE"),
        Column::text("VERIFIED"),
        Column::text("STATE"),
        Column::text("REASON").gives_way(),
        Column::text("ACCOUNT").wide(),
        Column::text("NODE").wide(),
    ];

    fn cells(&self) -> Vec<String> {
        let state = if self.blocked { "blocked" } else { self.state };
        vec![
            self.name.clone(),
            shown_handle(self.handle.as_deref(), self.handle_proven),
            if self.verified { "yes" } else { "no" }.to_owned(),
            state.to_owned(),
            self.reason.clone().unwrap_or_default(),
            self.account.clone(),
            self.node.clone(),
        ]
    }
}

/// A step in `why`.
#[derive(Debug, Serialize)]
pub(crate) struct StepRow {
    pub(crate) state: String,
    pub(crate) by: String,
    pub(crate) at: String,
    pub(crate) verified: bool,
    /// What to call whoever vouches: a node's own word.
    pub(crate) name: String,
}

impl From<&CheckedStep> for StepRow {
    fn from(step: &CheckedStep) -> Self {
        Self {
            state: step.state.to_string(),
            by: step.by.to_string(),
            at: rfc3339_ms(step.at),
            verified: step.verified,
            name: step.name.clone(),
        }
    }
}

/// What a message waits for.
#[derive(Debug, Serialize)]
pub(crate) struct WaitingRow {
    pub(crate) at: String,
    pub(crate) since: String,
    pub(crate) reason: String,
    /// The node that is waited for, when that is where it goes next.
    #[serde(rename = "for")]
    pub(crate) node: Option<String>,
    /// More about the reason.
    pub(crate) detail: Option<String>,
    pub(crate) next_try: Option<String>,
    /// What has to happen so that it is tried again, when nothing here does it by itself.
    pub(crate) hint: Option<&'static str>,
}

impl From<&WaitsFor> for WaitingRow {
    fn from(waiting: &WaitsFor) -> Self {
        Self {
            at: waiting.at.clone(),
            since: rfc3339_ms(waiting.since),
            reason: waiting.reason.clone(),
            node: waiting.node.clone(),
            detail: Some(waiting.detail.clone()).filter(|detail| !detail.is_empty()),
            next_try: waiting.next_try.map(rfc3339_ms),
            hint: (waiting.at == "this device" && waiting.next_try.is_none())
                .then_some("when a pouch command or pouch watch runs"),
        }
    }
}

/// A conversation in `chats`.
#[derive(Debug, Serialize)]
pub(crate) struct ChatRow {
    pub(crate) chat: String,
    pub(crate) account: String,
    pub(crate) unread: usize,
    pub(crate) blocked: bool,
    pub(crate) last_at: Option<String>,
    pub(crate) last_text: Option<String>,
    #[serde(skip)]
    pub(crate) last_ms: Option<u64>,
}

impl Row for ChatRow {
    const COLUMNS: &'static [Column] = &[
        Column::text("CHAT"),
        Column::number("UNREAD"),
        Column::text("LAST"),
        Column::text("TEXT").gives_way(),
        Column::text("ACCOUNT").wide(),
    ];

    fn cells(&self) -> Vec<String> {
        let now = now_ms();
        vec![
            if self.blocked { format!("{} (blocked)", self.chat) } else { self.chat.clone() },
            self.unread.to_string(),
            self.last_ms.map(|at| ago(at, now)).unwrap_or_default(),
            self.last_text.clone().unwrap_or_default(),
            self.account.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_has_its_fields_in_every_state() {
        let waits = WaitsFor {
            at: "node".to_owned(),
            node: Some("other".to_owned()),
            since: 0,
            reason: "away".to_owned(),
            detail: String::new(),
            next_try: None,
        };
        let json = serde_json::to_value(WaitingRow::from(&waits)).unwrap();
        for key in ["at", "since", "reason", "next_try", "for", "detail", "hint"] {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert_eq!((&json["for"], &json["reason"]), (&"other".into(), &"away".into()));
    }

    #[test]
    fn a_handle_that_is_only_claimed_looks_like_it() {
        assert_eq!(shown_handle(Some("a@bank.example"), true), "a@bank.example");
        assert_eq!(shown_handle(Some("a@bank.example"), false), "a@bank.example (unproven)");
        assert_eq!(shown_handle(None, false), "");
    }
}
