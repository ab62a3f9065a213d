//! What became of messages, by their ids.

use crate::message::Id;

/// Messages that are not where they should be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Accepted and never delivered.
    pub(crate) lost: u64,
    /// Deliveries beyond the first.
    pub(crate) duplicated: u64,
}

impl Tally {
    pub(crate) fn of(accepted: &[Id], received: &[Id]) -> Self {
        let mut unique = received.to_vec();
        unique.sort_unstable();
        unique.dedup();
        let lost = accepted.iter().filter(|id| unique.binary_search(id).is_err()).count();
        Self { lost: lost as u64, duplicated: (received.len() - unique.len()) as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_and_repeated_messages_are_counted() {
        let id = |count| Id::new(1, count);
        let tally = Tally::of(&[id(1), id(2), id(3)], &[id(4), id(3), id(1), id(3)]);
        assert_eq!(tally, Tally { lost: 1, duplicated: 1 });
    }
}
