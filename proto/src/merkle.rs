//! The Merkle tree of receipts: one signature for many items.
//!
//! Leaf = BLAKE3(0x00 ‖ item), node = BLAKE3(0x01 ‖ left ‖ right), as in RFC 6962 with BLAKE3; a
//! node without a right neighbour moves up unchanged.

use serde::{Deserialize, Serialize};

use crate::ids::Hash;

/// Hash of one item.
pub fn leaf(item: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[0]);
    hasher.update(item);
    Hash(*hasher.finalize().as_bytes())
}

fn node(left: &Hash, right: &Hash) -> Hash {
    let mut input = [1; 65];
    input[1..33].copy_from_slice(&left.0);
    input[33..].copy_from_slice(&right.0);
    Hash::of(&input)
}

/// One step from a node towards the root: its neighbour, and on which side that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The neighbour.
    pub hash: Hash,
    /// Whether it stands on the left.
    pub left: bool,
}

/// A whole tree, for whoever needs many of its paths.
#[derive(Debug, Clone)]
pub struct Tree {
    /// From the leaves to the root.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// The tree over `leaves`.
    pub fn new(leaves: Vec<Hash>) -> Self {
        let mut levels = vec![leaves];
        while let Some(level) = levels.last().filter(|level| level.len() > 1) {
            levels.push(parents(level));
        }
        Self { levels }
    }

    /// The root; over no leaves it is 32 zero bytes.
    pub fn root(&self) -> Hash {
        self.levels.last().and_then(|top| top.first()).copied().unwrap_or(Hash([0; 32]))
    }

    /// The path from the leaf at `index` to the root.
    pub fn path(&self, mut index: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        for level in &self.levels {
            if let Some(hash) = level.get(index ^ 1) {
                steps.push(Step { hash: *hash, left: index % 2 == 1 });
            }
            index /= 2;
        }
        steps
    }
}

/// The root over `leaves`; over none it is 32 zero bytes.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = parents(&level);
    }
    level.first().copied().unwrap_or(Hash([0; 32]))
}

/// The path from `leaves[index]` to the root. For many paths of one tree see [`Tree`].
pub fn path(leaves: &[Hash], index: usize) -> Vec<Step> {
    Tree::new(leaves.to_vec()).path(index)
}

fn parents(level: &[Hash]) -> Vec<Hash> {
    level
        .chunks(2)
        .map(|pair| if let [left, right] = pair { node(left, right) } else { pair[0] })
        .collect()
}

/// The root that `from` leads to by `path`.
pub fn climb(from: Hash, path: &[Step]) -> Hash {
    path.iter().fold(from, |hash, step| {
        if step.left { node(&step.hash, &hash) } else { node(&hash, &step.hash) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_climbs_to_the_root_and_no_other_does() {
        for count in 1..40 {
            let leaves: Vec<Hash> = (0..count).map(|i: u8| leaf(&[i])).collect();
            let top = root(&leaves);
            for index in 0..leaves.len() {
                let steps = path(&leaves, index);
                assert_eq!(climb(leaves[index], &steps), top);
                assert_ne!(climb(leaf(b"other"), &steps), top);
            }
        }
    }
}
