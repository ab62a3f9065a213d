//! A disk that is soon full.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system in memory; goes with its handle.
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts one of so many megabytes; none, with a loud word, where it cannot be mounted.
    ///
    /// # Panics
    /// When there is no place for it.
    pub fn mount(path: PathBuf, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let size = format!("size={megabytes}m,mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "none"])
            .arg(&path)
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            // Not by a macro: what those print of a test that passes is never seen.
            let _ = writeln!(std::io::stderr(), "SKIPPED: mounting a tmpfs needs root");
        }
        mounted.then_some(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all the room that is left; deleting the file gives it back.
    ///
    /// # Panics
    /// When there was none to be taken.
    pub fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        let mut written = 0;
        // In ever smaller pieces, so that not even a page is left.
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![7; size]).is_ok() {
                written += size;
            }
        }
        assert!(written > 0, "it was full");
        path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
