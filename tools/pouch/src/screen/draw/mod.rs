//! How the [`App`] looks.

pub(crate) mod bubble;
mod conversation;
mod dialogs;
mod help;
mod list;
mod people;
mod start;
mod strip;

use ratatui::Frame;

use super::app::App;
use super::layout;

/// Draws the whole screen.
pub(crate) fn draw(app: &App, frame: &mut Frame<'_>) {
    let areas = layout::areas(app);
    if let Some(form) = &app.start {
        start::draw(app, form, frame);
    } else {
        strip::connection(app, areas.strip, frame);
        if let Some(area) = areas.list {
            list::draw(app, area, frame);
        }
        if let Some(area) = areas.between {
            let line = vec![app.theme.down(); area.height.into()].join("\n");
            let line = ratatui::widgets::Paragraph::new(line).style(app.theme.faint());
            frame.render_widget(line, area);
        }
        if let Some(area) = areas.conversation {
            conversation::draw(app, area, frame);
        }
    }
    strip::hint(app, areas.hint, frame);
    for dialog in &app.dialogs {
        dialogs::draw(app, dialog, frame);
    }
}
