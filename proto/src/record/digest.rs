//! What stands for a table of node records when two nodes compare theirs. `spec/node.md`.
//!
//! Records fall into 256 buckets by the first byte of the node's id. Each bucket has a value and
//! all values together have a root, so that equal tables are found equal by 32 bytes, and unequal
//! ones by the buckets in which they differ.

use crate::ids::Hash;

/// What stands for one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The first eight bytes of the node's id.
    pub node: [u8; 8],
    /// The first eight bytes of the record's hash.
    pub hash: [u8; 8],
}

/// The value of a bucket, from the entries of its current records by rising node id. That of an
/// empty one is eight zero bytes.
pub fn bucket(entries: &[Entry]) -> [u8; 8] {
    let mut value = [0; 8];
    if entries.is_empty() {
        return value;
    }
    let mut hasher = blake3::Hasher::new_derive_key("postroad v1 nodes bucket");
    for entry in entries {
        hasher.update(&entry.node);
        hasher.update(&entry.hash);
    }
    value.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    value
}

/// What stands for the whole table: the values of its buckets, from bucket 0 to bucket 255.
pub fn root(buckets: &[[u8; 8]; 256]) -> Hash {
    Hash(blake3::derive_key("postroad v1 nodes root", buckets.as_flattened()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(node: u8, hash: u8) -> Entry {
        Entry { node: [node; 8], hash: [hash; 8] }
    }

    #[test]
    fn a_bucket_depends_on_every_entry_and_on_their_order() {
        let (first, second) = (entry(1, 7), entry(2, 8));
        assert_eq!(bucket(&[]), [0; 8]);
        let both = bucket(&[first, second]);
        let others = [
            vec![],
            vec![first],
            vec![second],
            vec![second, first],
            vec![first, entry(2, 9)],
            vec![first, second, second],
        ];
        assert!(others.iter().all(|other| bucket(other) != both));
    }

    #[test]
    fn the_root_depends_on_what_lies_in_which_bucket() {
        let empty = [[0; 8]; 256];
        let mut one = empty;
        one[3] = bucket(&[entry(3, 7)]);
        let mut moved = empty;
        moved[4] = one[3];
        assert_ne!(root(&empty), root(&one));
        assert_ne!(root(&one), root(&moved));
    }
}
