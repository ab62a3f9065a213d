//! Read buffers, lent for one read: an idle session holds none.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

const SIZE: usize = 32 * 1024;
/// Buffers kept for the next reader; more are freed.
const KEPT: usize = 32;

static POOL: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

pub(super) struct Buffer(Vec<u8>);

pub(super) fn borrow() -> Buffer {
    let pooled = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop();
    Buffer(pooled.unwrap_or_else(|| vec![0; SIZE]))
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < KEPT {
            pool.push(std::mem::take(&mut self.0));
        }
    }
}
