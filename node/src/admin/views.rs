//! Shapes that several handlers share.

use postroad_core::{MailboxTotals, MailboxView};
use postroad_proto::ids::Millis;
use serde::Serialize;

use crate::clock;

#[derive(Serialize)]
pub(super) struct Totals {
    pub(super) mailboxes: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) oldest_s: Option<u64>,
}

impl From<MailboxTotals> for Totals {
    fn from(totals: MailboxTotals) -> Self {
        Self {
            mailboxes: totals.mailboxes,
            messages: totals.messages,
            bytes: totals.bytes,
            oldest_s: age(totals.oldest),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Mailbox {
    account: String,
    handle: Option<String>,
    device: u8,
    messages: u64,
    bytes: u64,
    oldest_s: Option<u64>,
    connected: bool,
}

impl From<MailboxView> for Mailbox {
    fn from(view: MailboxView) -> Self {
        Self {
            account: view.account.to_string(),
            handle: view.handle,
            device: view.device,
            messages: view.messages,
            bytes: view.bytes,
            oldest_s: age(view.oldest),
            connected: view.connected,
        }
    }
}

/// A time in milliseconds since the Unix epoch.
pub(super) fn time(at: Millis) -> String {
    clock::rfc3339(at)
}

/// A time to come: the next whole second, so that it does not read as past while it is awaited.
pub(super) fn time_to_come(at: Millis) -> String {
    clock::rfc3339(at.div_ceil(1000).saturating_mul(1000))
}

/// Seconds since a time in milliseconds.
pub(super) fn age(since: Option<u64>) -> Option<u64> {
    since.map(|since| clock::now().saturating_sub(since) / 1000)
}
