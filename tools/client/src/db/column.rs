//! Columns as the types they stand for.

use rusqlite::Row;
use rusqlite::types::Type;

/// A blob of exactly `N` bytes.
pub(crate) fn blob<const N: usize>(row: &Row<'_>, column: &str) -> rusqlite::Result<[u8; N]> {
    let bytes: Vec<u8> = row.get(column)?;
    bytes.try_into().map_err(|bytes: Vec<u8>| {
        rusqlite::Error::FromSqlConversionFailure(
            bytes.len(),
            Type::Blob,
            format!("expected {N} bytes in {column}, got {}", bytes.len()).into(),
        )
    })
}

/// An integer that is never negative.
pub(crate) fn unsigned(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, value))
}

/// 0 or 1.
pub(crate) fn bool_of(row: &Row<'_>, column: &str) -> rusqlite::Result<bool> {
    Ok(row.get::<_, i64>(column)? != 0)
}

/// A number as SQLite keeps it: what others claim may be out of its range.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
