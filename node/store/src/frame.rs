//! Frames: how records lie in a segment.
//!
//! All numbers are little-endian. A segment starts with its header, twice:
//!
//! ```text
//! magic "PRJRNSEG" · version u16 · family u8 · zero u8 · number u32 · commit u64 · salt u32
//! · zero [32] · crc u32                                                         = 64 bytes
//! ```
//!
//! Frames follow, each at a multiple of 8:
//!
//! ```text
//! length u32 · payload crc u32 · header crc u32 · payload [length] · zeros to a multiple of 8
//! ```
//!
//! Both checksums are CRC-32C seeded with the segment's salt, which no sender of mail knows; the
//! header's also covers the frame's offset. So a frame found by searching past damage is a frame
//! that this segment's writer put there, never one smuggled in inside a body.

/// Length of one header copy.
const HEADER_BYTES: usize = 64;
/// Where the first frame starts: after two copies of the header.
pub(crate) const DATA_START: u32 = 2 * HEADER_BYTES as u32;
/// Length of a frame's own header.
pub(crate) const FRAME_HEADER: usize = 12;
/// The format that this build writes, and the newest it reads.
pub(crate) const FORMAT_VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"PRJRNSEG";

/// Which kind of commits a segment was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// Mail and acks, soon dead.
    Mail,
    /// State, long-lived.
    State,
}

impl Family {
    /// The start of its files' names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::State => "state",
        }
    }
}

/// The name of a segment's file.
pub(crate) fn file_name(family: Family, number: u32) -> String {
    format!("{}-{number:08}.seg", family.name())
}

/// The family and number in a segment's file name.
pub(crate) fn parse_file_name(name: &str) -> Option<(Family, u32)> {
    let (family, number) = name.strip_suffix(".seg")?.split_once('-')?;
    let family = match family {
        "mail" => Family::Mail,
        "state" => Family::State,
        _ => return None,
    };
    let number = number.parse().ok()?;
    (file_name(family, number) == name).then_some((family, number))
}

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) family: Family,
    pub(crate) number: u32,
    /// The last commit when the segment was made.
    pub(crate) commit: u64,
    pub(crate) salt: u32,
}

/// What stands where a header should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderFound {
    Valid(Header),
    /// All zero: the power failed before the header was written.
    Blank,
    TooNew(u16),
    Damaged,
}

impl Header {
    /// Both copies.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(HEADER_BYTES);
        copy.extend_from_slice(MAGIC);
        copy.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        copy.push(self.family as u8);
        copy.push(0);
        copy.extend_from_slice(&self.number.to_le_bytes());
        copy.extend_from_slice(&self.commit.to_le_bytes());
        copy.extend_from_slice(&self.salt.to_le_bytes());
        copy.resize(HEADER_BYTES - 4, 0);
        let crc = crc32c::crc32c(&copy);
        copy.extend_from_slice(&crc.to_le_bytes());
        copy.repeat(2)
    }

    /// Reads the first [`DATA_START`] bytes of a segment.
    pub(crate) fn decode(bytes: &[u8]) -> HeaderFound {
        if bytes.iter().all(|byte| *byte == 0) {
            return HeaderFound::Blank;
        }
        bytes.chunks_exact(HEADER_BYTES).find_map(Self::decode_copy).unwrap_or(HeaderFound::Damaged)
    }

    fn decode_copy(copy: &[u8]) -> Option<HeaderFound> {
        let mut reader = Reader::new(copy);
        let magic = reader.bytes(8)?;
        let version = reader.u16()?;
        let family = reader.u8()?;
        reader.u8()?;
        let (number, commit, salt) = (reader.u32()?, reader.u64()?, reader.u32()?);
        let crc = u32::from_le_bytes(copy.get(HEADER_BYTES - 4..)?.try_into().ok()?);
        if magic != MAGIC || crc32c::crc32c(copy.get(..HEADER_BYTES - 4)?) != crc {
            return None;
        }
        if version > FORMAT_VERSION {
            return Some(HeaderFound::TooNew(version));
        }
        let family = match family {
            0 => Family::Mail,
            1 => Family::State,
            _ => return None,
        };
        Some(HeaderFound::Valid(Self { family, number, commit, salt }))
    }
}

/// The bytes a payload takes in a segment.
pub(crate) fn framed(payload: usize) -> usize {
    (FRAME_HEADER + payload).next_multiple_of(8)
}

/// Appends frames to a buffer that will be written at `base`.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    buffer: Vec<u8>,
    base: u32,
    salt: u32,
}

impl FrameWriter {
    pub(crate) fn new(salt: u32, base: u32) -> Self {
        Self::with_buffer(salt, base, Vec::new())
    }

    /// One that writes into `buffer`, which may have been used before.
    pub(crate) fn with_buffer(salt: u32, base: u32, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { buffer, base, salt }
    }

    /// Adds one frame whose payload `write` appends; returns its offset and length.
    pub(crate) fn frame(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> (u32, u32) {
        let start = self.buffer.len();
        self.buffer.resize(start + FRAME_HEADER, 0);
        write(&mut self.buffer);
        let offset = self.base + start as u32;
        let payload = self.buffer.get(start + FRAME_HEADER..).unwrap_or_default();
        let length = payload.len() as u32;
        let payload_crc = crc32c::crc32c_append(self.salt, payload);
        let header = encode_frame_header(self.salt, offset, length, payload_crc);
        if let Some(place) = self.buffer.get_mut(start..start + FRAME_HEADER) {
            place.copy_from_slice(&header);
        }
        self.buffer.resize(self.buffer.len().next_multiple_of(8), 0);
        (offset, (self.buffer.len() - start) as u32)
    }

    /// Where the next frame would lie.
    pub(crate) fn position(&self) -> u32 {
        self.base + self.buffer.len() as u32
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.buffer
    }
}

fn encode_frame_header(salt: u32, offset: u32, length: u32, payload_crc: u32) -> [u8; 12] {
    let mut header = [0; FRAME_HEADER];
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..8].copy_from_slice(&payload_crc.to_le_bytes());
    let crc =
        crc32c::crc32c_append(crc32c::crc32c_append(salt, &offset.to_le_bytes()), &header[..8]);
    header[8..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// What stands at one place of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A frame with an intact payload, and its length with header and padding.
    Frame(&'a [u8], u32),
    /// A frame whose payload is damaged.
    Damaged(u32),
    /// No frame.
    Nothing,
}

/// Looks for a frame at `offset`. `bytes` starts there.
pub(crate) fn frame_at(salt: u32, offset: u32, bytes: &[u8]) -> Found<'_> {
    let mut reader = Reader::new(bytes);
    let Some((length, payload_crc)) = reader.u32().zip(reader.u32()) else {
        return Found::Nothing;
    };
    let expected = encode_frame_header(salt, offset, length, payload_crc);
    if bytes.get(..FRAME_HEADER) != Some(&expected[..]) {
        return Found::Nothing;
    }
    let Some(end) = FRAME_HEADER.checked_add(length as usize) else {
        return Found::Nothing;
    };
    match bytes.get(FRAME_HEADER..end) {
        None => Found::Nothing,
        Some(payload) if crc32c::crc32c_append(salt, payload) == payload_crc => {
            Found::Frame(payload, framed(length as usize) as u32)
        }
        Some(_) => Found::Damaged(framed(length as usize) as u32),
    }
}

/// Reads fixed layouts; every step is checked, because what it reads may be damaged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }
}
