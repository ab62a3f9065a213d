//! Dialogs, in a frame in the middle of the screen.

use postroad_proto::ids::AccountId;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Paragraph};

use super::{help, list, people, start};
use crate::screen::app::App;
use crate::screen::dialog::{Dialog, Form, Pick, Purpose, Search};
use crate::screen::layout::middle;
use crate::screen::model::{Body, Bubble, SafetyView, WhyView};
use crate::screen::text;

/// Columns that a dialog takes where there is room.
const COLUMNS: u16 = 72;
/// Rows and columns of a frame.
const FRAME: u16 = 2;

/// Draws a dialog.
pub(super) fn draw(app: &App, dialog: &Dialog, frame: &mut Frame<'_>) {
    match dialog {
        Dialog::Help { top } => read(app, " Help ", help::lines(app), *top, frame),
        Dialog::Why { view, top, .. } => {
            let lines = view.as_ref().map(|view| why(app, view)).unwrap_or_default();
            read(app, " Why ", lines, *top, frame);
        }
        Dialog::Form(form) => fill_in(app, form, frame),
        Dialog::Search(dialog) => search(app, dialog, frame),
        Dialog::Requests { selected } => requests(app, *selected, frame),
        Dialog::Contact(account) => read(app, " Contact ", contact(app, account), 0, frame),
        Dialog::Safety { view, .. } => {
            let lines = view.as_ref().map(|view| safety(app, view)).unwrap_or_default();
            read(app, " Safety words ", lines, 0, frame);
        }
        Dialog::Pick(dialog) => pick(app, dialog, frame),
        Dialog::Confirm { question, .. } => {
            let mut lines = paragraph(app, question, Style::new());
            lines.extend([Line::default(), Line::styled("y yes   n no", app.theme.strong())]);
            read(app, " Sure? ", lines, 0, frame);
        }
    }
}

/// Columns inside a dialog's frame.
pub(super) fn room(app: &App) -> usize {
    usize::from(COLUMNS.min(app.size.0).saturating_sub(FRAME + 2))
}

/// Text in lines that fit into a dialog.
pub(super) fn paragraph(app: &App, text: &str, style: Style) -> Vec<Line<'static>> {
    let lines = text::lines(text, room(app)).into_iter();
    lines.map(|line| Line::styled(line, style)).collect()
}

/// An empty frame for so many rows; what is inside is returned.
fn framed(app: &App, title: &str, rows: usize, frame: &mut Frame<'_>) -> Rect {
    let rows = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(FRAME);
    let area = middle(app.size, COLUMNS, rows);
    let mut block = Block::bordered().border_set(app.theme.border()).title(title.to_owned());
    if area.height < rows {
        block = block.title_bottom(" more: Up Down ");
    }
    let inner = block.inner(area);
    frame.render_widget(Clear, area);
    frame.render_widget(block, area);
    // A column of air on both sides.
    Rect { x: inner.x + inner.width.min(1), width: inner.width.saturating_sub(2), ..inner }
}

/// Lines to read, from `top` on.
fn read(app: &App, title: &str, lines: Vec<Line<'static>>, top: usize, frame: &mut Frame<'_>) {
    let area = framed(app, title, lines.len(), frame);
    let top = top.min(lines.len().saturating_sub(area.height.into()));
    let lines: Vec<Line<'_>> = lines.into_iter().skip(top).take(area.height.into()).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// A message's way.
fn why(app: &App, view: &WhyView) -> Vec<Line<'static>> {
    let theme = app.theme;
    let head = format!("{} {} to {}", theme.tick(view.state), view.state, text::clean(&view.chat));
    let mut lines = paragraph(app, &head, theme.strong());
    lines.extend(paragraph(app, &view.id.to_string(), theme.faint()));
    lines.push(Line::default());
    for step in &view.steps {
        let checked = if step.verified { "verified" } else { "NOT VERIFIABLE" };
        let tick = text::fit(theme.tick(step.state), 2);
        let line = format!("{tick} {:<9}  {}  {checked}", step.state.word(), step.at);
        let style = if step.verified { theme.state(step.state) } else { theme.bad() };
        lines.extend(paragraph(app, &line, style));
        lines.extend(paragraph(
            app,
            &format!("             by {}", text::clean(&step.by)),
            Style::new(),
        ));
    }
    if let Some(waits) = &view.waits {
        lines.push(Line::default());
        let place = format!("waits at {} since {}", text::clean(&waits.at), waits.since);
        lines.extend(paragraph(app, &place, theme.notable()));
        lines.extend(paragraph(app, &format!("for: {}", text::clean(&waits.reason)), Style::new()));
        if !waits.detail.is_empty() {
            lines.extend(paragraph(app, &text::clean(&waits.detail), Style::new()));
        }
        if let Some(next) = &waits.next_try {
            lines.extend(paragraph(app, &format!("next try: {next}"), Style::new()));
        }
    } else if !view.reason.is_empty() {
        lines.extend(paragraph(
            app,
            &format!("reason: {}", text::clean(&view.reason)),
            theme.bad(),
        ));
    }
    if let Some(parcel) = &view.parcel {
        lines.push(Line::default());
        let line = format!("parcel {parcel}: the operator's postroad trace finds it by this");
        lines.extend(paragraph(app, &line, theme.faint()));
    }
    lines
}

fn contact(app: &App, account: &AccountId) -> Vec<Line<'static>> {
    let Some(chat) = app.chat(account) else { return Vec::new() };
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let vanish = chat.vanish_after.map_or_else(
        || "texts are kept".to_owned(),
        |seconds| format!("texts vanish after {}", super::bubble::duration(seconds)),
    );
    let fields = [
        ("name", text::clean(&chat.name)),
        ("handle", people::handle(&chat.handle, chat.handle_proven)),
        ("verified", yes(chat.verified)),
        ("blocked", yes(chat.blocked)),
        ("state", chat.phase.to_owned()),
        ("timer", vanish),
        ("node", text::clean(&chat.node)),
        ("account", chat.account.to_string()),
    ];
    let mut lines = Vec::new();
    for (label, value) in fields {
        lines.extend(paragraph(app, &format!("{label:<9} {value}"), Style::new()));
    }
    if !chat.reason.is_empty() {
        lines.extend(paragraph(app, &text::clean(&chat.reason), app.theme.notable()));
    }
    let block = if chat.blocked { "b unblock" } else { "b block" };
    let keys = format!("n rename   {block}   s safety words   t timer");
    lines.push(Line::default());
    lines.extend(paragraph(app, &keys, app.theme.strong()));
    lines
}

fn safety(app: &App, view: &SafetyView) -> Vec<Line<'static>> {
    let ask = "Compare these words with your contact by another way, best face to face. If they are \
               the same on both sides, nobody is in between.";
    let mut lines = paragraph(app, ask, Style::new());
    lines.push(Line::default());
    lines.extend(paragraph(app, &text::clean(&view.words.join(" ")), app.theme.strong()));
    lines.extend(paragraph(app, &text::clean(&view.code), app.theme.faint()));
    lines.push(Line::default());
    let keys = if view.verified {
        "verified: they were the same   u take that back   y copy"
    } else {
        "v they are the same   y copy"
    };
    lines.extend(paragraph(app, keys, app.theme.strong()));
    lines
}

fn requests(app: &App, selected: usize, frame: &mut Frame<'_>) {
    let theme = app.theme;
    if app.requests.is_empty() {
        let lines = paragraph(app, "nobody asks to write to you", theme.faint());
        return read(app, " Requests ", lines, 0, frame);
    }
    let mut lines = Vec::new();
    let mut marked = 0;
    for (index, asking) in app.requests.iter().enumerate() {
        let pointer = if index == selected { theme.pointer() } else { " " };
        let handle = people::handle(&asking.handle, asking.handle_proven);
        let name = format!("{pointer} {}  {handle}", text::clean(&asking.name));
        let style = if index == selected { theme.selected() } else { theme.strong() };
        if index == selected {
            marked = lines.len();
        }
        lines.push(Line::styled(text::cut(&name, room(app)), style));
        for line in text::lines(&asking.text, room(app).saturating_sub(2)) {
            lines.push(Line::raw(format!("  {line}")));
        }
    }
    lines.push(Line::default());
    lines.extend(paragraph(app, "a accept   i ignore   b block", theme.strong()));
    read(app, " Requests ", lines, marked, frame);
}

fn pick(app: &App, pick: &Pick, frame: &mut Frame<'_>) {
    let items = pick.shown();
    let rows = items.len().clamp(1, 12) + 1;
    let area = framed(app, &format!(" {} ", pick.title), rows, frame);
    start::field(app, &pick.editor, list::first(area), true, frame);
    let area = list::below(area);
    let first = list::first_shown(pick.selected, area.height.into());
    let lines: Vec<Line<'_>> = items
        .iter()
        .enumerate()
        .skip(first)
        .take(area.height.into())
        .map(|(index, (label, _))| item(app, &text::clean(label), index == pick.selected, area))
        .collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// One of several, marked when it is selected.
fn item(app: &App, label: &str, is_selected: bool, area: Rect) -> Line<'static> {
    let pointer = if is_selected { app.theme.pointer() } else { " " };
    let style = if is_selected { app.theme.selected() } else { Style::new() };
    Line::styled(text::fit(&format!("{pointer} {label}"), area.width.into()), style)
}

fn search(app: &App, search: &Search, frame: &mut Frame<'_>) {
    let place = if search.is_everywhere { " Search all chats " } else { " Search this chat " };
    let area = framed(app, place, usize::from(app.size.1).saturating_sub(6), frame);
    start::field(app, &search.editor, list::first(area), true, frame);
    let area = list::below(area);
    let keys = "Tab this chat or all   Enter show";
    frame.render_widget(Line::styled(keys, app.theme.faint()), list::first(area));
    let area = list::below(area);
    let Some(found) = &search.found else { return };
    if found.is_empty() {
        frame.render_widget(Line::styled("nothing found", app.theme.faint()), list::first(area));
        return;
    }
    let first = list::first_shown(search.selected, area.height.into());
    let lines: Vec<Line<'_>> = found
        .iter()
        .enumerate()
        .skip(first)
        .take(area.height.into())
        .map(|(index, message)| item(app, &hit(message), index == search.selected, area))
        .collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn hit(message: &Bubble) -> String {
    let (Body::Text(body) | Body::Note(body)) = &message.body;
    let way = if message.outgoing { "to " } else { "" };
    let (chat, body) = (text::clean(&message.chat), text::clean(body));
    format!("{} {}  {way}{chat}: {body}", message.day, message.time)
}

fn fill_in(app: &App, form: &Form, frame: &mut Frame<'_>) {
    let title = match form.purpose {
        Purpose::Join => " Join ",
        Purpose::Add => " Add a contact ",
        Purpose::Rename(_) => " Rename ",
    };
    let said = start::answer(app, form, room(app));
    let area = framed(app, title, form.fields.len() * 2 + said.len(), frame);
    start::fields(app, form, said, area, frame);
}
