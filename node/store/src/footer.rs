//! The footer of a sealed segment: its [`Contents`], so that starting up reads no bodies.
//!
//! ```text
//! 6 u8 · version u8 · last commit u64 · first time u64 · damaged u32 · groups u32
//! · records u32 × (offset u32 · length u32)
//! · mailboxes u32 × (mailbox · first seq u64 · least expires u64 · items u32
//!     × (parcel [16] · seq above u32 · expires above u32 · record u32 · bytes u32))   32 B each
//! · acks u32 × (mailbox · time u64 · ranges u32 × (first u64 · last u64))
//! · state u32 × (key hash [16] · commit u64 · offset u32 · length u32, top bit: deleted)
//! ```
//!
//! It is a frame of its own, followed by the trailer that ends the file:
//! `magic "PRJRNEND" · offset u32 · length u32 · crc u32 · zero u32`. A file without a valid
//! trailer is not sealed. An item whose number or expiry is too far from the first one's starts a
//! mailbox entry of its own.

use crate::contents::{Contents, ItemRef, Span, StateRef};
use crate::frame::{Found, FrameWriter, Reader, frame_at};
use crate::record::{FOOTER, put_mailbox, read_mailbox};

/// Length of the trailer.
pub(crate) const TRAILER_BYTES: usize = 24;

const MAGIC: &[u8; 8] = b"PRJRNEND";
const VERSION: u8 = 1;
const DELETED: u32 = 1 << 31;

/// The footer and trailer of a segment with `contents` whose data end at `offset`.
pub(crate) fn encode(contents: &Contents, salt: u32, offset: u32) -> Vec<u8> {
    let mut writer = FrameWriter::new(salt, offset);
    let (offset, length) = writer.frame(|out| put_contents(out, contents));
    let mut bytes = writer.into_bytes();
    let mut trailer = Vec::with_capacity(TRAILER_BYTES);
    trailer.extend_from_slice(MAGIC);
    trailer.extend_from_slice(&offset.to_le_bytes());
    trailer.extend_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c_append(salt, &trailer);
    trailer.extend_from_slice(&crc.to_le_bytes());
    trailer.resize(TRAILER_BYTES, 0);
    bytes.extend_from_slice(&trailer);
    bytes
}

/// Where the footer frame lies, from the last [`TRAILER_BYTES`] of a file.
pub(crate) fn decode_trailer(bytes: &[u8], salt: u32) -> Option<Span> {
    let mut reader = Reader::new(bytes);
    let magic = reader.bytes(8)?;
    let span = Span { offset: reader.u32()?, length: reader.u32()? };
    let crc = reader.u32()?;
    (magic == MAGIC && crc32c::crc32c_append(salt, bytes.get(..16)?) == crc).then_some(span)
}

/// Reads a footer frame.
pub(crate) fn decode(frame: &[u8], salt: u32, offset: u32) -> Option<Contents> {
    match frame_at(salt, offset, frame) {
        Found::Frame(payload, _) => read_contents(payload),
        Found::Damaged(_) | Found::Nothing => None,
    }
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_contents(out: &mut Vec<u8>, contents: &Contents) {
    out.extend_from_slice(&[FOOTER, VERSION]);
    put_u64(out, contents.last_commit);
    put_u64(out, contents.first_time);
    put_u32(out, contents.damaged);
    put_u32(out, contents.groups);
    put_u32(out, contents.records.len() as u32);
    for span in &contents.records {
        put_u32(out, span.offset);
        put_u32(out, span.length);
    }
    put_items(out, contents);
    put_u32(out, contents.acks.len() as u32);
    for (mailbox, set) in &contents.acks {
        put_mailbox(out, mailbox);
        put_u64(out, set.time);
        put_u32(out, set.ranges.len() as u32);
        for (first, last) in &set.ranges {
            put_u64(out, *first);
            put_u64(out, *last);
        }
    }
    put_u32(out, contents.state.len() as u32);
    for state in &contents.state {
        out.extend_from_slice(&state.hash);
        put_u64(out, state.commit);
        put_u32(out, state.span.offset);
        put_u32(out, state.span.length | if state.tombstone { DELETED } else { 0 });
    }
}

fn put_items(out: &mut Vec<u8>, contents: &Contents) {
    let mut items: Vec<&ItemRef> = contents.items.iter().collect();
    items.sort_by_key(|item| (item.mailbox, item.expires, item.seq));
    let groups: Vec<&[&ItemRef]> = items.chunk_by(|a, b| a.mailbox == b.mailbox).collect();
    let mut entries = Vec::new();
    for group in groups {
        split_group(group, &mut entries);
    }
    put_u32(out, entries.len() as u32);
    for group in entries {
        let Some(first) = group.first() else { continue };
        let base_seq = group.iter().map(|item| item.seq).min().unwrap_or(first.seq);
        put_mailbox(out, &first.mailbox);
        put_u64(out, base_seq);
        put_u64(out, first.expires);
        put_u32(out, group.len() as u32);
        for item in group {
            out.extend_from_slice(&item.id.0);
            put_u32(out, (item.seq - base_seq) as u32);
            put_u32(out, (item.expires - first.expires) as u32);
            put_u32(out, item.record);
            put_u32(out, item.bytes);
        }
    }
}

/// Cuts one mailbox's items, sorted by expiry, so that all differences fit 32 bits.
fn split_group<'a>(group: &'a [&'a ItemRef], into: &mut Vec<&'a [&'a ItemRef]>) {
    let mut start = 0;
    let mut bounds: Option<(u64, u64, u64)> = None;
    for (at, item) in group.iter().enumerate() {
        let (expires, low, high) = bounds.unwrap_or((item.expires, item.seq, item.seq));
        let (low, high) = (low.min(item.seq), high.max(item.seq));
        if item.expires - expires > u32::MAX.into() || high - low > u32::MAX.into() {
            into.extend(group.get(start..at));
            start = at;
            bounds = Some((item.expires, item.seq, item.seq));
        } else {
            bounds = Some((expires, low, high));
        }
    }
    into.extend(group.get(start..).filter(|rest| !rest.is_empty()));
}

fn read_contents(payload: &[u8]) -> Option<Contents> {
    let mut reader = Reader::new(payload);
    if (reader.u8()?, reader.u8()?) != (FOOTER, VERSION) {
        return None;
    }
    let mut contents = Contents {
        last_commit: reader.u64()?,
        first_time: reader.u64()?,
        damaged: reader.u32()?,
        groups: reader.u32()?,
        ..Contents::default()
    };
    for _ in 0..reader.u32()? {
        contents.records.push(Span { offset: reader.u32()?, length: reader.u32()? });
    }
    for _ in 0..reader.u32()? {
        read_items(&mut reader, &mut contents)?;
    }
    for _ in 0..reader.u32()? {
        let mailbox = read_mailbox(&mut reader)?;
        let time = reader.u64()?;
        for _ in 0..reader.u32()? {
            let range = (reader.u64()?, reader.u64()?);
            contents.note_ack(&mailbox, time, &[range]);
        }
    }
    for _ in 0..reader.u32()? {
        let (hash, commit) = (reader.array()?, reader.u64()?);
        let (offset, length) = (reader.u32()?, reader.u32()?);
        let span = Span { offset, length: length & !DELETED };
        contents.state.push(StateRef { hash, commit, span, tombstone: length & DELETED != 0 });
    }
    Some(contents)
}

fn read_items(reader: &mut Reader<'_>, contents: &mut Contents) -> Option<()> {
    let mailbox = read_mailbox(reader)?;
    let (base_seq, base_expires) = (reader.u64()?, reader.u64()?);
    let mut span: Option<(u64, u64)> = None;
    for _ in 0..reader.u32()? {
        let id = postroad_proto::ids::ParcelId(reader.array()?);
        let seq = base_seq.checked_add(reader.u32()?.into())?;
        let expires = base_expires.checked_add(reader.u32()?.into())?;
        let (record, bytes) = (reader.u32()?, reader.u32()?);
        span = Some(span.map_or((seq, seq), |(low, high)| (low.min(seq), high.max(seq))));
        contents.items.push(ItemRef { mailbox, seq, id, expires, record, bytes });
    }
    if let Some(span) = span {
        contents.note_span(mailbox, span);
    }
    Some(())
}
