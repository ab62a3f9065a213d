//! The line at the top, which tells of the connection, and the one at the bottom, which tells what
//! to press.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::screen::app::{App, Notice, Pane};
use crate::screen::model::Link;
use crate::screen::text;

/// How the connection is.
pub(super) fn connection(app: &App, area: Rect, frame: &mut Frame<'_>) {
    let (theme, columns) = (app.theme, usize::from(area.width));
    let standing = &app.standing;
    let node = text::clean(&standing.node);
    let (mark, state, style) = match &standing.link {
        Link::Connecting => ("~", format!("connecting to {node}"), theme.notable()),
        Link::Online => ("=", format!("connected to {node}"), theme.good()),
        Link::Shared => ("=", format!("connected to {node} by another command"), theme.good()),
        Link::Offline { reason, next_try } => {
            let next = next_try.map(|at| format!("{}next try {}", theme.dot(), until(at, app.now)));
            let reason = text::clean(reason);
            ("!", format!("offline: {reason}{}", next.unwrap_or_default()), theme.notable())
        }
        Link::ReadOnly => ("!", "the profile can only be read".to_owned(), theme.notable()),
    };
    let mut waiting = String::new();
    if standing.queued > 0 {
        waiting = format!("{}{} waiting here", theme.dot(), standing.queued);
    }
    let on_the_way = standing.unsettled.saturating_sub(standing.queued);
    if on_the_way > 0 {
        waiting += &format!("{}{on_the_way} on the way", theme.dot());
    }
    // What waits must not be pushed out by a long reason.
    let room = columns.saturating_sub(text::width(&waiting) + 3);
    let state = text::cut(&state, room);
    let used = text::width(&state) + text::width(&waiting) + 3;
    let who = text::cut(&text::clean(&standing.who), columns.saturating_sub(used + 2));
    let gap = columns.saturating_sub(used + text::width(&who));
    let line = Line::from(vec![
        Span::styled(format!(" {mark} "), style),
        Span::styled(state, style),
        Span::styled(waiting, theme.notable()),
        Span::raw(" ".repeat(gap)),
        Span::styled(who, theme.faint()),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}

/// How long it is until then.
fn until(at: u64, now: u64) -> String {
    match at.saturating_sub(now).div_ceil(1000) {
        0 => "now".to_owned(),
        seconds => format!("in {}", super::bubble::duration(seconds)),
    }
}

/// What was said last, else what to press here.
pub(super) fn hint(app: &App, area: Rect, frame: &mut Frame<'_>) {
    let columns = usize::from(area.width);
    let (line, style) = match &app.notice {
        Some(Notice::Said(said)) => (text::clean(said), app.theme.good()),
        Some(Notice::Trouble(trouble)) => {
            let hint = match trouble.hint.as_str() {
                "" => String::new(),
                hint => format!(" ({})", text::clean(hint)),
            };
            (format!("! {}{hint}", text::clean(&trouble.message)), app.theme.bad())
        }
        None => (keys(app), app.theme.faint()),
    };
    let line = Line::styled(text::cut(&format!(" {line}"), columns), style);
    frame.render_widget(Paragraph::new(line), area);
}

fn keys(app: &App) -> String {
    let keys: &[&str] = if app.start.is_some() {
        &["Enter go on", "Tab next field", "^Q quit"]
    } else if !app.dialogs.is_empty() {
        &["Esc close"]
    } else {
        match app.pane {
            Pane::List => &["Enter open", "^N add", "^F search", "? help", "^Q quit"],
            Pane::Messages => &[
                "w why",
                "r reply",
                "e edit",
                "x delete",
                "+ react",
                "f forward",
                "y copy",
                "? help",
            ],
            Pane::Editor => &["Enter send", "^J new line", "Up messages", "Esc chats", "F1 help"],
        }
    };
    keys.join(app.theme.dot())
}
