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
    gives_way: bool,
}

impl Column {
    /// A column of text.
    #[must_use]
    pub const fn text(title: &'static str) -> Self {
        Column { title, right: false, wide: false, whole: false, gives_way: false }
    }

    /// A column of numbers, aligned right.
    #[must_use]
    pub const fn number(title: &'static str) -> Self {
        Column { title, right: true, wide: false, whole: false, gives_way: false }
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

    /// The same column, cut as far as a narrow terminal needs it: text that is there in full elsewhere.
    #[must_use]
    pub const fn gives_way(self) -> Self {
        Column { gives_way: true, ..self }
    }
}

/// Columns that one which gives way keeps at least.
const LEAST: usize = 12;

/// Something that can be a row of a table and an object in JSON.
pub trait Row: Serialize {
    /// The columns, in order.
    const COLUMNS: &'static [Column];

    /// One text per column. The table makes them safe for a terminal.
    fn cells(&self) -> Vec<String>;
}

/// The table as text; empty without rows. In one that is wider than `columns`, and not asked to be
/// wide, the column that may gives way; else there is a block of lines for each row instead.
pub(crate) fn render<R: Row>(rows: &[R], wide: bool, columns: Option<usize>) -> String {
    let room = columns.filter(|_| !wide);
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
    let table = align(&lines, &right);
    let widest = table.lines().map(width).max().unwrap_or(0);
    let Some(room) = room.filter(|room| widest > *room) else { return table };
    let flexible = columns.iter().position(|&i| R::COLUMNS[i].gives_way);
    let longest = |at: usize| lines.iter().map(|line| width(&line[at])).max().unwrap_or(0);
    let left = flexible.map(|at| (at, longest(at).saturating_sub(widest - room)));
    let Some((at, left)) = left.filter(|(_, left)| *left >= LEAST) else { return blocks(&lines) };
    for line in &mut lines {
        line[at] = cut(&line[at], left);
    }
    align(&lines, &right)
}

/// The rows of a table below each other, with what each cell is; empty cells are left out.
fn blocks(lines: &[Vec<String>]) -> String {
    let Some((header, rows)) = lines.split_first() else { return String::new() };
    let block = |row: &Vec<String>| {
        let cells = header.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
        let named =
            cells.map(|(title, cell)| vec![format!("{}:", title.to_lowercase()), cell.clone()]);
        align(&named.collect::<Vec<_>>(), &[false, false])
    };
    rows.iter().map(block).collect::<Vec<_>>().join("\n")
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
        assert_eq!(render(&rows, false, None), "TO    BYTES\nbob       7\n你好   1234\n");
        assert_eq!(
            render(&rows, true, Some(10)),
            "TO    BYTES  ID\nbob       7  m1\n你好   1234  m2\n"
        );
        assert_eq!(render::<Mail>(&[], true, None), "");
    }

    #[test]
    fn a_table_that_does_not_fit_has_a_block_for_each_row() {
        let rows = [Mail { to: "bob", bytes: 7, id: "" }, Mail { to: "", bytes: 1234, id: "" }];
        assert_eq!(render(&rows, false, Some(10)), "TO   BYTES\nbob      7\n      1234\n");
        let folded = "to:     bob\nbytes:  7\n\nbytes:  1234\n";
        assert_eq!(render(&rows, false, Some(9)), folded);
        let hostile = [Mail { to: "x\nbytes: 9", bytes: 0, id: "" }];
        assert_eq!(render(&hostile, false, Some(9)).lines().count(), 2);
    }

    #[derive(Serialize)]
    struct Said(&'static str, &'static str);

    impl Row for Said {
        const COLUMNS: &'static [Column] = &[Column::text("WHO"), Column::text("TEXT").gives_way()];

        fn cells(&self) -> Vec<String> {
            vec![self.0.into(), self.1.into()]
        }
    }

    #[test]
    fn a_text_gives_way_before_the_table_does() {
        let rows = [Said("bob", "a text of thirty columns, all."), Said("carol", "short")];
        assert!(render(&rows, false, Some(37)).contains("all."));
        let narrow = render(&rows, false, Some(20));
        assert!(narrow.lines().all(|line| width(line) <= 20), "{narrow}");
        assert!(narrow.starts_with("WHO    TEXT\nbob    a text of t"), "{narrow}");
        assert!(render(&rows, false, Some(18)).starts_with("who:   bob\ntext:  a text"));
    }

    #[test]
    fn a_cell_cannot_break_out_of_its_row() {
        let rows = [Mail { to: "x\nTO BYTES\u{1b}[A", bytes: 0, id: "" }];
        assert_eq!(render(&rows, false, None).lines().count(), 2);
        assert!(!render(&rows, false, None).contains('\u{1b}'));
    }

    #[test]
    fn fields_align_their_values() {
        let text = fields(&[("id", "m1".into()), ("state", "queued".into())]);
        assert_eq!(text, "id:     m1\nstate:  queued\n");
    }
}
