//! What the journal knows of each segment.

use postroad_core::changes::MailboxId;

use crate::contents::{Contents, Span, Spans};
use crate::frame::{FrameWriter, Header, file_name};
use crate::record::{self, Item, Record};

/// Bytes of records, and the part of them that is still needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) total: u64,
    pub(super) live: u64,
}

impl Use {
    pub(super) fn add(&mut self, weight: u32, live: bool) {
        self.total += u64::from(weight);
        self.live += if live { u64::from(weight) } else { 0 };
    }

    pub(super) fn bury(&mut self, weight: u32) {
        self.live = self.live.saturating_sub(weight.into());
    }
}

/// A segment on the disk.
pub(super) struct Segment<T> {
    pub(super) file: T,
    pub(super) header: Header,
    /// Bytes it takes on the disk.
    pub(super) disk: u64,
    /// It is not written to any more, and it has been synced.
    pub(super) sealed: bool,
    pub(super) mail: Use,
    pub(super) state: Use,
    /// Since when something in it is dead, in seconds.
    pub(super) dead_since: Option<u64>,
    /// What it holds of each mailbox, dead ones included: as long as they are here the acks that
    /// name them must stay. Of a segment that is being written, see [`Active::contents`].
    pub(super) spans: Spans,
}

impl<T> Segment<T> {
    pub(super) fn new(file: T, header: Header, disk: u64) -> Self {
        let spans = Spans::default();
        Self {
            file,
            header,
            disk,
            sealed: false,
            mail: Use::default(),
            state: Use::default(),
            dead_since: None,
            spans,
        }
    }

    pub(super) fn name(&self) -> String {
        file_name(self.header.family, self.header.number)
    }

    pub(super) fn live(&self) -> u64 {
        self.mail.live + self.state.live
    }

    pub(super) fn total(&self) -> u64 {
        self.mail.total + self.state.total
    }
}

/// A segment being written.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) number: u32,
    pub(super) capacity: u32,
    /// Where the next frame goes.
    pub(super) used: u32,
    /// Records of the group being written.
    pub(super) pending: u32,
    /// Nothing proves yet that its last synced group was durable.
    pub(super) unmarked: bool,
    pub(super) contents: Contents,
}

impl Active {
    pub(super) fn free(&self) -> usize {
        let used = self.used as usize + self.contents.footer_estimate() + record::MARK_BYTES;
        (self.capacity as usize).saturating_sub(used)
    }

    pub(super) fn add_mail<'a>(
        &mut self,
        writer: &mut FrameWriter,
        commit: u64,
        shared: &[u8],
        items: impl ExactSizeIterator<Item = Item<'a>> + Clone,
    ) -> Span {
        let place = writer.frame(|out| record::put_mail(out, commit, shared, items.clone()));
        let span = Span { offset: place.0, length: place.1 };
        self.pending += 1;
        self.contents.note_mail(shared.len(), items, span);
        span
    }

    pub(super) fn add_ack(
        &mut self,
        writer: &mut FrameWriter,
        commit: u64,
        time: u64,
        mailbox: &MailboxId,
        ranges: &[(u64, u64)],
    ) -> Span {
        let place = writer.frame(|out| record::put_ack(out, commit, time, mailbox, ranges));
        self.pending += 1;
        self.contents.note_ack(mailbox, time, ranges);
        Span { offset: place.0, length: place.1 }
    }

    pub(super) fn add_state(
        &mut self,
        writer: &mut FrameWriter,
        commit: u64,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Span {
        let place = writer.frame(|out| record::put_state(out, commit, key, value));
        let span = Span { offset: place.0, length: place.1 };
        self.pending += 1;
        self.contents.note(&Record::State { commit, key, value }, span);
        span
    }
}
