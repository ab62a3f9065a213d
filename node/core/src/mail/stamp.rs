//! Stamps: how a node finds the sender of mail without keeping a map of who wrote to whom.
//!
//! A stamp is {account number, device, commit, index} encrypted under a secret of the origin node:
//! a synthetic IV over the plaintext, then a pad made from it, both of keyed BLAKE3 (the SIV
//! construction of Rogaway and Shrimpton, <https://eprint.iacr.org/2006/221>). The plaintext never
//! repeats, so no randomness is needed. Each message gets one: an AEAD cipher set up for so few
//! bytes costs several times as much.

use postroad_proto::ids::DeviceNumber;

const PLAIN: usize = 21;
const TAG: usize = 16;

/// Who sent something, as the node's own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) account: u64,
    pub(crate) device: DeviceNumber,
    pub(crate) commit: u64,
    pub(crate) index: u32,
}

impl Stamp {
    pub(crate) fn seal(&self, secret: &[u8; 32]) -> Vec<u8> {
        let mut plain = [0; PLAIN];
        plain[..8].copy_from_slice(&self.account.to_be_bytes());
        plain[8] = self.device;
        plain[9..17].copy_from_slice(&self.commit.to_be_bytes());
        plain[17..].copy_from_slice(&self.index.to_be_bytes());
        let tag = tag(secret, &plain);
        let mut sealed = Vec::with_capacity(TAG + PLAIN);
        sealed.extend_from_slice(&tag);
        sealed.extend_from_slice(&padded(secret, &tag, &plain));
        sealed
    }

    pub(crate) fn open(sealed: &[u8], secret: &[u8; 32]) -> Option<Self> {
        let (found, sealed) = sealed.split_first_chunk::<TAG>()?;
        let plain = padded(secret, found, sealed.try_into().ok()?);
        if tag(secret, &plain) != *found {
            return None;
        }
        let number = |at: usize| Some(u64::from_be_bytes(*plain.get(at..)?.first_chunk()?));
        Some(Self {
            account: number(0)?,
            device: *plain.get(8)?,
            commit: number(9)?,
            index: u32::from_be_bytes(*plain.last_chunk()?),
        })
    }
}

fn tag(secret: &[u8; 32], plain: &[u8; PLAIN]) -> [u8; TAG] {
    let mut input = [0; 9 + PLAIN];
    input[..9].copy_from_slice(b"stamp tag");
    input[9..].copy_from_slice(plain);
    let mut tag = [0; TAG];
    tag.copy_from_slice(&blake3::keyed_hash(secret, &input).as_bytes()[..TAG]);
    tag
}

fn padded(secret: &[u8; 32], tag: &[u8; TAG], bytes: &[u8; PLAIN]) -> [u8; PLAIN] {
    let mut input = [0; 9 + TAG];
    input[..9].copy_from_slice(b"stamp pad");
    input[9..].copy_from_slice(tag);
    let pad = blake3::keyed_hash(secret, &input);
    let mut out = *bytes;
    for (byte, pad) in out.iter_mut().zip(pad.as_bytes()) {
        *byte ^= pad;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_opens_under_its_secret_only() {
        let stamp = Stamp { account: 7, device: 2, commit: 9, index: 1 };
        let sealed = stamp.seal(&[1; 32]);
        assert!(sealed.len() <= 64);
        assert_eq!(Stamp::open(&sealed, &[1; 32]), Some(stamp));
        assert_eq!(Stamp::open(&sealed, &[2; 32]), None);
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert_eq!(Stamp::open(&forged, &[1; 32]), None, "byte {at}");
            assert_eq!(Stamp::open(&sealed[..at], &[1; 32]), None, "{at} bytes");
        }
    }

    #[test]
    fn stamps_of_one_sender_have_nothing_in_common() {
        let stamp = |index| Stamp { account: 7, device: 2, commit: 9, index }.seal(&[1; 32]);
        let same = stamp(1).iter().zip(stamp(2)).filter(|(a, b)| **a == *b).count();
        assert!(same < 8, "{same} bytes are the same");
    }
}
