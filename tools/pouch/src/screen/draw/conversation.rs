//! The open conversation.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{bubble, list, people};
use crate::screen::app::{App, Pane};
use crate::screen::conversation::{Conversation, Purpose};
use crate::screen::layout::{editor_width, parts};
use crate::screen::text;

/// Draws it, or what to do when there is none.
pub(super) fn draw(app: &App, area: Rect, frame: &mut Frame<'_>) {
    let (Some(open), Some(parts)) = (&app.conversation, parts(app)) else {
        let text = "Enter opens a chat, ? shows all keys";
        frame.render_widget(Line::styled(text, app.theme.faint()), list::below(area));
        return;
    };
    let title = text::fit(&title(app, open), parts.title.width.into());
    frame.render_widget(Line::styled(title, app.theme.strong()), parts.title);
    messages(app, open, parts.messages, frame);
    banner(app, open, parts.banner, frame);
    editor(app, open, parts.editor, frame);
}

fn title(app: &App, open: &Conversation) -> String {
    let chat = app.chat(&open.account);
    let mut remarks = chat.map(people::remarks).unwrap_or_default();
    let does = app.signs.get(&open.account).and_then(|signs| people::does(*signs));
    remarks.splice(0..0, does.map(str::to_owned));
    remarks.insert(0, chat.map(|chat| text::clean(&chat.name)).unwrap_or_default());
    let name = remarks.join(app.theme.dot());
    people::title(&name, app.pane == Pane::Messages, app)
}

fn messages(app: &App, open: &Conversation, area: Rect, frame: &mut Frame<'_>) {
    if open.messages.is_empty() {
        let text = if open.is_loaded { "nothing was written yet" } else { "" };
        frame.render_widget(Line::styled(text, app.theme.faint()), area);
        return;
    }
    let seen = open.scroll.visible();
    let hidden = open.scroll.hidden_above(seen.start);
    let mut lines = Vec::new();
    for index in seen.clone() {
        let Some(message) = open.messages.get(index) else { continue };
        let is_selected = app.pane == Pane::Messages && open.selected == Some(message.row);
        lines.extend(bubble::lines(
            message,
            open.before(index),
            area.width,
            app.theme,
            is_selected,
        ));
    }
    let lines: Vec<Line<'static>> =
        lines.into_iter().skip(hidden).take(area.height.into()).collect();
    // The newest stands at the bottom, also when there are few.
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(area.height);
    let area = Rect { y: area.y + area.height - rows, height: rows, ..area };
    frame.render_widget(Paragraph::new(lines), area);
}

/// A line that parts messages and editor, and above it what the text is for.
fn banner(app: &App, open: &Conversation, area: Rect, frame: &mut Frame<'_>) {
    let theme = app.theme;
    let columns = usize::from(area.width);
    let purpose = match &open.purpose {
        Purpose::Write => None,
        Purpose::Answer(_, quote) => Some(format!("answer to: {}", text::clean(quote))),
        Purpose::Edit(..) => Some("in place of the message; Esc leaves it as it is".to_owned()),
    };
    let mut lines = vec![Line::styled(parting(app, open, columns), theme.faint())];
    if let Some(purpose) = purpose {
        lines.push(Line::styled(text::cut(&purpose, columns), theme.notable()));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// What the selected message waits for, or how many newer ones are below.
fn parting(app: &App, open: &Conversation, columns: usize) -> String {
    let across = app.theme.across();
    let selected = open.selected().filter(|_| app.pane == Pane::Messages);
    let waits = selected.filter(|message| message.outgoing && !message.reason.is_empty());
    let says = match waits {
        Some(message) => format!(" {}: {} ", message.state, text::clean(&message.reason)),
        None if !open.scroll.is_at_end() => " newer messages below ".to_owned(),
        None => String::new(),
    };
    let says = text::cut(&says, columns.saturating_sub(4));
    let rest = columns.saturating_sub(text::width(&says) + 2);
    text::cut(&format!("{}{says}{}", across.repeat(2), across.repeat(rest)), columns)
}

fn editor(app: &App, open: &Conversation, area: Rect, frame: &mut Frame<'_>) {
    let has_focus = app.pane == Pane::Editor;
    let mark = if has_focus { app.theme.pointer() } else { " " };
    let drawn = open.editor.drawn(editor_width(area));
    let cursor = drawn.iter().position(|line| line.cursor.is_some()).unwrap_or(0);
    let rows = usize::from(area.height);
    let first = list::first_shown(cursor, rows);
    let shown = drawn.iter().enumerate().skip(first).take(rows);
    let lines: Vec<Line<'_>> = shown
        .map(|(index, line)| {
            let mark = if index == 0 { mark } else { " " };
            Line::from(vec![
                Span::styled(mark, app.theme.strong()),
                Span::raw(" "),
                Span::raw(&*line.text),
            ])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), area);
    let column = drawn.get(cursor).and_then(|line| line.cursor);
    if let (true, true, Some(column)) = (has_focus, app.dialogs.is_empty(), column) {
        put_cursor(area, column + 2, cursor - first, frame);
    }
}

/// Puts the terminal's cursor into an area, if there is room.
pub(super) fn put_cursor(area: Rect, column: usize, row: usize, frame: &mut Frame<'_>) {
    let at = |start: u16, by: usize| start.saturating_add(u16::try_from(by).unwrap_or(u16::MAX));
    let position = Position::new(at(area.x, column), at(area.y, row));
    if area.contains(position) {
        frame.set_cursor_position(position);
    }
}
