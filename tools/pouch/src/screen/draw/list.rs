//! The list of chats.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::screen::app::{App, Pane, Picked};
use crate::screen::model::Chat;
use crate::screen::text;

/// Draws it.
pub(super) fn draw(app: &App, area: Rect, frame: &mut Frame<'_>) {
    let columns = usize::from(area.width);
    let title = text::fit(&super::people::title("Chats", app.pane == Pane::List, app), columns);
    frame.render_widget(Line::styled(title, app.theme.strong()), first(area));
    let area = below(area);
    let picks = app.picks();
    if picks.is_empty() {
        let empty = "no conversations yet: Ctrl+N adds somebody by their link or handle";
        let lines: Vec<Line<'_>> =
            text::lines(empty, columns).into_iter().map(Line::from).collect();
        frame.render_widget(Paragraph::new(lines).style(app.theme.faint()), area);
        return;
    }
    let here = picks.iter().position(|pick| Some(*pick) == app.picked).unwrap_or(0);
    let rows = usize::from(area.height);
    let lines: Vec<Line<'static>> = picks
        .iter()
        .enumerate()
        .skip(first_shown(here, rows))
        .take(rows)
        .map(|(index, pick)| line(app, *pick, index == here, columns))
        .collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// The first of a list that is drawn in `rows`, so that the one at `here` is seen.
pub(super) fn first_shown(here: usize, rows: usize) -> usize {
    (here + 1).saturating_sub(rows.max(1))
}

/// The first row of an area, and what is below it.
pub(super) fn first(area: Rect) -> Rect {
    Rect { height: area.height.min(1), ..area }
}

/// See [`first`].
pub(super) fn below(area: Rect) -> Rect {
    let taken = area.height.min(1);
    Rect { y: area.y + taken, height: area.height - taken, ..area }
}

fn line(app: &App, pick: Picked, is_picked: bool, columns: usize) -> Line<'static> {
    let theme = app.theme;
    let pointer = if is_picked { theme.pointer() } else { " " };
    let style = if is_picked && app.pane == Pane::List { theme.selected() } else { Style::new() };
    let (name, mark, name_style) = match pick {
        Picked::Requests => {
            ("requests".to_owned(), format!("({})", app.requests.len()), theme.notable())
        }
        Picked::Chat(account) => match app.chat(&account) {
            Some(chat) => (text::clean(&chat.name), mark(app, chat), name_style(app, chat)),
            None => Default::default(),
        },
    };
    let room = columns.saturating_sub(text::width(&mark) + 2);
    Line::from(vec![
        Span::raw(pointer),
        Span::styled(text::fit(&name, room), name_style),
        Span::styled(format!(" {mark}"), theme.strong()),
    ])
    .style(style)
}

fn name_style(app: &App, chat: &Chat) -> Style {
    match chat {
        chat if chat.blocked => app.theme.faint(),
        chat if chat.unread > 0 => app.theme.strong(),
        _ => Style::new(),
    }
}

/// A draft, what is unread, what is special.
fn mark(app: &App, chat: &Chat) -> String {
    let open = app.conversation.as_ref().filter(|open| open.account == chat.account);
    let draft = match open {
        Some(open) => open.draft(),
        None => app.drafts.get(&chat.account).map_or("", String::as_str),
    };
    let mut marks = Vec::new();
    if chat.blocked {
        marks.push("blocked".to_owned());
    }
    let does = app.signs.get(&chat.account).filter(|signs| signs.writing);
    marks.extend(does.map(|_| "writing".to_owned()));
    if !draft.trim().is_empty() {
        marks.push(app.theme.draft().to_owned());
    }
    if chat.unread > 0 {
        marks.push(format!("({})", chat.unread));
    }
    marks.join(" ")
}
