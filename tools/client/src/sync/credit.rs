//! What the node may push: granted in portions, counted as it comes, so that a home which pushes
//! whatever it likes is noticed before that fills the memory.

use postroad_proto::frame::{Credit, Frame};

use crate::error::ConnectionError;

/// What the node may push before we say that there is more room.
const MESSAGES: u64 = 64;
const BYTES: u64 = 512 * 1024;
/// What an item costs beside its body, at least as much as the node counts.
const ITEM_COST: u64 = 1024;

/// What the node has left of the credit.
#[derive(Debug, Default)]
pub(super) struct Left {
    messages: u64,
    /// At the least: items are counted for more than they may be.
    bytes: u64,
    /// At the most: only what shows of an item is counted.
    most_bytes: u64,
}

impl Left {
    /// The credit to be renewed, when half of it is used.
    pub(super) fn renew(&mut self) -> Option<Credit> {
        if self.messages > MESSAGES / 2 && self.bytes > BYTES / 2 {
            return None;
        }
        let more = Credit { messages: MESSAGES - self.messages, bytes: BYTES - self.bytes };
        (self.messages, self.bytes) = (MESSAGES, BYTES);
        self.most_bytes = self.most_bytes.saturating_add(more.bytes);
        Some(more)
    }

    /// Counts a frame.
    ///
    /// # Errors
    /// [`ConnectionError::Protocol`] for an item that no credit was left for.
    pub(super) fn spend(&mut self, frame: &Frame) -> Result<(), ConnectionError> {
        let shows = match frame {
            Frame::Push(push) => push.header.as_ref().map_or(0, |h| h.len()) + push.body.len(),
            Frame::Notice(notice) if notice.seq > 0 => 0,
            _ => return Ok(()),
        } as u64;
        if self.messages == 0 || self.most_bytes == 0 {
            let why = "the node pushes more than it was given credit for";
            return Err(ConnectionError::Protocol(why.to_owned()));
        }
        self.messages -= 1;
        self.bytes = self.bytes.saturating_sub(ITEM_COST + shows);
        self.most_bytes = self.most_bytes.saturating_sub(shows);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use postroad_proto::envelope::Attributes;
    use postroad_proto::frame::{Notice, Push};
    use postroad_proto::ids::Hash;

    use super::*;

    fn push(bytes: usize) -> Frame {
        Push {
            seq: 1,
            attributes: Attributes { version: 1, flags: 0, class: 1, mode: 1, deadline: 1 },
            label: None,
            origin: None,
            tag: None,
            body_hash: Hash([0; 32]),
            header: None,
            body: vec![0; bytes].into(),
        }
        .into()
    }

    #[test]
    fn a_node_that_keeps_to_its_credit_is_never_cut_off_and_another_one_is() {
        let mut left = Left::default();
        assert!(left.spend(&push(1)).is_err(), "nothing before the first credit");
        assert!(left.renew().is_some());
        // As the node counts: at least what shows, and less than 512 more.
        for size in [0, 1, 60_000, 131_000, 5_000] {
            for extra in [0, 511] {
                let (mut messages, mut bytes) = (left.messages, left.bytes);
                for _ in 0..500 {
                    while messages > 0 && bytes > 0 {
                        left.spend(&push(size)).unwrap();
                        (messages, bytes) =
                            (messages - 1, bytes.saturating_sub(size as u64 + extra));
                    }
                    let more = left.renew().unwrap();
                    (messages, bytes) = (messages + more.messages, bytes + more.bytes);
                }
            }
        }
        let news = Notice { seq: 0, receipts: None, refused: None, generation: None };
        for _ in 0..1000 {
            left.spend(&news.clone().into()).unwrap();
        }
        let mut left = Left::default();
        left.renew();
        let taken = (0..1000).take_while(|_| left.spend(&push(1)).is_ok()).count();
        assert_eq!(taken, MESSAGES as usize);
        let mut left = Left::default();
        left.renew();
        let taken = (0..1000).take_while(|_| left.spend(&push(131_072)).is_ok()).count();
        assert_eq!(taken, 4);
    }
}
