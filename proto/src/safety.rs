//! What two people compare to know that nobody is in between. `spec/content.md`, "Safety words".

use bip39::Language;

use crate::ids::AccountId;

/// Words that two people compare: 11 bits each.
pub const WORDS: usize = 12;

/// The words of two accounts, the same for both: of the English list of BIP-39, chosen by BLAKE3 in
/// key derivation mode over both account keys, the smaller first.
pub fn words(one: &AccountId, other: &AccountId) -> [&'static str; WORDS] {
    let (low, high) = if one <= other { (one, other) } else { (other, one) };
    let hash = blake3::derive_key("postroad v1 safety", &[low.0, high.0].concat());
    let list = Language::English.word_list();
    core::array::from_fn(|n| {
        // 11 bits, wherever they lie in three bytes.
        let first = n * 11;
        let three = [0, 1, 2].map(|k| u32::from(hash[first / 8 + k]));
        let bits = three[0] << 16 | three[1] << 8 | three[2];
        list[(bits >> (13 - first % 8) & 0x7ff) as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_see_the_same_words_and_nobody_else_does() {
        let ids = [1, 2, 3].map(|n| AccountId([n; 32]));
        assert_eq!(words(&ids[0], &ids[1]), words(&ids[1], &ids[0]));
        assert_ne!(words(&ids[0], &ids[1]), words(&ids[0], &ids[2]));
        let all = words(&ids[0], &ids[1]);
        assert!(all.iter().all(|word| (3..=8).contains(&word.len())), "{all:?}");
    }
}
