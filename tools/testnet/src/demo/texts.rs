//! What Alice writes.

/// The long text's length: 60 KiB, which no single packet and no small buffer holds.
pub(super) const LONG_BYTES: usize = 61_440;

/// A language and a greeting in it.
pub(super) const GREETINGS: [(&str, &str); 10] = [
    ("Latin", "Grüße aus Łódź, ça va? It's \"quoted\" & <marked>."),
    ("Greek", "Καλημέρα, τι κάνεις;"),
    ("Cyrillic", "Привет! Як справи?"),
    ("Arabic", "مرحبا، كيف حالك؟"),
    ("Hebrew", "שלום, מה שלומך?"),
    ("Chinese", "你好，吃饭了吗？"),
    ("Japanese", "こんにちは、カタカナと漢字"),
    ("Hindi", "नमस्ते, आप कैसे हैं?"),
    ("emoji", "👩🏽\u{200d}🚀 🏳️\u{200d}🌈 👨\u{200d}👩\u{200d}👧\u{200d}👦 🇺🇳"),
    ("several lines", "one\n\ttwo\n\n  four "),
];

/// What Alice writes while Bob's node is down: a few KiB, no two lines the same.
pub(super) fn second() -> String {
    let line = |number: u32| {
        let (_, greeting) = GREETINGS[number as usize % GREETINGS.len()];
        format!("{:08x} {greeting}\n", number.wrapping_mul(0x9e37_79b9))
    };
    (1..=100).map(line).chain(["and that is all.".to_owned()]).collect()
}

/// A text of exactly [`LONG_BYTES`] bytes in all those scripts, no two lines the same.
pub(super) fn long() -> String {
    let mut text = String::with_capacity(LONG_BYTES);
    for (number, (_, greeting)) in (1u32..).zip(GREETINGS.iter().cycle()) {
        let line = format!("{number}: {greeting}\n");
        if text.len() + line.len() > LONG_BYTES {
            break;
        }
        text.push_str(&line);
    }
    // The end is no line feed: nothing may trim it away unnoticed.
    text.extend(std::iter::repeat_n('.', LONG_BYTES - text.len()));
    if text.ends_with('\n') {
        text.pop();
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_text_is_exactly_as_long_as_promised() {
        let text = long();
        assert_eq!(text.len(), LONG_BYTES);
        assert!(text.ends_with('.'));
        assert!(GREETINGS.iter().all(|(_, greeting)| text.contains(greeting)));
    }
}
