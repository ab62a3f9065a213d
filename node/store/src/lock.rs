//! One process per data directory.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::FlockOperation;

use crate::error::StoreError;

/// The lock on a data directory, held until it is dropped. The kernel releases it when the
/// process dies, so a killed node leaves nothing to clean up.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock `<dir>/lock`, making the directory when it is not there.
    pub fn acquire(dir: &Path) -> Result<Self, StoreError> {
        let fault = |error: &std::io::Error| StoreError::io("locking the data directory", error);
        fs::create_dir_all(dir).map_err(|e| fault(&e))?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join("lock"))
            .map_err(|e| fault(&e))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::Locked { pid: holder(&mut file) });
            }
            Err(errno) => return Err(fault(&errno.into())),
        }
        // The id is for people only; the lock holds without it, so a full disk is no obstacle.
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = written {
            tracing::warn!(%error, "could not write the process id into the lock file");
        }
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> u32 {
    let mut text = String::new();
    match file.take(32).read_to_string(&mut text) {
        Ok(_) => text.trim().parse().unwrap_or(0),
        Err(_) => 0,
    }
}
