//! Randomness from the operating system.

use getrandom::SysRng;
use rand_core::{Rng, UnwrapErr};

/// The system's generator. It panics when the system has no randomness to give: nothing of ours
/// could go on without.
pub(crate) type SystemRng = UnwrapErr<SysRng>;

/// The system's generator.
pub(crate) fn rng() -> SystemRng {
    UnwrapErr(SysRng)
}

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rng().fill_bytes(&mut bytes);
    bytes
}
