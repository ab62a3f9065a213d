//! Rows as an aligned table.

use serde::Serialize;

use crate::{
    safe,
    width::{cut, width},
};

/// What a cell of the plain table may take: an id, which people copy, is 53 characters. `-o wide`
/// and JSON show the whole.
const CELL_MAX: usize = 60;

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    title: &'static str,
    right: bool,
    wide: bool,
    whole: bool,
}

impl Column {
    /// A column of text.
    #[must_use]
    pub const fn text(title: &'static str) -> Self {
        Column { title, right: false, wide: false, whole: false }
    }

    /// A column of numbers, aligned right.
    #[must_use]
    pub const fn number(title: &'static str) -> Self {
        Column { title, right: true, wide: false, whole: false }
    }

    /// The same column, shown by `-o wide` only.
    #[must_use]
    pub const fn wide(self) -> Self {
        Column { wide: true, ..self }
    }

    /// The same column, never cut: a sentence, in the last place.
    #[must_use]
    pub const fn whole(self) -> Self {
        Column { whole: true, ..self }
    }
}

/// Something that can be a row of a table and an object in JSON.
pub trait Row: Serialize {
    /// The columns, in order.
    const COLUMNS: &'static [Column];

    /// One text per column. The table makes them safe for a terminal.
    fn cells(&self) -> Vec<String>;
}

/// The table as text; empty without rows.
pub(crate) fn render<R: Row>(rows: &[R], wide: bool) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let shown = |index: &usize| wide || !R::COLUMNS[*index].wide;
    let columns: Vec<usize> = (0..R::COLUMNS.len()).filter(shown).collect();
    let header = columns.iter().map(|&i| R::COLUMNS[i].title.to_owned()).collect();
    let mut lines: Vec<Vec<String>> = vec![header];
    for row in rows {
        let cells = row.cells();
        let cell = |&i: &usize| {
            let text = cells.get(i).map_or("", String::as_str);
            let text = safe(text);
            if wide || R::COLUMNS[i].whole { text.into_owned() } else { cut(&text, CELL_MAX) }
        };
        lines.push(columns.iter().map(cell).collect());
    }
    let right: Vec<bool> = columns.iter().map(|&i| R::COLUMNS[i].right).collect();
    align(&lines, &right)
}

/// Names and values below each other, the values aligned and safe for a terminal.
#[must_use]
pub fn fields(pairs: &[(&str, String)]) -> String {
    let line = |(name, value): &(&str, String)| vec![format!("{name}:"), safe(value).into_owned()];
    align(&pairs.iter().map(line).collect::<Vec<_>>(), &[false, false])
}

fn align(lines: &[Vec<String>], right: &[bool]) -> String {
    let widest = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..right.len()).map(widest).collect();
    let mut out = String::new();
    for line in lines {
        let mut text = String::new();
        for ((cell, &column), &right) in line.iter().zip(&widths).zip(right) {
            let padding = " ".repeat(column - width(cell));
            if right {
                text.push_str(&padding);
            }
            text.push_str(cell);
            if !right {
                text.push_str(&padding);
            }
            text.push_str("  ");
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Mail {
        to: &'static str,
        bytes: u64,
        id: &'static str,
    }

    impl Row for Mail {
        const COLUMNS: &'static [Column] =
            &[Column::text("TO"), Column::number("BYTES"), Column::text("ID").wide()];

        fn cells(&self) -> Vec<String> {
            vec![self.to.into(), self.bytes.to_string(), self.id.into()]
        }
    }

    #[test]
    fn columns_line_up_and_wide_shows_more() {
        let rows =
            [Mail { to: "bob", bytes: 7, id: "m1" }, Mail { to: "你好", bytes: 1234, id: "m2" }];
        assert_eq!(render(&rows, false), "TO    BYTES\nbob       7\n你好   1234\n");
        assert_eq!(render(&rows, true), "TO    BYTES  ID\nbob       7  m1\n你好   1234  m2\n");
        assert_eq!(render::<Mail>(&[], true), "");
    }

    #[test]
    fn a_cell_cannot_break_out_of_its_row() {
        let rows = [Mail { to: "x\nTO BYTES\u{1b}[A", bytes: 0, id: "" }];
        assert_eq!(render(&rows, false).lines().count(), 2);
        assert!(!render(&rows, false).contains('\u{1b}'));
    }

    #[test]
    fn fields_align_their_values() {
        let text = fields(&[("id", "m1".into()), ("state", "queued".into())]);
        assert_eq!(text, "id:     m1\nstate:  queued\n");
    }
}
