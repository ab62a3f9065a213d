//! The order of a conversation: sequence numbers and hashes, ours and theirs. P3.

mod ranges;

use postroad_proto::content::{Message, short_hash};
use postroad_proto::ids::ConversationId;
use rusqlite::{OptionalExtension, Transaction, params};
use serde_bytes::ByteArray;

use crate::db::{blob, int, unsigned};
use crate::e2e::DeviceAddress;
use crate::error::Result;

pub(crate) use ranges::{
    all_ranges, close, gap_before, give_up, lost, lost_elsewhere, missing, next_of, ranges,
    received_elsewhere, senders,
};

/// Hashes of a sender's newest messages that are kept for comparing; ranges stay for ever.
const HASHES_KEPT: u64 = 1000;

/// Where the next message of this device goes: its number, and the hash of the one before.
pub(crate) fn next_own(
    tx: &Transaction<'_>,
    chat: &ConversationId,
) -> Result<(u64, Option<ByteArray<16>>)> {
    let last = tx
        .prepare_cached("SELECT seq, hash FROM own_chain WHERE chat = ?1")?
        .query_row([chat.0], |row| Ok((unsigned(row, "seq")?, blob::<16>(row, "hash")?)))
        .optional()?;
    Ok(match last {
        Some((seq, hash)) => (seq + 1, Some(ByteArray::new(hash))),
        None => (1, None),
    })
}

/// This device's message has taken its place.
pub(crate) fn sent(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    seq: u64,
    plaintext: &[u8],
) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO own_chain (chat, seq, hash) VALUES (?1, ?2, ?3)")?
        .execute(params![chat.0, int(seq), short_hash(plaintext).as_slice()])?;
    Ok(())
}

/// What taking a message into its sender's sequence showed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It fits what is there.
    Fits,
    /// Its number was already taken by another message.
    Taken,
    /// It does not name the message before it, or the one after does not name it.
    Broken,
}

/// Takes a message into its sender's sequence.
pub(crate) fn received(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
    message: &Message,
    plaintext: &[u8],
) -> Result<Place> {
    let hash = short_hash(plaintext);
    if !ranges::extend(tx, chat, sender, message.seq)? {
        // Where only a range is known, be it from another device of ours, it may be the same.
        let held = hash_at(tx, chat, sender, message.seq)?;
        return Ok(match held.is_none_or(|held| held == hash.as_slice()) {
            true => Place::Fits,
            false => Place::Taken,
        });
    }
    let previous = message.previous.as_ref().map(|hash| hash.as_slice());
    tx.prepare_cached("INSERT OR REPLACE INTO peer_chain VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            chat.0,
            sender.0.0,
            sender.1,
            int(message.seq),
            hash.as_slice(),
            previous
        ])?;
    let at = |seq: u64, column: &str| -> Result<Option<Option<Vec<u8>>>> {
        let sql = format!(
            "SELECT {column} FROM peer_chain
             WHERE chat = ?1 AND account = ?2 AND device = ?3 AND seq = ?4"
        );
        let mut query = tx.prepare_cached(&sql)?;
        let key = params![chat.0, sender.0.0, sender.1, int(seq)];
        Ok(query.query_row(key, |row| row.get(0)).optional()?)
    };
    let before = at(message.seq - 1, "hash")?.flatten();
    let after = at(message.seq + 1, "previous")?;
    let fits_before = before.is_none_or(|before| previous == Some(before.as_slice()));
    let fits_after = after.is_none_or(|after| after.as_deref() == Some(hash.as_slice()));
    tx.prepare_cached(
        "DELETE FROM peer_chain WHERE chat = ?1 AND account = ?2 AND device = ?3 AND seq < ?4",
    )?
    .execute(params![
        chat.0,
        sender.0.0,
        sender.1,
        int(message.seq.saturating_sub(HASHES_KEPT))
    ])?;
    Ok(if fits_before && fits_after { Place::Fits } else { Place::Broken })
}

fn hash_at(
    tx: &Transaction<'_>,
    chat: &ConversationId,
    sender: DeviceAddress,
    seq: u64,
) -> Result<Option<Vec<u8>>> {
    let mut query = tx.prepare_cached(
        "SELECT hash FROM peer_chain
         WHERE chat = ?1 AND account = ?2 AND device = ?3 AND seq = ?4",
    )?;
    let key = params![chat.0, sender.0.0, sender.1, int(seq)];
    Ok(query.query_row(key, |row| row.get(0)).optional()?)
}

#[cfg(test)]
mod tests {
    use postroad_proto::content::{Sender, kind};
    use postroad_proto::ids::{AccountId, MessageId};

    use super::*;
    use crate::testing;

    const CHAT: ConversationId = ConversationId([1; 16]);
    const SENDER: DeviceAddress = (AccountId([2; 32]), 1);

    fn message(seq: u64, before: Option<&Message>) -> Message {
        Message {
            id: MessageId([seq as u8; 16]),
            conversation: CHAT,
            seq,
            previous: before.map(|m| short_hash(&m.encode().unwrap())),
            lowest_kept: 1,
            sent_at: 0,
            sender: Sender {
                account: SENDER.0,
                device: SENDER.1,
                devices: ByteArray::new([0; 16]),
            },
            card: None,
            kind: kind::TEXT,
            content: Vec::new().into(),
        }
    }

    #[test]
    fn a_gap_is_visible_until_it_is_filled_and_a_broken_chain_is_noticed() {
        let (mut db, _) = testing::database();
        let one = message(1, None);
        let two = message(2, Some(&one));
        let three = message(3, Some(&two));
        let forged = message(4, Some(&one));
        db.write(|tx| {
            let take = |m: &Message| received(tx, &CHAT, SENDER, m, &m.encode().unwrap()).unwrap();
            let missing = |seq| gap_before(tx, &CHAT, SENDER, seq).unwrap().missing;
            assert_eq!(take(&one), Place::Fits);
            assert_eq!(take(&three), Place::Fits);
            assert_eq!((missing(1), missing(3)), (0, 1));
            assert_eq!(ranges(tx, &CHAT, SENDER)?, [(1, 1), (3, 3)]);
            assert_eq!(take(&two), Place::Fits);
            assert_eq!(missing(3), 0);
            assert_eq!(ranges(tx, &CHAT, SENDER)?, [(1, 3)]);
            assert_eq!(take(&two), Place::Fits, "the same again");
            let other = Message { sent_at: 9, ..message(2, Some(&one)) };
            assert_eq!(take(&other), Place::Taken);
            assert_eq!(take(&forged), Place::Broken);
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn what_we_send_is_chained() {
        let (mut db, _) = testing::database();
        db.write(|tx| {
            assert_eq!(next_own(tx, &CHAT)?, (1, None));
            sent(tx, &CHAT, 1, b"one")?;
            assert_eq!(next_own(tx, &CHAT)?, (2, Some(short_hash(b"one"))));
            Ok(())
        })
        .unwrap();
    }
}
