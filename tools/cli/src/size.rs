//! Sizes as people write them.

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads `20GiB`, `512MiB`, `10MB` or a plain number of bytes; a clap `value_parser`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size: write a number and a unit, such as 20GiB, 512MiB");
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor = match unit.trim_start() {
        "" => 1,
        unit => {
            let known = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
            known.ok_or_else(wrong)?.1
        }
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

/// A size in its largest binary unit with at most one decimal: `512B`, `1.5KiB`, `20GiB`.
#[must_use]
pub fn human_bytes(bytes: u64) -> String {
    for (name, factor) in &UNITS[..4] {
        if bytes >= *factor {
            // Tenths, rounded down: a full quota must not read as more than it is.
            let tenths = u128::from(bytes) * 10 / u128::from(*factor);
            let (whole, tenth) = (tenths / 10, tenths % 10);
            return match tenth {
                0 => format!("{whole}{name}"),
                _ => format!("{whole}.{tenth}{name}"),
            };
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_documented() {
        assert_eq!(parse_size("20GiB"), Ok(20 << 30));
        assert_eq!(parse_size("1 mib"), Ok(1 << 20));
        assert_eq!(parse_size("10MB"), Ok(10_000_000));
        assert_eq!(parse_size("61440"), Ok(61_440));
        for text in ["", "GiB", "-1B", "1.5GiB", "5 apples", "99999999TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_short() {
        assert_eq!(human_bytes(0), "0B");
        assert_eq!(human_bytes(1536), "1.5KiB");
        assert_eq!(human_bytes(20 << 30), "20GiB");
        assert_eq!(human_bytes((1 << 20) - 1), "1023.9KiB");
    }
}
