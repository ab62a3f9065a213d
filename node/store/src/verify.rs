//! Checking a journal without changing it.

use serde::Serialize;

use crate::error::StoreError;
use crate::files::{Files, JournalFile};
use crate::frame::{FORMAT_VERSION, HeaderFound, parse_file_name};
use crate::journal::{footer_of, read_header};
use crate::scan::scan;

/// What [`verify`] found in one segment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SegmentReport {
    /// Its file.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// It has a valid footer. Segments being written have none.
    pub sealed: bool,
    /// It has a footer that agrees with its records, or none.
    pub footer_agrees: bool,
    /// Intact frames.
    pub frames: u64,
    /// Damaged stretches.
    pub damaged: u64,
    /// A write at its end was never finished: normal after a crash, cut at the next start.
    pub torn: bool,
    /// Its header is damaged, so that nothing in it can be read.
    pub unreadable: bool,
}

/// What [`verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// One for each segment, in order of their names.
    pub segments: Vec<SegmentReport>,
    /// Damaged stretches in all of them.
    pub damaged: u64,
    /// True when nothing but a torn end was found.
    pub ok: bool,
}

/// Reads every segment, record and footer and changes nothing.
pub fn verify<F: Files>(files: &F) -> Result<VerifyReport, StoreError> {
    let mut names = files.list().map_err(|e| StoreError::io("listing the journal", &e))?;
    names.retain(|name| parse_file_name(name).is_some());
    names.sort();
    let mut report = VerifyReport { ok: true, ..VerifyReport::default() };
    for name in names {
        let segment = verify_segment(files, &name)?;
        report.damaged += segment.damaged;
        report.ok &= segment.damaged == 0 && segment.footer_agrees && !segment.unreadable;
        report.segments.push(segment);
    }
    Ok(report)
}

fn verify_segment<F: Files>(files: &F, name: &str) -> Result<SegmentReport, StoreError> {
    let fault = |e: std::io::Error| StoreError::io(format!("reading {name}"), &e);
    let file = files.open(name).map_err(fault)?;
    let size = file.size().map_err(fault)?;
    let mut report = SegmentReport {
        name: name.to_owned(),
        bytes: size,
        footer_agrees: true,
        ..SegmentReport::default()
    };
    let header = match read_header(&file, size).map_err(fault)? {
        HeaderFound::Valid(header) => header,
        HeaderFound::TooNew(found) => {
            let name = name.to_owned();
            return Err(StoreError::VersionTooNew { name, found, supported: FORMAT_VERSION });
        }
        HeaderFound::Blank => return Ok(report),
        HeaderFound::Damaged => {
            report.unreadable = true;
            return Ok(report);
        }
    };
    let mut bytes = vec![0; size as usize];
    file.read_at(&mut bytes, 0).map_err(fault)?;
    let scan = scan(&bytes, header.salt, header.commit);
    (report.frames, report.damaged) = scan.counts();
    if let Some(footer) = footer_of(&file, size, header.salt).map_err(fault)? {
        let found = scan.resolve(&bytes, u64::MAX).contents;
        report.sealed = true;
        // Damage that came after sealing leaves records in the footer that are not found.
        report.footer_agrees = report.damaged > 0
            || (footer.records == found.records
                && footer.items.len() == found.items.len()
                && footer.state == found.state);
    } else {
        report.torn = scan.torn;
    }
    Ok(report)
}
