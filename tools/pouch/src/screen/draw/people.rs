//! What is said of a contact in several places.

use postroad_client::Signs;

use crate::screen::app::App;
use crate::screen::draw::bubble::duration;
use crate::screen::model::Chat;
use crate::screen::text;
use crate::view::shown_handle;

/// A pane's title; the one that takes keys is pointed at.
pub(super) fn title(name: &str, has_focus: bool, app: &App) -> String {
    let mark = if has_focus { app.theme.pointer() } else { " " };
    format!("{mark} {name}")
}

/// What is special about a contact, in a few words each.
pub(super) fn remarks(chat: &Chat) -> Vec<String> {
    let mut remarks = Vec::new();
    if chat.blocked {
        remarks.push("blocked".to_owned());
    }
    if chat.verified {
        remarks.push("verified".to_owned());
    }
    if let Some(seconds) = chat.vanish_after {
        remarks.push(format!("texts vanish after {}", duration(seconds)));
    }
    if !chat.reason.is_empty() {
        remarks.push(text::clean(&chat.reason));
    }
    remarks
}

/// What a contact does now, in a word.
pub(super) fn does(signs: Signs) -> Option<&'static str> {
    match signs {
        Signs { writing: true, .. } => Some("is writing"),
        Signs { here: true, .. } => Some("is here"),
        Signs { .. } => None,
    }
}

/// A handle, and whether it is only claimed.
pub(super) fn handle(handle: &str, is_proven: bool) -> String {
    match handle {
        "" => "none".to_owned(),
        handle => text::clean(&shown_handle(Some(handle), is_proven)),
    }
}
