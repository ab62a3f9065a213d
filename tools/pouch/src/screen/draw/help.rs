//! All keys, and what the symbols mean.

use postroad_client::State;
use ratatui::style::Style;
use ratatui::text::Line;

use super::dialogs::paragraph;
use crate::screen::app::App;
use crate::screen::text;

/// Keys, by where they work.
const KEYS: &[(&str, &[(&str, &str)])] = &[
    (
        "Everywhere",
        &[
            ("Tab", "to the next pane: chats, messages, text"),
            ("Alt+Up Alt+Down", "the chat above or below"),
            ("Ctrl+N", "add somebody by link or handle"),
            ("Ctrl+R", "who asks to write to you"),
            ("Ctrl+F", "search"),
            ("Ctrl+K F2", "the contact: name, block, safety words, timer"),
            ("F3", "the conversation alone, to copy from it with the mouse"),
            ("Ctrl+L", "draw the screen anew"),
            ("F1 ?", "this help"),
            ("Esc", "back"),
            ("Ctrl+Q Ctrl+C", "quit; drafts are kept"),
        ],
    ),
    ("Chats", &[("Up Down", "pick"), ("Enter", "open")]),
    (
        "Text",
        &[
            ("Enter", "send"),
            ("Alt+Enter Ctrl+J", "a new line"),
            ("Up", "to the messages"),
            ("Ctrl+W Ctrl+U", "remove a word, a line"),
            ("Esc", "leave an answer or an edit; to the chats"),
        ],
    ),
    (
        "Messages",
        &[
            ("Up Down PgUp PgDn", "select"),
            ("w Enter", "why it is where it is: each step and who says so"),
            ("r", "answer"),
            ("e", "edit"),
            ("x", "delete on both sides"),
            ("+", "react"),
            ("f", "forward"),
            ("y", "copy the text, if the terminal lets programs do that"),
        ],
    ),
];

/// What each state means.
fn meaning(state: State) -> &'static str {
    match state {
        State::Queued => "on this device",
        State::Accepted => "your node has it",
        State::AtNode => "the recipient's node has it",
        State::Delivered => "the recipient's device has it",
        State::Read => "the recipient saw it",
        State::Failed => "refused for good; the reason is shown",
        State::Expired => "its time was over before it arrived",
    }
}

/// The help in lines.
pub(super) fn lines(app: &App) -> Vec<Line<'static>> {
    let theme = app.theme;
    let mut lines = Vec::new();
    for (place, keys) in KEYS {
        lines.push(Line::styled(*place, theme.strong()));
        for (key, what) in *keys {
            lines.extend(paragraph(app, &format!("  {key:<18} {what}"), Style::new()));
        }
        lines.push(Line::default());
    }
    lines.push(Line::styled("States of your messages", theme.strong()));
    for state in State::ALL {
        let tick = text::fit(theme.tick(state), 2);
        let line = format!("  {tick} {:<15} {}", state.word(), meaning(state));
        lines.extend(paragraph(app, &line, theme.state(state)));
    }
    lines.push(Line::default());
    lines.push(Line::styled("Chats", theme.strong()));
    let draft = text::fit(theme.draft(), 2);
    for line in [format!("  {draft} a draft"), "  (2) messages not seen yet".to_owned()] {
        lines.extend(paragraph(app, &line, Style::new()));
    }
    lines
}
