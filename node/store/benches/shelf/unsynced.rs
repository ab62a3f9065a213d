//! The real file layer, but that nothing is synced: shows what a commit costs beside the disk.

use std::io;

use postroad_store::{Files, JournalFile, RealFile, RealFiles};

pub(crate) struct Unsynced<T>(pub(crate) T);

impl Files for Unsynced<RealFiles> {
    type File = Unsynced<RealFile>;

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Self::File> {
        self.0.create(name, bytes).map(Unsynced)
    }

    fn open(&self, name: &str) -> io::Result<Self::File> {
        self.0.open(name).map(Unsynced)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn free(&self) -> io::Result<u64> {
        self.0.free()
    }

    fn salt(&self) -> u32 {
        self.0.salt()
    }
}

impl JournalFile for Unsynced<RealFile> {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.truncate(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
