//! The highest signed receipt root held of each node. Shown to the home, they prove to a node that
//! was rolled back that it was: P10.

use postroad_proto::codec;
use postroad_proto::ids::{Millis, NodeId};
use postroad_proto::limits::MAX_QUOTED;
use postroad_proto::receipt::ReceiptRoot;
use postroad_proto::signed::{Signable, Signed};
use rusqlite::{OptionalExtension, Transaction, params};

use crate::db::{int, unsigned};
use crate::error::Result;

/// Nodes of which a root is kept: those heard of last.
const KEPT: usize = 4 * MAX_QUOTED;

/// Keeps a root that holds, if it is the highest of its node. Whether it is the first of a higher
/// generation than was known: the node was rolled back. What it signed goes before what the home said
/// of it, which may have been anything.
pub(crate) fn note(
    tx: &Transaction<'_>,
    root: &ReceiptRoot,
    signed: &Signed<ReceiptRoot>,
    now: Millis,
) -> Result<bool> {
    let known = known(tx, &root.node)?;
    tx.prepare_cached(
        "INSERT INTO quote (node, generation, commit_no, root, at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (node) DO UPDATE
         SET generation = ?2, commit_no = ?3, root = ?4, told = min(told, ?2), at = ?5
         WHERE root IS NULL OR (generation, commit_no) < (?2, ?3)",
    )?
    .execute(params![
        root.node.0,
        int(root.generation),
        int(root.commit),
        codec::encode(signed)?,
        int(now)
    ])?;
    if known.is_none() {
        forget_oldest(tx)?;
    }
    let generation = int(root.generation).unsigned_abs();
    Ok(known.is_some_and(|(signed, told)| signed < generation && told != generation))
}

/// The home says in which generation a node is. Whether that is news. It is its word alone, so what
/// the node signed stays, and is quoted as before.
pub(crate) fn told(
    tx: &Transaction<'_>,
    node: &NodeId,
    generation: u64,
    now: Millis,
) -> Result<bool> {
    // As it is stored, or what is out of range would be news for ever.
    let generation = int(generation).unsigned_abs();
    let known = known(tx, node)?;
    if known.is_some_and(|(signed, told)| signed.max(told) >= generation) {
        return Ok(false);
    }
    tx.prepare_cached(
        "INSERT INTO quote (node, told, at) VALUES (?1, ?2, ?3)
         ON CONFLICT (node) DO UPDATE SET told = ?2, at = ?3",
    )?
    .execute(params![node.0, int(generation), int(now)])?;
    if known.is_none() {
        forget_oldest(tx)?;
    }
    Ok(true)
}

/// What a hello quotes: the home's root first, then the newest of others.
pub(crate) fn for_hello(tx: &Transaction<'_>, home: &NodeId) -> Result<Vec<Signed<ReceiptRoot>>> {
    let mut query = tx.prepare_cached(
        "SELECT root FROM quote WHERE root NOT NULL
         ORDER BY node = ?1 DESC, at DESC LIMIT ?2",
    )?;
    let rows = query.query_map(params![home.0, MAX_QUOTED as i64], |row| row.get(0))?;
    let encoded = rows.collect::<rusqlite::Result<Vec<Vec<u8>>>>()?;
    let limit = ReceiptRoot::LIMIT + 128;
    encoded.iter().map(|bytes| Ok(codec::decode(bytes, limit)?)).collect()
}

/// The highest generation that a node has signed, and the one that the home has told of.
fn known(tx: &Transaction<'_>, node: &NodeId) -> Result<Option<(u64, u64)>> {
    let mut query = tx.prepare_cached("SELECT generation, told FROM quote WHERE node = ?1")?;
    let known =
        query.query_row([node.0], |row| Ok((unsigned(row, "generation")?, unsigned(row, "told")?)));
    Ok(known.optional()?)
}

fn forget_oldest(tx: &Transaction<'_>) -> Result<()> {
    tx.prepare_cached(
        "DELETE FROM quote WHERE node NOT IN (SELECT node FROM quote ORDER BY at DESC LIMIT ?1)",
    )?
    .execute([KEPT as i64])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use postroad_proto::SigningKey;
    use postroad_proto::ids::Hash;
    use postroad_proto::network::Network;

    use super::*;
    use crate::testing;

    fn root(seed: u8, generation: u64, commit: u64) -> (ReceiptRoot, Signed<ReceiptRoot>) {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let node = NodeId(key.verifying_key().to_bytes());
        let (run, merkle_root) = ([1; 8], Hash([0; 32]));
        let root =
            ReceiptRoot { version: 1, flags: 0, node, generation, run, commit, at: 1, merkle_root };
        let signed = Signed::new(&root, &key, &Network::default()).unwrap();
        (root, signed)
    }

    #[test]
    fn the_highest_of_each_node_is_quoted_the_homes_first() {
        let (mut db, _) = testing::database();
        let network = Network::default();
        let home = root(1, 1, 7).0.node;
        db.write(|tx| {
            for (now, (seed, generation, commit)) in
                [(1, 1, 7), (2, 1, 5), (2, 1, 9), (2, 1, 8), (1, 1, 6)].into_iter().enumerate()
            {
                let (root, signed) = root(seed, generation, commit);
                note(tx, &root, &signed, now as Millis)?;
            }
            for seed in 3..=100 {
                let (root, signed) = root(seed, 1, 1);
                note(tx, &root, &signed, 100)?;
            }
            let quoted: Vec<ReceiptRoot> =
                for_hello(tx, &home)?.iter().map(|s| s.open(&network).unwrap()).collect();
            assert_eq!(quoted.len(), MAX_QUOTED);
            assert_eq!((quoted[0].node, quoted[0].commit), (home, 7));
            let held = |tx: &Transaction<'_>| -> Result<u64> {
                let (root, _) = root(2, 1, 9);
                Ok(tx.query_row(
                    "SELECT commit_no FROM quote WHERE node = ?1",
                    [root.node.0],
                    |row| unsigned(row, "commit_no"),
                )?)
            };
            assert_eq!(held(tx)?, 9);
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn a_generation_is_news_once_and_the_homes_word_ends_no_quotes() {
        let (mut db, _) = testing::database();
        let (first, signed) = root(2, 1, 5);
        let (second, new) = root(2, 2, 1);
        db.write(|tx| {
            assert!(!note(tx, &first, &signed, 1)?, "the first one ever is no change");
            assert_eq!(for_hello(tx, &first.node)?, std::slice::from_ref(&signed));
            assert!(told(tx, &first.node, 2, 2)?);
            assert!(!told(tx, &first.node, 2, 3)?);
            assert_eq!(for_hello(tx, &first.node)?, std::slice::from_ref(&signed));
            // A late receipt of the old generation changes nothing.
            assert!(!note(tx, &first, &signed, 4)?);
            assert!(!note(tx, &second, &new, 5)?, "it was told before");
            assert_eq!(for_hello(tx, &first.node)?, std::slice::from_ref(&new));
            let (third, newer) = root(2, 3, 1);
            assert!(note(tx, &third, &newer, 6)?, "a receipt says it as well");
            // Whatever the home says, the node is heard again with the next that it signs.
            assert!(told(tx, &first.node, u64::MAX, 7)?);
            assert!(!told(tx, &first.node, u64::MAX, 7)?);
            let (fourth, last) = root(2, 4, 1);
            assert!(note(tx, &fourth, &last, 8)?);
            assert_eq!(for_hello(tx, &first.node)?, std::slice::from_ref(&last));
            assert!(told(tx, &first.node, 5, 9)?);
            Ok(())
        })
        .unwrap();
    }
}
