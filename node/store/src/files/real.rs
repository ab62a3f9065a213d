//! The file layer on a real directory.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FallocateFlags;

use super::{Files, JournalFile};

/// A directory on a disk.
#[derive(Debug, Clone)]
pub struct RealFiles {
    dir: PathBuf,
    /// Kept open, so that a process that is out of descriptors can still sync it.
    handle: Arc<File>,
}

impl RealFiles {
    /// The directory `dir`, made when it is not there.
    pub fn new(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir)?;
        // The journal's own directory entry must outlive a power loss too.
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent)?;
        }
        let handle = Arc::new(File::open(&dir)?);
        Ok(Self { dir, handle })
    }
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

impl Files for RealFiles {
    type File = RealFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<RealFile> {
        let path = self.dir.join(name);
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        if let Err(error) = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            drop(file);
            // A file system may keep what it got before it ran out.
            fs::remove_file(&path)?;
            return Err(error.into());
        }
        Ok(RealFile { file })
    }

    fn open(&self, name: &str) -> io::Result<RealFile> {
        let file = OpenOptions::new().read(true).write(true).open(self.dir.join(name))?;
        Ok(RealFile { file })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn free(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn salt(&self) -> u32 {
        // The standard library seeds each `RandomState` from the system's randomness.
        RandomState::new().hash_one(std::process::id()) as u32
    }
}

/// A file on a disk.
#[derive(Debug)]
pub struct RealFile {
    file: File,
}

impl JournalFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        #[cfg(feature = "faults")]
        faults::before_sync()?;
        rustix::fs::fdatasync(&self.file)?;
        Ok(())
    }
}

/// Faults asked for by the environment; compiled into test builds only.
#[cfg(feature = "faults")]
mod faults {
    use std::io;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static DONE: AtomicU64 = AtomicU64::new(0);
    static ALLOWED: OnceLock<Option<u64>> = OnceLock::new();

    /// Fails every sync after the first `POSTROAD_FAULT_FSYNC_AFTER` ones.
    pub(super) fn before_sync() -> io::Result<()> {
        let allowed = ALLOWED.get_or_init(|| {
            std::env::var("POSTROAD_FAULT_FSYNC_AFTER").ok().and_then(|value| value.parse().ok())
        });
        let done = DONE.fetch_add(1, Ordering::Relaxed);
        match allowed {
            Some(allowed) if done >= *allowed => Err(rustix::io::Errno::IO.into()),
            _ => Ok(()),
        }
    }
}
