//! Where a text names people of its conversation: found when it is written, checked when it is read.

use postroad_proto::content::{MAX_MENTIONS, Mention};
use postroad_proto::ids::AccountId;

/// What marks a name.
const MARK: char = '@';

/// The mentions in a text that is written: the mark at the beginning of a word, and one of
/// somebody's names after it, the longest that fits, whatever the case.
pub(crate) fn find(text: &str, people: &[(AccountId, Vec<String>)]) -> Vec<Mention> {
    let mut found = Vec::new();
    let mut end = 0;
    for (at, _) in text.match_indices(MARK) {
        let begins = text[..at].chars().next_back().is_none_or(|before| !is_of_word(before));
        if at < end || !begins {
            continue;
        }
        let rest = &text[at + MARK.len_utf8()..];
        let fits = people
            .iter()
            .flat_map(|(who, names)| names.iter().map(move |name| (*who, name)))
            .filter_map(|(who, name)| Some((prefix(rest, name)?, who)));
        let Some((length, account)) = fits.max_by_key(|(length, _)| *length) else { continue };
        let length = MARK.len_utf8() + length;
        end = at + length;
        found.push(Mention { account, start: at as u64, length: length as u64 });
        if found.len() == MAX_MENTIONS {
            break;
        }
    }
    found
}

fn is_of_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Bytes of `text` that are `name`, whatever the case, as a word of its own.
fn prefix(text: &str, name: &str) -> Option<usize> {
    let mut length = 0;
    let mut letters = text.chars();
    for wanted in name.chars() {
        let got = letters.next()?;
        if !got.to_lowercase().eq(wanted.to_lowercase()) {
            return None;
        }
        length += got.len_utf8();
    }
    let ends = letters.next().is_none_or(|after| !is_of_word(after));
    (ends && length > 0).then_some(length)
}

/// Those mentions of a text that name somebody of the conversation and lie where there is text,
/// apart.
pub(crate) fn valid(text: &str, mentions: &[Mention], people: [AccountId; 2]) -> Vec<Mention> {
    let mut end = 0;
    let mut valid = Vec::new();
    for mention in mentions.iter().take(MAX_MENTIONS) {
        let range = usize::try_from(mention.start).ok().zip(usize::try_from(mention.length).ok());
        let Some((start, length)) = range else { continue };
        let Some(stop) = start.checked_add(length) else { continue };
        let is_apart = start >= end && length > 0;
        if is_apart && text.get(start..stop).is_some() && people.contains(&mention.account) {
            end = stop;
            valid.push(*mention);
        }
    }
    valid
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: AccountId = AccountId([1; 32]);
    const BOB: AccountId = AccountId([2; 32]);

    fn in_text(text: &str) -> Vec<(&str, AccountId)> {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let people = [
            (ALICE, names(&["alice", "alice@road.example"])),
            (BOB, names(&["Bob", "Bob Müller", "bob"])),
        ];
        let cut = |m: &Mention| {
            let start = usize::try_from(m.start).unwrap();
            (&text[start..start + usize::try_from(m.length).unwrap()], m.account)
        };
        find(text, &people).iter().map(cut).collect()
    }

    #[test]
    fn names_are_found_as_words_of_their_own_and_the_longest_counts() {
        assert_eq!(in_text("@bob, ask @Alice!"), [("@bob", BOB), ("@Alice", ALICE)]);
        assert_eq!(in_text("@BOB MÜLLER's turn"), [("@BOB MÜLLER", BOB)]);
        assert_eq!(in_text("(@alice@road.example)"), [("@alice@road.example", ALICE)]);
        assert_eq!(in_text("@alice@other.example"), [("@alice", ALICE)]);
        for none in ["bob", "@bobby", "mail me at x@bob", "@ bob", "@", "@carol", ""] {
            assert_eq!(in_text(none), [], "{none:?}");
        }
        assert_eq!(in_text(&"@bob ".repeat(100)).len(), MAX_MENTIONS);
    }

    #[test]
    fn what_others_say_of_a_text_is_believed_only_where_it_fits() {
        let text = "é @bob";
        let at = |start, length, account| Mention { account, start, length };
        let good = at(3, 4, BOB);
        assert_eq!(valid(text, &[good], [ALICE, BOB]), [good]);
        let bad = [
            at(1, 2, BOB),
            at(3, 5, BOB),
            at(u64::MAX, 2, BOB),
            at(3, u64::MAX, BOB),
            at(3, 0, BOB),
            at(3, 4, AccountId([3; 32])),
        ];
        assert_eq!(valid(text, &bad, [ALICE, BOB]), []);
        assert_eq!(valid(text, &[good, at(5, 2, ALICE)], [ALICE, BOB]), [good], "they overlap");
    }
}
