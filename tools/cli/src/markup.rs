//! Text written by strangers, made harmless for HTML and XML.

use crate::{safe, safe_lines};

/// One line as the content of an element or the value of a quoted attribute, where it does nothing
/// but show itself. What could reorder or hide text is made visible as [`safe`] does.
#[must_use]
pub fn markup(text: &str) -> String {
    escaped(&safe(text))
}

/// Text of several lines: line feeds and tabs stay.
#[must_use]
pub fn markup_lines(text: &str) -> String {
    escaped(&safe_lines(text))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML knows no such characters.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_shown_not_obeyed() {
        assert_eq!(
            markup("<b a=\"x\" c='y'>&amp;"),
            "&lt;b a=&quot;x&quot; c=&#39;y&#39;&gt;&amp;amp;"
        );
        assert_eq!(markup("a\n\0\u{202e}b\u{ffff}"), "a\u{240a}\u{2400}&lt;U+202E&gt;b\u{fffd}");
        assert_eq!(markup_lines("a\n\t\u{1b}[2J"), "a\n\t\u{241b}[2J");
    }

    #[test]
    fn nothing_that_means_something_survives_whatever_the_text() {
        let all: String = (0..=0x10_ffffu32).filter_map(char::from_u32).collect();
        for text in [markup(&all), markup_lines(&all)] {
            assert!(!text.contains(['<', '>', '"', '\'', '\0', '\u{1b}', '\u{202e}']));
            let entities = ["amp;", "lt;", "gt;", "quot;", "#39;"];
            let mut after = text.split('&').skip(1);
            assert!(after.all(|rest| entities.iter().any(|entity| rest.starts_with(entity))));
        }
    }
}
