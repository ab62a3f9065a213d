//! Background steps: sealing, marks, the index; and the orderly end.

use postroad_core::changes::MailboxId;

use super::Journal;
use super::segment::Active;
use crate::error::{StoreError, is_full};
use crate::files::{Files, JournalFile};
use crate::footer;
use crate::frame::{DATA_START, Family, FrameWriter};
use crate::index::Broken;
use crate::record;

impl<F: Files> Journal<F> {
    /// See [`crate::Store::maintain`].
    pub(super) fn step(&mut self, now: u64) -> Result<bool, StoreError> {
        self.learn_time(now);
        if self.seal_next()? {
            return Ok(true);
        }
        let failed = self.unreadable().index.take();
        if let Some(reason) = failed {
            self.rebuild_index(&Broken(reason))?;
            return Ok(true);
        }
        match self.mail.step() {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(broken) => {
                // Retried at the next step; memory answers everything meanwhile.
                self.rebuild_index(&broken)?;
                return Ok(false);
            }
        }
        self.retire_stale();
        if !self.retired.is_empty() || self.compact_step()? {
            return Ok(true);
        }
        self.write_marks(false)?;
        self.ensure_reserve()?;
        Ok(false)
    }

    /// The clock may step back; ages never shrink because of it.
    fn learn_time(&mut self, now: u64) {
        if self.now == 0 {
            // What died before the time was known died just now, as far as anyone can tell.
            for segment in self.segments.values_mut() {
                segment.dead_since =
                    segment.dead_since.map(|since| if since == 0 { now } else { since });
            }
        }
        self.now = self.now.max(now);
    }

    /// Stops writing to segments in which something has been dead for too long, so that they can
    /// be rewritten.
    fn retire_stale(&mut self) {
        for family in [Family::Mail, Family::State] {
            let Some(active) = &self.active[family as usize] else { continue };
            if self.is_stale(active.number) {
                self.retired.extend(self.active[family as usize].take());
            }
        }
    }

    pub(super) fn is_stale(&self, number: u32) -> bool {
        let dead_since = self.segments.get(&number).and_then(|segment| segment.dead_since);
        dead_since
            .is_some_and(|since| self.now >= since.saturating_add(self.options.dead_after_seconds))
    }

    /// Writes the footer of one segment that is written full; false when there is none.
    pub(super) fn seal_next(&mut self) -> Result<bool, StoreError> {
        let Some(active) = self.retired.pop_front() else { return Ok(false) };
        match self.seal(&active) {
            Ok(()) => {}
            // Only a file that was not allocated as planned gets here. It stays as it is, and is
            // scanned at the next start; the data in it are synced all the same.
            Err(error) if is_full(&error) => self.seal_without_footer(&active)?,
            Err(error) => return Err(self.poison("sealing a segment", &error)),
        }
        if let Some(segment) = self.segments.get_mut(&active.number) {
            segment.spans = active.contents.spans;
        }
        Ok(true)
    }

    fn seal(&mut self, active: &Active) -> std::io::Result<()> {
        let Some(segment) = self.segments.get(&active.number) else { return Ok(()) };
        let footer = footer::encode(&active.contents, segment.header.salt, active.used);
        segment.file.write_at(&footer, active.used.into())?;
        let end = u64::from(active.used) + footer.len() as u64;
        segment.file.truncate(end)?;
        self.sync(&segment.file)?;
        if let Some(segment) = self.segments.get_mut(&active.number) {
            segment.disk = end;
            segment.sealed = true;
        }
        Ok(())
    }

    fn seal_without_footer(&mut self, active: &Active) -> Result<(), StoreError> {
        let Some(segment) = self.segments.get(&active.number) else { return Ok(()) };
        let cut = segment.file.truncate(active.used.into()).and_then(|()| self.sync(&segment.file));
        if let Err(error) = cut {
            return Err(self.poison("sealing a segment", &error));
        }
        if let Some(segment) = self.segments.get_mut(&active.number) {
            segment.disk = active.used.into();
            segment.sealed = true;
        }
        Ok(())
    }

    pub(super) fn sync(&self, file: &F::File) -> std::io::Result<()> {
        self.counts.syncs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        file.sync()
    }

    /// Writes into each active segment that all in it is durable, so that a record damaged later
    /// is not taken for a write that was never finished.
    pub(super) fn write_marks(&mut self, synced: bool) -> Result<(), StoreError> {
        for family in [Family::Mail, Family::State] {
            let Some(active) = &mut self.active[family as usize] else { continue };
            let Some(segment) = self.segments.get(&active.number) else { continue };
            let mut done = Ok(());
            // The last mark may be lost: sealing follows, and needs none.
            if (active.unmarked || synced)
                && active.capacity as usize >= active.used as usize + record::MARK_BYTES
            {
                let mut writer = FrameWriter::new(segment.header.salt, active.used);
                writer.frame(|out| record::put_mark(out, self.last_commit));
                let used = writer.position();
                done = segment.file.write_at(&writer.into_bytes(), active.used.into());
                active.used = used;
                active.unmarked = false;
                active.contents.last_commit = self.last_commit;
            }
            if done.is_ok() && synced {
                self.counts.syncs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                done = segment.file.sync();
            }
            if let Err(error) = done {
                return Err(self.poison("writing a mark", &error));
            }
        }
        Ok(())
    }

    /// Throws the index away and reads the truth from the journal again.
    pub(super) fn rebuild_index(&mut self, broken: &Broken) -> Result<(), StoreError> {
        tracing::warn!(reason = broken.0, "the mailbox index failed and is rebuilt");
        self.load_mail(true)
    }

    /// See [`crate::Store::close`].
    pub(super) fn close_orderly(&mut self) -> Result<(), StoreError> {
        while self.seal_next()? {}
        // Acks are not synced when they come: a mark may only follow once they are.
        for active in self.active.iter().flatten().filter(|active| active.used > DATA_START) {
            let Some(segment) = self.segments.get(&active.number) else { continue };
            if let Err(error) = self.sync(&segment.file) {
                return Err(self.poison("closing", &error));
            }
        }
        self.write_marks(true)?;
        if let Err(broken) = self.mail.close() {
            tracing::warn!(reason = broken.0, "the index could not be flushed");
        }
        Ok(())
    }

    /// True when a segment other than `except` holds anything of `mailbox` within the range.
    pub(super) fn held_elsewhere(
        &self,
        mailbox: &MailboxId,
        (first, last): (u64, u64),
        except: u32,
    ) -> Option<(u64, u64)> {
        let sealed = self.segments.iter().map(|(number, segment)| (*number, &segment.spans));
        let open = self.active.iter().flatten().chain(&self.retired);
        let others = sealed.chain(open.map(|active| (active.number, &active.contents.spans)));
        let others = others.filter(|(number, _)| *number != except);
        let spans = others.filter_map(|(_, spans)| spans.get(mailbox));
        let within = spans.filter(|span| span.0 <= last && first <= span.1);
        let joined = within.copied().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        Some((joined.0.max(first), joined.1.min(last)))
    }
}
