//! Room on the disk: it is allocated before it is needed, so that a full disk shows here and
//! never at a write or a sync.

use super::segment::{Active, Segment};
use super::{Journal, Room};
use crate::contents::Contents;
use crate::error::{StoreError, is_full};
use crate::files::{Files, JournalFile};
use crate::frame::{DATA_START, Family, Header, file_name};
use crate::options::{MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES};

/// The reserve's file. It holds nothing; its space is given back when the disk is full, so that
/// acks, state changes and the compaction that makes room go on.
pub(super) const RESERVE: &str = "reserve";

/// What a segment needs besides its groups.
const SEGMENT_OVERHEAD: usize = 1024;

impl<F: Files> Journal<F> {
    /// See [`crate::Store::room`].
    pub(super) fn find_room(&mut self, bytes: usize) -> Result<Room, StoreError> {
        // Many small items take nearly as much again in the footer; large ones next to nothing.
        let need = bytes.saturating_add(bytes / 4 + bytes.min(512 * 1024) + 4096);
        let open = self.ensure_reserve()? && self.place(Family::Mail, need, false)?.is_some();
        if open == self.full {
            tracing::info!(full = !open, "room for new mail has changed");
        }
        self.full = !open;
        Ok(if open { Room::Open } else { Room::Full })
    }

    /// The family whose active segment takes a group of `need` bytes. When `urgent`, other
    /// families' room and the reserve are used before there is none.
    pub(super) fn place(
        &mut self,
        family: Family,
        need: usize,
        urgent: bool,
    ) -> Result<Option<Family>, StoreError> {
        if self.fits(family, need) {
            return Ok(Some(family));
        }
        if self.allocate(family, need, false)? {
            return Ok(Some(family));
        }
        let other = match family {
            Family::Mail => Family::State,
            Family::State => Family::Mail,
        };
        if !urgent {
            return Ok(None);
        }
        if self.fits(other, need) {
            return Ok(Some(other));
        }
        self.full = true;
        if self.allocate(family, need, true)? {
            return Ok(Some(family));
        }
        self.release_reserve()?;
        Ok(self.allocate(family, need, true)?.then_some(family))
    }

    fn fits(&self, family: Family, need: usize) -> bool {
        self.active[family as usize].as_ref().is_some_and(|active| active.free() >= need)
    }

    /// Opens a new segment for `family`, as large as can be had; false when the disk is full.
    fn allocate(&mut self, family: Family, need: usize, urgent: bool) -> Result<bool, StoreError> {
        // Sealing gives back what segments written full did not use.
        while self.seal_next()? {}
        if !urgent && !self.ensure_reserve()? {
            return Ok(false);
        }
        let least = (need.saturating_add(SEGMENT_OVERHEAD) as u64).max(MIN_SEGMENT_BYTES);
        if least > MAX_SEGMENT_BYTES {
            return Ok(false);
        }
        // When the disk is nearly full no segment may take so much that nothing is left for the
        // others.
        let (wanted, share) = match family {
            Family::Mail => (self.options.segment_bytes, 2),
            Family::State => (self.options.state_bytes(), 8),
        };
        let free = self.free_bytes()?;
        let mut size = if urgent { least } else { wanted.min(free / share).max(least) };
        if free < least {
            return Ok(false);
        }
        loop {
            if self.create_segment(family, size)? {
                return Ok(true);
            }
            if size == least {
                return Ok(false);
            }
            size = (size / 2).max(least);
        }
    }

    fn free_bytes(&mut self) -> Result<u64, StoreError> {
        self.files.free().map_err(|error| self.poison("asking for free space", &error))
    }

    fn create_segment(&mut self, family: Family, size: u64) -> Result<bool, StoreError> {
        let number = self.next_number;
        let salt = self.files.salt();
        let header = Header { family, number, commit: self.last_commit, salt };
        let name = file_name(family, number);
        let file = match self.files.create(&name, size) {
            Ok(file) => file,
            Err(error) if is_full(&error) => return Ok(false),
            Err(error) => return Err(self.poison("allocating a segment", &error)),
        };
        let written = file
            .write_at(&header.encode(), 0)
            .and_then(|()| self.sync(&file))
            .and_then(|()| self.files.sync_dir());
        if let Err(error) = written {
            return Err(self.poison("creating a segment", &error));
        }
        self.next_number += 1;
        self.segments.insert(number, Segment::new(file, header, size));
        let capacity = size.min(u32::MAX.into()) as u32;
        let contents = Contents { last_commit: self.last_commit, ..Contents::default() };
        let active =
            Active { number, capacity, used: DATA_START, pending: 0, unmarked: false, contents };
        self.retired.extend(self.active[family as usize].replace(active));
        Ok(true)
    }

    /// Sees to it that the reserve is there; false when there is no room for it.
    pub(super) fn ensure_reserve(&mut self) -> Result<bool, StoreError> {
        if self.reserve.is_some() {
            return Ok(true);
        }
        for size in [self.options.reserve_bytes(), MIN_SEGMENT_BYTES] {
            // The reserve goes last: it must not take the room it is meant to protect.
            if self.free_bytes()? < size {
                continue;
            }
            match self.files.create(RESERVE, size) {
                Ok(_) => {
                    self.reserve = Some(size);
                    return Ok(true);
                }
                Err(error) if is_full(&error) => {}
                Err(error) => return Err(self.poison("allocating the reserve", &error)),
            }
        }
        Ok(false)
    }

    fn release_reserve(&mut self) -> Result<(), StoreError> {
        if self.reserve.take().is_some() {
            tracing::warn!("the disk is full: the reserve is released, new mail is refused");
            self.files
                .remove(RESERVE)
                .map_err(|error| self.poison("releasing the reserve", &error))?;
        }
        Ok(())
    }
}
