//! An in-memory file system with faults, the same for the same seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::{Files, JournalFile};

/// What a disk writes as one: a power loss keeps or loses each as a whole.
const SECTOR: usize = 512;

/// A simulated disk. Clones are handles to the same one.
#[derive(Debug, Clone, Default)]
pub struct SimFiles {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug, Default)]
struct Disk {
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    nodes: BTreeMap<u64, Node>,
    next_node: u64,
    capacity: Option<u64>,
    failing_syncs: u64,
    /// Syncs left before the power fails; everything fails from then on.
    power: Option<u64>,
    syncs: u64,
    salts: u32,
    /// Files opened before the last crash are dead.
    boot: u64,
}

/// A file: what is seen, what the disk has, and what lies between the two.
#[derive(Debug, Clone, Default)]
struct Node {
    size: u64,
    seen: Vec<u8>,
    durable_size: u64,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
}

impl SimFiles {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next `count` syncs fail, and lose what they should have made durable.
    pub fn fail_next_sync(&self, count: u64) {
        self.disk().failing_syncs = count;
    }

    /// The power fails during the sync after the next `count` ones. From then on everything fails,
    /// until [`SimFiles::power_loss`] says what is left.
    pub fn cut_power_at_sync(&self, count: u64) {
        self.disk().power = Some(count);
    }

    /// Limits what can be allocated to `bytes`; `None` lifts the limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk().capacity = bytes;
    }

    /// Bytes allocated.
    pub fn used(&self) -> u64 {
        self.disk().used()
    }

    /// Syncs of files done so far.
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }

    /// The process dies: open files go, all that was written stays visible.
    pub fn kill(&self) {
        self.disk().boot += 1;
    }

    /// The power fails: of everything not synced each sector and each directory entry is kept or
    /// lost, as `seed` decides.
    pub fn power_loss(&self, seed: u64) {
        let mut random = Random(seed);
        let mut disk = self.disk();
        disk.boot += 1;
        disk.power = None;
        let changed: BTreeSet<String> =
            disk.names.keys().chain(disk.durable_names.keys()).cloned().collect();
        for name in changed {
            let (seen, durable) = (disk.names.get(&name), disk.durable_names.get(&name));
            if seen != durable && random.next().is_multiple_of(2) {
                match seen.copied() {
                    Some(node) => disk.durable_names.insert(name, node),
                    None => disk.durable_names.remove(&name),
                };
            }
        }
        disk.names = disk.durable_names.clone();
        let named: BTreeSet<u64> = disk.names.values().copied().collect();
        disk.nodes.retain(|node, _| named.contains(node));
        for node in disk.nodes.values_mut() {
            node.lose_power(&mut random);
        }
    }

    /// Flips one bit of a file, on the disk and in the page cache.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u8) {
        let mut disk = self.disk();
        let Some(node) = disk.names.get(name).copied() else { return };
        if let Some(node) = disk.nodes.get_mut(&node) {
            let at = offset as usize;
            for bytes in [&mut node.seen, &mut node.durable] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
    }

    /// The names of all files.
    pub fn list_names(&self) -> Vec<String> {
        self.disk().names.keys().cloned().collect()
    }

    /// The written part of a file; empty when it is not there.
    pub fn contents(&self, name: &str) -> Vec<u8> {
        let disk = self.disk();
        let node = disk.names.get(name).and_then(|node| disk.nodes.get(node));
        node.map(|node| node.seen.clone()).unwrap_or_default()
    }
}

impl Disk {
    fn used(&self) -> u64 {
        self.names.values().filter_map(|node| self.nodes.get(node)).map(|node| node.size).sum()
    }

    fn grow(&self, by: u64) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if self.used() + by > capacity => Err(Errno::NOSPC.into()),
            _ => Ok(()),
        }
    }

    fn powered(&self) -> io::Result<()> {
        if self.power == Some(0) { Err(Errno::IO.into()) } else { Ok(()) }
    }

    fn sync_result(&mut self) -> io::Result<()> {
        self.powered()?;
        self.syncs += 1;
        if let Some(left) = &mut self.power {
            *left -= 1;
            self.powered()?;
        }
        if self.failing_syncs > 0 {
            self.failing_syncs -= 1;
            return Err(Errno::IO.into());
        }
        Ok(())
    }
}

impl Node {
    fn lose_power(&mut self, random: &mut Random) {
        // Each loss has its own character: all, nothing or any part of the writes gets through.
        let odds = random.next() % 5;
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Resize(size) if random.next() % 4 < odds => {
                    resize(&mut self.durable, &mut self.durable_size, size);
                }
                Change::Resize(_) => {}
                Change::Write(offset, bytes) => self.tear(offset, &bytes, odds, random),
            }
        }
        self.durable_size = self.durable_size.max(self.durable.len() as u64);
        self.seen.clone_from(&self.durable);
        self.size = self.durable_size;
    }

    fn tear(&mut self, offset: u64, bytes: &[u8], odds: u64, random: &mut Random) {
        let mut at = offset as usize;
        let mut rest = bytes;
        while !rest.is_empty() {
            let length = (SECTOR - at % SECTOR).min(rest.len());
            let (sector, behind) = rest.split_at(length);
            // A write behind a cut that got lost first would have had nowhere to go.
            if random.next() % 4 < odds {
                put(&mut self.durable, at as u64, sector);
            }
            (at, rest) = (at + length, behind);
        }
    }
}

fn put(into: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let end = offset as usize + bytes.len();
    if into.len() < end {
        into.resize(end, 0);
    }
    if let Some(place) = into.get_mut(offset as usize..end) {
        place.copy_from_slice(bytes);
    }
}

fn resize(bytes: &mut Vec<u8>, size: &mut u64, to: u64) {
    *size = to;
    bytes.truncate(to as usize);
}

impl Files for SimFiles {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.list_names())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<SimFile> {
        let mut disk = self.disk();
        disk.powered()?;
        if disk.names.contains_key(name) {
            return Err(Errno::EXIST.into());
        }
        disk.grow(bytes)?;
        let node = disk.next_node;
        disk.next_node += 1;
        disk.nodes.insert(node, Node { size: bytes, ..Node::default() });
        if let Some(node) = disk.nodes.get_mut(&node) {
            node.pending.push(Change::Resize(bytes));
        }
        disk.names.insert(name.to_owned(), node);
        Ok(SimFile { disk: self.clone(), node, boot: disk.boot })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let disk = self.disk();
        let node = *disk.names.get(name).ok_or(Errno::NOENT)?;
        Ok(SimFile { disk: self.clone(), node, boot: disk.boot })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.disk();
        disk.powered()?;
        disk.names.remove(name).map(|_| ()).ok_or_else(|| Errno::NOENT.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.sync_result()?;
        disk.durable_names = disk.names.clone();
        let named: BTreeSet<u64> = disk.names.values().copied().collect();
        disk.nodes.retain(|node, _| named.contains(node));
        Ok(())
    }

    fn free(&self) -> io::Result<u64> {
        let disk = self.disk();
        Ok(disk.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(disk.used())))
    }

    fn salt(&self) -> u32 {
        let mut disk = self.disk();
        disk.salts += 1;
        Random(disk.salts.into()).next() as u32
    }
}

/// A file on a simulated disk.
#[derive(Debug)]
pub struct SimFile {
    disk: SimFiles,
    node: u64,
    boot: u64,
}

impl SimFile {
    fn with<T>(&self, work: impl FnOnce(&mut Node) -> io::Result<T>) -> io::Result<T> {
        let mut disk = self.disk.disk();
        if disk.boot != self.boot {
            return Err(Errno::BADF.into());
        }
        disk.powered()?;
        disk.nodes.get_mut(&self.node).map_or_else(|| Err(Errno::BADF.into()), work)
    }
}

impl JournalFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        self.with(|node| Ok(node.size))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(|node| {
            if offset + buffer.len() as u64 > node.size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            buffer.fill(0);
            let written = node.seen.get(offset as usize..).unwrap_or_default();
            for (to, from) in buffer.iter_mut().zip(written) {
                *to = *from;
            }
            Ok(())
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let size = self.size()?;
        let end = offset + bytes.len() as u64;
        if end > size {
            self.disk.disk().grow(end - size)?;
        }
        self.with(|node| {
            if end > node.size {
                node.size = end;
                node.pending.push(Change::Resize(end));
            }
            put(&mut node.seen, offset, bytes);
            node.pending.push(Change::Write(offset, bytes.to_vec()));
            Ok(())
        })
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.with(|node| {
            resize(&mut node.seen, &mut node.size, bytes);
            node.pending.push(Change::Resize(bytes));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let synced = self.disk.disk().sync_result();
        // `with` fails too once the power is gone, and leaves the writes to `power_loss`.
        self.with(|node| {
            let pending = std::mem::take(&mut node.pending);
            // As on Linux: after a failed sync the pages count as clean, though they never
            // reached the disk.
            synced?;
            for change in pending {
                match change {
                    Change::Write(offset, bytes) => put(&mut node.durable, offset, &bytes),
                    Change::Resize(size) => {
                        resize(&mut node.durable, &mut node.durable_size, size);
                    }
                }
            }
            Ok(())
        })
    }
}

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
