//! Text written by strangers, made harmless for a terminal.
//!
//! Everything that could move the cursor, start an escape sequence, hide text or reorder the rest
//! of a line is replaced by something visible. Letters of every script, the joiners that Hindi and
//! emoji need, and the implicit marks of right-to-left writing stay as they are.

use std::borrow::Cow;

/// One line of text: line breaks and tabs become visible as well, so that a name cannot pretend to
/// be another row of a table.
#[must_use]
pub fn safe(text: &str) -> Cow<'_, str> {
    replace(text, is_hazard)
}

/// Text of several lines, such as a message's body: line feeds and tabs stay.
#[must_use]
pub fn safe_lines(text: &str) -> Cow<'_, str> {
    replace(text, |c| is_hazard(c) && !matches!(c, '\n' | '\t'))
}

fn replace(text: &str, hazard: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&hazard) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hazard(c) { push_visible(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Whether a character does something to a terminal beyond showing itself.
pub(crate) fn is_hazard(c: char) -> bool {
    c.is_control() // C0, DEL and C1
        || matches!(c,
            '\u{2028}' | '\u{2029}'               // line and paragraph separators
            | '\u{202a}'..='\u{202e}'             // bidi embeddings and overrides
            | '\u{2066}'..='\u{2069}'             // bidi isolates
            | '\u{206a}'..='\u{206f}'             // deprecated shaping and digit controls
            | '\u{fff9}'..='\u{fffb}'             // interlinear annotation
            | '\u{feff}') // byte order mark
}

fn push_visible(out: &mut String, c: char) {
    let code = c as u32;
    let picture = match code {
        0..=0x1f => char::from_u32(0x2400 + code),
        0x7f => Some('\u{2421}'),
        _ => None,
    };
    match picture {
        Some(picture) => out.push(picture),
        None => out.push_str(&format!("<U+{code:04X}>")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_controls_are_shown_not_obeyed() {
        assert_eq!(safe("\u{1b}[2J\u{1b}]0;owned\u{7}"), "␛[2J␛]0;owned␇");
        assert_eq!(safe("a\rb\u{8}c\0d\u{7f}"), "a␍b␈c␀d␡");
        assert_eq!(safe("\u{9b}31mred\u{85}"), "<U+009B>31mred<U+0085>");
        assert_eq!(safe("bob\nalice  accepted"), "bob␊alice  accepted");
    }

    #[test]
    fn nothing_reorders_the_line() {
        assert_eq!(safe("exe.\u{202e}txt\u{202c}"), "exe.<U+202E>txt<U+202C>");
        assert_eq!(safe("\u{2066}x\u{2069}"), "<U+2066>x<U+2069>");
        assert_eq!(safe("a\u{2028}b\u{2029}c"), "a<U+2028>b<U+2029>c");
    }

    #[test]
    fn every_script_stays_as_it_is() {
        for text in
            ["grüße", "Γειά", "привет", "مرحبا\u{200f}", "שלום", "你好", "नमस्ते", "👩\u{200d}🚀"]
        {
            assert!(matches!(safe(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn a_body_keeps_its_lines_and_nothing_else() {
        assert_eq!(safe_lines("a\n\tb\r\u{1b}c"), "a\n\tb␍␛c");
    }

    #[test]
    fn no_hazard_survives_whatever_the_text() {
        let all: String = (0..=0x10_ffffu32).filter_map(char::from_u32).collect();
        assert!(!safe(&all).chars().any(is_hazard));
    }
}
