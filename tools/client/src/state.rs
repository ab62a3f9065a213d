//! The states of a message: P4.

use core::fmt;

/// How far a message got. States only move forward.
///
/// `Failed` and `Expired` rank below `Delivered`: they are this device's or a node's word, and the
/// recipient's end-to-end receipt is the stronger truth when it comes after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// On the sender's device.
    Queued,
    /// The sender's home has custody.
    Accepted,
    /// The recipient's node has custody.
    AtNode,
    /// A settled refusal ended it.
    Failed,
    /// Its deadline passed.
    Expired,
    /// A device of the recipient has it.
    Delivered,
    /// The recipient saw it.
    Read,
}

impl State {
    /// All, in order.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Accepted,
        Self::AtNode,
        Self::Failed,
        Self::Expired,
        Self::Delivered,
        Self::Read,
    ];

    /// The word of the documents.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Accepted => "accepted",
            Self::AtNode => "at-node",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }

    /// The number in the database.
    pub(crate) fn number(self) -> i64 {
        self as i64
    }

    pub(crate) fn from_number(number: i64) -> Option<Self> {
        usize::try_from(number).ok().and_then(|index| Self::ALL.get(index).copied())
    }

    /// Whether a message in this state may come to be in `next`.
    pub fn may_become(self, next: Self) -> bool {
        self.rank() < next.rank()
    }

    /// Whether this state is at least as far as `wanted`, or will never get there.
    pub fn reached(self, wanted: Self) -> bool {
        !self.is_lost() && self.rank() >= wanted.rank()
    }

    /// Whether nothing more is tried.
    pub fn is_lost(self) -> bool {
        matches!(self, Self::Failed | Self::Expired)
    }

    fn rank(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Accepted => 1,
            Self::AtNode => 2,
            Self::Failed | Self::Expired => 3,
            Self::Delivered => 4,
            Self::Read => 5,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_only_move_forward() {
        for from in State::ALL {
            for to in State::ALL {
                assert!(!(from.may_become(to) && to.may_become(from)), "{from} {to}");
            }
            assert!(!from.may_become(from));
            assert_eq!(State::from_number(from.number()), Some(from));
        }
        assert!(!State::Failed.may_become(State::Expired));
        assert!(State::Expired.may_become(State::Delivered));
        assert!(!State::Expired.reached(State::AtNode));
    }
}
