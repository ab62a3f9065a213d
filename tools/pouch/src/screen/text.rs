//! Foreign text as it is drawn: harmless, and in lines of a width that the screen agrees with.

use postroad_cli::{safe, safe_lines};
use ratatui::buffer::CellWidth;
use unicode_segmentation::UnicodeSegmentation;

/// Code points that one cell may hold: a family of emoji has eleven. Piled up accents beyond that
/// would be drawn over the lines around them.
const MAX_POINTS: usize = 12;
/// What a tab is shown as.
const TAB: &str = "    ";

/// Columns that a text takes which [`clean`] or [`lines`] has returned.
pub(crate) fn width(text: &str) -> usize {
    text.graphemes(true).map(grapheme_width).sum()
}

fn grapheme_width(grapheme: &str) -> usize {
    // Control characters have none: they are never drawn.
    if grapheme.contains(char::is_control) { 0 } else { grapheme.cell_width().into() }
}

/// One line of somebody's text, harmless: line breaks become visible.
pub(crate) fn clean(text: &str) -> String {
    flatten(&safe(text))
}

/// Cuts what piles up on one cell.
fn flatten(text: &str) -> String {
    let cut = |grapheme: &str| grapheme.chars().take(MAX_POINTS).collect::<String>();
    text.graphemes(true).map(cut).collect()
}

/// Somebody's text, harmless and wrapped to lines of at most `max` columns. There is one line at
/// least.
pub(crate) fn lines(text: &str, max: usize) -> Vec<String> {
    let text = text.replace("\r\n", "\n").replace('\t', TAB);
    let text = safe_lines(&text);
    text.split('\n').flat_map(|line| wrap(&flatten(line), max)).collect()
}

/// Breaks one line between words, and words that are longer than a line anywhere.
fn wrap(line: &str, max: usize) -> Vec<String> {
    let max = max.max(1);
    let mut done = Vec::new();
    let (mut current, mut used) = (String::new(), 0);
    for word in line.split_inclusive(' ') {
        let trimmed = width(word.trim_end_matches(' '));
        if used > 0 && used + trimmed > max {
            done.push(core::mem::take(&mut current));
            used = 0;
        }
        for grapheme in word.graphemes(true) {
            let wide = grapheme_width(grapheme);
            if used > 0 && used + wide > max {
                // Spaces at the end of a line need no line of their own.
                if grapheme == " " {
                    continue;
                }
                done.push(core::mem::take(&mut current));
                used = 0;
            }
            current.push_str(grapheme);
            used += wide;
        }
    }
    done.push(current);
    done
}

/// The longest start of a harmless text within `max` columns, with a mark when something was cut.
pub(crate) fn cut(text: &str, max: usize) -> String {
    if width(text) <= max {
        return text.to_owned();
    }
    let mut used = 0;
    let mut out = String::new();
    for grapheme in text.graphemes(true) {
        used += grapheme_width(grapheme);
        if used >= max {
            break;
        }
        out.push_str(grapheme);
    }
    if max > 0 {
        out.push('~');
    }
    out
}

/// `text` cut or filled with spaces to exactly `columns`.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let mut text = cut(text, columns);
    let missing = columns.saturating_sub(width(&text));
    text.extend(core::iter::repeat_n(' ', missing));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_fit() {
        assert_eq!(lines("one two three", 8), ["one two ", "three"]);
        assert_eq!(lines("one two", 7), ["one two"]);
        assert_eq!(lines("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(lines("a\n\nb", 5), ["a", "", "b"]);
        assert_eq!(lines("", 5), [""]);
        assert_eq!(lines("你好你好", 5), ["你好", "你好"]);
        for max in 1..30 {
            for line in lines("grüße 你好, नमस्ते 👩\u{200d}🚀 and a-very-long-word-in-between", max)
            {
                assert!(width(line.trim_end()) <= max.max(2), "{max}: {line:?}");
            }
        }
    }

    #[test]
    fn nothing_hostile_is_left() {
        let hostile = "a\u{1b}[2J\u{202e}b\rc\u{9b}31m\td\n\u{85}";
        let shown = lines(hostile, 80).concat() + &clean(hostile);
        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
        let piled = format!("Z{}", "\u{301}".repeat(5000));
        assert_eq!(clean(&piled).chars().count(), MAX_POINTS);
        assert_eq!(width(&clean(&piled)), 1);
    }

    #[test]
    fn a_cut_fits_and_shows() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab~");
        assert_eq!(cut("你好", 3), "你~");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(fit("ab", 4), "ab  ");
        assert_eq!(fit("你好", 3), "你~");
        for max in 0..9 {
            assert_eq!(width(&fit("a你b好c", max)), max);
        }
    }
}
