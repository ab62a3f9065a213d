//! What contacts are told of the user: that they are writing, and that they are there.

use postroad_proto::ids::AccountId;

use super::input::Action;

/// How often it is told that the user is there, milliseconds; most times nobody else hears it.
const HERE: u64 = 5_000;
/// Without a key for so long, the user counts as gone: not every terminal says when they look
/// elsewhere.
const AWAY: u64 = 5 * 60_000;

/// What there is to see.
pub(super) struct Look<'a> {
    pub(super) now: u64,
    /// Whether a key brought it about.
    pub(super) is_key: bool,
    pub(super) has_attention: bool,
    /// The open chat, and the message that is being written there.
    pub(super) open: Option<(AccountId, &'a str)>,
}

/// What was told last.
#[derive(Debug, Clone)]
pub(super) struct Told {
    open: Option<AccountId>,
    text: String,
    writes_to: Option<AccountId>,
    here_at: u64,
    key_at: u64,
}

impl Told {
    pub(super) fn new(now: u64) -> Self {
        let (open, text, writes_to, here_at) = (None, String::new(), None, 0);
        Self { open, text, writes_to, here_at, key_at: now }
    }

    /// What is to be told now.
    pub(super) fn tell(&mut self, look: &Look<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        let account = look.open.map(|(account, _)| account);
        let text = look.open.map_or("", |(_, text)| text);
        let is_other = core::mem::replace(&mut self.open, account) != account;
        if look.is_key {
            self.key_at = look.now;
        }
        let has_text = !text.trim().is_empty();
        let stopped = self.writes_to.filter(|to| Some(*to) != account || !has_text);
        if let Some(to) = stopped {
            self.writes_to = None;
            actions.push(Action::Typing(to, false));
        }
        if self.text != text {
            // A draft that is opened was not written just now.
            if let Some(to) = account.filter(|_| look.is_key && !is_other && has_text) {
                self.writes_to = Some(to);
                actions.push(Action::Typing(to, true));
            }
            text.clone_into(&mut self.text);
        }
        let is_there = look.has_attention && look.now.saturating_sub(self.key_at) < AWAY;
        let is_due = is_other || look.now.abs_diff(self.here_at) >= HERE;
        if let Some(account) = account.filter(|_| is_there && is_due) {
            self.here_at = look.now;
            actions.push(Action::Here(account));
        }
        actions
    }
}
