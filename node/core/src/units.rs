//! Sizes and durations as people write them: `256MiB`, `30d`. A plain number is bytes or seconds.

use core::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// Bytes from `20GiB`, `512MiB`, `100kB` or a plain number.
///
/// # Errors
/// What would have been right.
pub fn parse_size(text: &str) -> Result<u64, String> {
    const UNITS: &[(&str, u64)] = &[
        ("B", 1),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ];
    parse(text, UNITS).ok_or_else(|| format!("expected a size such as 20GiB, got {text:?}"))
}

/// Seconds from `20s`, `5m`, `12h`, `7d` or a plain number.
///
/// # Errors
/// What would have been right.
pub fn parse_seconds(text: &str) -> Result<u64, String> {
    const UNITS: &[(&str, u64)] = &[("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    parse(text, UNITS).ok_or_else(|| format!("expected a duration such as 30d, got {text:?}"))
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..)?;
    let factor = match unit {
        "" => 1,
        unit => units.iter().find(|(name, _)| *name == unit)?.1,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(factor)
}

/// For serde: a number of bytes, or a text as [`parse_size`] takes it.
pub mod size {
    use super::*;

    /// Writes the number.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(bytes: &u64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(*bytes)
    }

    /// Reads either form.
    ///
    /// # Errors
    /// When it is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        d.deserialize_any(NumberOr { parse: parse_size, what: "a size such as 20GiB" })
    }
}

/// For serde: a number of seconds, or a text as [`parse_seconds`] takes it.
pub mod seconds {
    use super::*;

    /// Writes the number.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(seconds: &u64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(*seconds)
    }

    /// Reads either form.
    ///
    /// # Errors
    /// When it is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        d.deserialize_any(NumberOr { parse: parse_seconds, what: "a duration such as 30d" })
    }
}

struct NumberOr {
    parse: fn(&str) -> Result<u64, String>,
    what: &'static str,
}

impl Visitor<'_> for NumberOr {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::custom(format!("expected {}", self.what)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        (self.parse)(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations() {
        assert_eq!(parse_size("20GiB"), Ok(20 << 30));
        assert_eq!(parse_size("1000"), Ok(1000));
        assert_eq!(parse_seconds("30d"), Ok(30 * 86_400));
        for wrong in ["", "GiB", "20 parsecs", "99999999999TiB", "-1", "1.5GiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
            assert!(parse_seconds(wrong).is_err(), "{wrong}");
        }
    }
}
