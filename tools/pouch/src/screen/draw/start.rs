//! The screen of a profile without an account, and the fields of forms.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{conversation, list};
use crate::screen::app::App;
use crate::screen::dialog::Form;
use crate::screen::editor::Editor;
use crate::screen::layout::middle;
use crate::screen::text;

/// What a new user reads.
const WELCOME: &str = "This profile has no account yet.\n\nAn account lives on a node that somebody \
                       runs. Its operator gives you a join link, made with postroad invite create. \
                       Paste it here. The handle is how others find you at that node; without one \
                       they add you by your link alone.";
/// Columns of the text.
const COLUMNS: u16 = 66;

/// Draws it.
pub(super) fn draw(app: &App, form: &Form, frame: &mut Frame<'_>) {
    let room = COLUMNS.min(app.size.0.saturating_sub(2));
    let welcome = text::lines(WELCOME, room.into());
    let said = answer(app, form, room.into());
    let rows = welcome.len() + 3 + form.fields.len() * 2 + said.len();
    let area = middle(app.size, room, u16::try_from(rows).unwrap_or(u16::MAX));
    let mut lines = vec![Line::styled("Postroad", app.theme.strong()), Line::default()];
    lines.extend(welcome.into_iter().map(Line::from));
    // On a low screen the fields are what matters.
    let wanted = u16::try_from(form.fields.len() * 2 + said.len()).unwrap_or(u16::MAX);
    let above = area.height.saturating_sub(wanted).min(u16::try_from(lines.len() + 1).unwrap_or(0));
    frame.render_widget(Paragraph::new(lines), Rect { height: above, ..area });
    let below = Rect { y: area.y + above, height: area.height - above, ..area };
    fields(app, form, said, below, frame);
}

/// What is said about a form that was handed in.
pub(super) fn answer(app: &App, form: &Form, room: usize) -> Vec<Line<'static>> {
    let lines = |text: &str, style: Style| -> Vec<Line<'static>> {
        text::lines(text, room).into_iter().map(|line| Line::styled(line, style)).collect()
    };
    if form.is_busy {
        return lines("one moment", app.theme.notable());
    }
    let Some(trouble) = &form.trouble else { return Vec::new() };
    let mut said = lines(&format!("! {}", text::clean(&trouble.message)), app.theme.bad());
    if !trouble.hint.is_empty() {
        said.extend(lines(&text::clean(&trouble.hint), app.theme.notable()));
    }
    said
}

/// The fields of a form below each other, and what is said about it.
pub(super) fn fields(
    app: &App,
    form: &Form,
    said: Vec<Line<'static>>,
    area: Rect,
    frame: &mut Frame<'_>,
) {
    let mut rest = area;
    for (index, (label, editor)) in form.fields.iter().enumerate() {
        let has_focus = index == form.focus && !form.is_busy;
        frame.render_widget(Line::styled(*label, app.theme.faint()), list::first(rest));
        rest = list::below(rest);
        field(app, editor, list::first(rest), has_focus, frame);
        rest = list::below(rest);
    }
    frame.render_widget(Paragraph::new(said), rest);
}

/// One line to be filled in; its end is seen when it is too long.
pub(super) fn field(
    app: &App,
    editor: &Editor,
    area: Rect,
    has_focus: bool,
    frame: &mut Frame<'_>,
) {
    let mark = if has_focus { app.theme.pointer() } else { " " };
    let drawn = editor.drawn(usize::from(area.width).saturating_sub(2));
    let row = drawn.iter().position(|line| line.cursor.is_some()).unwrap_or(0);
    let Some(line) = drawn.get(row) else { return };
    let shown = Line::from(vec![
        Span::styled(mark, app.theme.strong()),
        Span::raw(" "),
        Span::raw(line.text.clone()),
    ]);
    frame.render_widget(shown, area);
    if let (true, Some(column)) = (has_focus, line.cursor) {
        conversation::put_cursor(area, column + 2, 0, frame);
    }
}
