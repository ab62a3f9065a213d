//! A text that is being written, and the cursor in it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use unicode_segmentation::UnicodeSegmentation;

use super::text;

/// Bytes that an editor takes: more than a message may have, so that the error says so.
const MAX_BYTES: usize = 256 * 1024;

/// A text and a cursor, which is always between two graphemes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Editor {
    text: String,
    /// A byte index.
    cursor: usize,
    /// Whether it may have line breaks.
    is_multiline: bool,
}

/// A line as it is drawn, and the column of the cursor if that is in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DrawnLine {
    pub(crate) text: String,
    pub(crate) cursor: Option<usize>,
}

impl Editor {
    /// An editor for one line, with a text to begin with.
    pub(crate) fn line(text: &str) -> Self {
        let mut editor = Self::default();
        editor.insert(text);
        editor
    }

    /// An editor for several lines.
    pub(crate) fn lines(text: &str) -> Self {
        let mut editor = Self { is_multiline: true, ..Self::default() };
        editor.insert(text);
        editor
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Takes the text out.
    pub(crate) fn take(&mut self) -> String {
        self.cursor = 0;
        core::mem::take(&mut self.text)
    }

    /// Puts another text in its place, the cursor behind it.
    pub(crate) fn set(&mut self, text: &str) {
        self.take();
        self.insert(text);
    }

    /// Inserts at the cursor. Of control characters only line breaks and tabs are taken.
    pub(crate) fn insert(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let wanted = |c: &char| !c.is_control() || (self.is_multiline && matches!(c, '\n' | '\t'));
        let text: String = text.chars().filter(wanted).collect();
        if self.text.len() + text.len() <= MAX_BYTES {
            self.text.insert_str(self.cursor, &text);
            self.cursor += text.len();
            self.settle();
        }
    }

    /// What was inserted may have joined with what is behind it.
    fn settle(&mut self) {
        let ends = self.text.grapheme_indices(true).map(|(at, _)| at);
        let here = ends.chain([self.text.len()]).find(|at| *at >= self.cursor);
        self.cursor = here.unwrap_or(self.text.len());
    }

    /// Whether the key was one for editing.
    pub(crate) fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Enter if alt && self.is_multiline => self.insert("\n"),
            KeyCode::Char('j') if control && self.is_multiline => self.insert("\n"),
            KeyCode::Char('a') if control => self.cursor = self.line_start(),
            KeyCode::Char('e') if control => self.cursor = self.line_end(),
            KeyCode::Char('u') if control => self.remove(self.line_start(), self.cursor),
            KeyCode::Char('w') if control => self.remove(self.word_before(), self.cursor),
            KeyCode::Char('h') if control => self.remove(self.before(), self.cursor),
            KeyCode::Char('d') if control => self.remove(self.cursor, self.after()),
            KeyCode::Backspace if alt || control => self.remove(self.word_before(), self.cursor),
            KeyCode::Backspace => self.remove(self.before(), self.cursor),
            KeyCode::Delete => self.remove(self.cursor, self.after()),
            KeyCode::Left if alt || control => self.cursor = self.word_before(),
            KeyCode::Right if alt || control => self.cursor = self.word_after(),
            KeyCode::Left => self.cursor = self.before(),
            KeyCode::Right => self.cursor = self.after(),
            KeyCode::Home => self.cursor = self.line_start(),
            KeyCode::End => self.cursor = self.line_end(),
            KeyCode::Up if !alt && !control => return self.up(),
            KeyCode::Down if !alt && !control => return self.down(),
            KeyCode::Char(c) if !control && !alt => self.insert(c.encode_utf8(&mut [0; 4])),
            _ => return false,
        }
        true
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
        self.settle();
    }

    fn before(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        before.grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        self.cursor + after.graphemes(true).next().map_or(0, str::len)
    }

    fn word_before(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        before.split_word_bound_indices().rfind(|(_, word)| !is_blank(word)).map_or(0, |(at, _)| at)
    }

    fn word_after(&self) -> usize {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        let word = after.split_word_bound_indices().find(|(_, word)| !is_blank(word));
        self.cursor + word.map_or(after.len(), |(at, word)| at + word.len())
    }

    fn line_start(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        before.rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        let after = self.text.get(self.cursor..).unwrap_or_default();
        self.cursor + after.find('\n').unwrap_or(after.len())
    }

    /// To the line above. False when there is none.
    fn up(&mut self) -> bool {
        let start = self.line_start();
        if start == 0 {
            return false;
        }
        let column = self.column();
        self.cursor = start - 1;
        self.cursor = self.line_start();
        self.move_to_column(column);
        true
    }

    /// To the line below. False when there is none.
    fn down(&mut self) -> bool {
        let end = self.line_end();
        if end == self.text.len() {
            return false;
        }
        let column = self.column();
        self.cursor = end + 1;
        self.move_to_column(column);
        true
    }

    /// Graphemes before the cursor in its line.
    fn column(&self) -> usize {
        let before = self.text.get(self.line_start()..self.cursor).unwrap_or_default();
        before.graphemes(true).count()
    }

    fn move_to_column(&mut self, column: usize) {
        let line = self.text.get(self.cursor..self.line_end()).unwrap_or_default();
        self.cursor += line.graphemes(true).take(column).map(str::len).sum::<usize>();
    }

    /// The text in lines of at most `max` columns; the cursor is in exactly one of them.
    pub(crate) fn drawn(&self, max: usize) -> Vec<DrawnLine> {
        let max = max.max(1);
        let mut lines = vec![DrawnLine { text: String::new(), cursor: None }];
        let mut used = 0;
        let here = |at: usize| at == self.cursor;
        for (at, grapheme) in self.text.grapheme_indices(true) {
            let shown = if grapheme == "\n" { String::new() } else { text::clean(grapheme) };
            let wide = text::width(&shown);
            if used > 0 && used + wide > max {
                lines.push(DrawnLine { text: String::new(), cursor: None });
                used = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.cursor = line.cursor.or(here(at).then_some(used));
                line.text.push_str(&shown);
            }
            used += wide;
            if grapheme == "\n" {
                lines.push(DrawnLine { text: String::new(), cursor: None });
                used = 0;
            }
        }
        if here(self.text.len()) {
            // Behind a full line there is no room for the cursor.
            if used >= max {
                lines.push(DrawnLine { text: String::new(), cursor: None });
                used = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.cursor = Some(used);
            }
        }
        lines
    }
}

fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(editor: &mut Editor, code: KeyCode, modifiers: KeyModifiers) -> bool {
        editor.key(KeyEvent::new(code, modifiers))
    }

    fn type_text(editor: &mut Editor, text: &str) {
        for c in text.chars() {
            press(editor, KeyCode::Char(c), KeyModifiers::NONE);
        }
    }

    #[test]
    fn the_cursor_moves_by_what_people_see_as_one_letter() {
        let mut editor = Editor::lines("");
        type_text(&mut editor, "ae\u{301}👩\u{200d}🚀");
        press(&mut editor, KeyCode::Left, KeyModifiers::NONE);
        press(&mut editor, KeyCode::Backspace, KeyModifiers::NONE);
        assert_eq!(editor.text(), "a👩\u{200d}🚀");
        press(&mut editor, KeyCode::Delete, KeyModifiers::NONE);
        assert_eq!(editor.text(), "a");
    }

    #[test]
    fn lines_and_words_can_be_walked_and_removed() {
        let mut editor = Editor::lines("");
        type_text(&mut editor, "one two");
        assert!(press(&mut editor, KeyCode::Enter, KeyModifiers::ALT));
        type_text(&mut editor, "three");
        assert!(press(&mut editor, KeyCode::Char('j'), KeyModifiers::CONTROL));
        assert_eq!(editor.text(), "one two\nthree\n");
        assert!(press(&mut editor, KeyCode::Up, KeyModifiers::NONE));
        assert!(press(&mut editor, KeyCode::Up, KeyModifiers::NONE));
        assert!(!press(&mut editor, KeyCode::Up, KeyModifiers::NONE), "that is the first line");
        press(&mut editor, KeyCode::End, KeyModifiers::NONE);
        press(&mut editor, KeyCode::Char('w'), KeyModifiers::CONTROL);
        assert_eq!(editor.text(), "one \nthree\n");
        press(&mut editor, KeyCode::Char('u'), KeyModifiers::CONTROL);
        assert_eq!(editor.text(), "\nthree\n");
        assert!(!press(&mut editor, KeyCode::Enter, KeyModifiers::NONE), "that is sending");
    }

    #[test]
    fn what_is_pasted_keeps_its_lines_and_nothing_that_controls() {
        let mut editor = Editor::lines("");
        editor.insert("a\r\nb\u{1b}[2J\tc");
        assert_eq!(editor.text(), "a\nb[2J\tc");
        let mut line = Editor::line("x");
        line.insert("a\nb\t");
        assert_eq!(line.text(), "xab");
    }

    #[test]
    fn the_cursor_is_in_one_line_whatever_the_width() {
        let mut editor = Editor::lines("ab你好\n\u{202e}👩\u{200d}🚀 word word\n");
        for _ in 0..40 {
            for max in 1..20 {
                let lines = editor.drawn(max);
                let cursors = lines.iter().filter_map(|line| line.cursor).collect::<Vec<_>>();
                assert_eq!(cursors.len(), 1, "{max}: {lines:?}");
            }
            press(&mut editor, KeyCode::Left, KeyModifiers::NONE);
        }
    }
}
