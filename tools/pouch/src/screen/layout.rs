//! Where things are on the screen.

use ratatui::layout::Rect;

use super::app::{App, Pane};
use super::conversation::Purpose;

/// Columns of the list.
const LIST: u16 = 24;
/// Below this many columns there is one pane at a time.
const TWO_PANES: u16 = 60;
/// Rows that what is being written may take.
const MAX_EDITOR: u16 = 6;

/// The parts of the screen; none overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Areas {
    /// The connection.
    pub(crate) strip: Rect,
    /// The list of chats, when there is room.
    pub(crate) list: Option<Rect>,
    /// The column between list and conversation.
    pub(crate) between: Option<Rect>,
    /// The conversation, when there is room.
    pub(crate) conversation: Option<Rect>,
    /// Remarks and keys.
    pub(crate) hint: Rect,
}

/// The parts of the screen.
pub(crate) fn areas(app: &App) -> Areas {
    let (columns, rows) = app.size;
    let whole = Rect::new(0, 0, columns, rows);
    let strip = Rect { height: rows.min(1), ..whole };
    let hint = Rect { y: rows.saturating_sub(1), height: u16::from(rows > 1), ..whole };
    let main = Rect { y: strip.height, height: rows.saturating_sub(2), ..whole };
    let one = |list, conversation| Areas { strip, list, between: None, conversation, hint };
    if app.is_alone && app.conversation.is_some() {
        return one(None, Some(main));
    }
    if columns < TWO_PANES {
        let is_list = app.pane == Pane::List || app.conversation.is_none();
        return if is_list { one(Some(main), None) } else { one(None, Some(main)) };
    }
    Areas {
        strip,
        list: Some(Rect { width: LIST, ..main }),
        between: Some(Rect { x: LIST, width: 1, ..main }),
        conversation: Some(Rect { x: LIST + 1, width: columns - LIST - 1, ..main }),
        hint,
    }
}

/// The parts of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    /// With whom.
    pub(crate) title: Rect,
    /// The messages.
    pub(crate) messages: Rect,
    /// Above the editor: what it is for, and more of the selected message.
    pub(crate) banner: Rect,
    /// What is being written.
    pub(crate) editor: Rect,
}

/// The parts of the conversation, if it is on the screen.
pub(crate) fn parts(app: &App) -> Option<Parts> {
    let area = areas(app).conversation?;
    let open = app.conversation.as_ref()?;
    let written = open.editor.drawn(editor_width(area)).len();
    let mut left = area.height;
    let mut take = |rows: u16| {
        let rows = rows.min(left);
        left -= rows;
        rows
    };
    // What is being written comes first: without it nothing can be done.
    let least = take(1);
    let title = take(1);
    let purpose = if open.purpose == Purpose::Write { 1 } else { 2 };
    let banner = take(purpose);
    let third = (area.height / 3).min(MAX_EDITOR);
    let more = u16::try_from(written).unwrap_or(u16::MAX).min(third).saturating_sub(1);
    let editor = least + take(more);
    let messages = left;
    let rows = |y: u16, height: u16| Rect { y: area.y + y, height, ..area };
    Some(Parts {
        title: rows(0, title),
        messages: rows(title, messages),
        banner: rows(title + messages, banner),
        editor: rows(title + messages + banner, editor),
    })
}

/// The messages, if they are on the screen.
pub(crate) fn messages(app: &App) -> Option<Rect> {
    parts(app).map(|parts| parts.messages)
}

/// Columns of what is being written; a mark is before it.
pub(crate) fn editor_width(area: Rect) -> usize {
    usize::from(area.width).saturating_sub(2)
}

/// A dialog's place: as large as it asks for, as far as there is room, in the middle.
pub(crate) fn middle(size: (u16, u16), columns: u16, rows: u16) -> Rect {
    let (width, height) = (columns.min(size.0), rows.min(size.1));
    Rect { x: (size.0 - width) / 2, y: (size.1 - height) / 2, width, height }
}
