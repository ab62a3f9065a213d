//! Times as RFC 3339 UTC, durations as people write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// RFC 3339 UTC with milliseconds. Times beyond the year 9999 are shown as its end.
#[must_use]
pub fn rfc3339_ms(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    format!("{:.3}", Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX))
}

/// RFC 3339 UTC with whole seconds. Times beyond the year 9999 are shown as its end.
#[must_use]
pub fn rfc3339_secs(unix_secs: u64) -> String {
    let secs = i64::try_from(unix_secs).unwrap_or(i64::MAX);
    format!("{:.0}", Timestamp::from_second(secs).unwrap_or(Timestamp::MAX))
}

/// Unix milliseconds of an RFC 3339 time, if it is one and not before 1970.
#[must_use]
pub fn parse_rfc3339_ms(text: &str) -> Option<u64> {
    text.parse::<Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok())
}

/// The day and the time of day where the user is, such as `Wed 25 Nov 2026` and `12:31`.
#[must_use]
pub fn local_day_and_time(unix_ms: u64) -> (String, String) {
    day_and_time(unix_ms, TimeZone::system())
}

fn day_and_time(unix_ms: u64, zone: TimeZone) -> (String, String) {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let timestamp = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    let zoned: Zoned = timestamp.to_zoned(zone);
    (zoned.strftime("%a %-d %b %Y").to_string(), zoned.strftime("%H:%M").to_string())
}

/// Now, in unix milliseconds; 0 on a clock before 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How long ago something was, such as `5m ago`; `just now` below a second and for the future.
#[must_use]
pub fn ago(unix_ms: u64, now_ms: u64) -> String {
    match now_ms.saturating_sub(unix_ms) {
        0..1000 => "just now".to_owned(),
        ms => format!("{} ago", human_duration(Duration::from_millis(ms))),
    }
}

/// A duration in its largest unit, as [`parse_duration`] reads it: `20s`, `5m`, `7d`.
#[must_use]
pub fn human_duration(duration: Duration) -> String {
    match duration.as_secs() {
        0 if duration.is_zero() => "0s".to_owned(),
        0 => format!("{}ms", duration.as_millis()),
        secs @ 1..60 => format!("{secs}s"),
        secs @ 60..3_600 => format!("{}m", secs / 60),
        secs @ 3_600..86_400 => format!("{}h", secs / 3_600),
        secs => format!("{}d", secs / 86_400),
    }
}

/// Reads `20s`, `5m`, `1h30m`, `7d`; a clap `value_parser`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("'{text}' is no duration: write a number and a unit, such as 20s, 5m, 7d");
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(millis).map(Duration::from_millis);
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
        rest = after;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_utc_and_read_back() {
        assert_eq!(rfc3339_ms(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339_ms(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339_secs(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(parse_rfc3339_ms("2023-11-14T22:13:20.123Z"), Some(1_700_000_000_123));
        assert_eq!(parse_rfc3339_ms("yesterday"), None);
        assert!(rfc3339_ms(u64::MAX).starts_with("9999-12-"));
        assert!(rfc3339_secs(u64::MAX).starts_with("9999-12-"));
    }

    #[test]
    fn days_are_those_of_where_the_user_is() {
        let day_and_time = |hours| {
            let (day, time) =
                day_and_time(1_700_000_000_123, TimeZone::fixed(jiff::tz::offset(hours)));
            format!("{day} {time}")
        };
        assert_eq!(day_and_time(0), "Tue 14 Nov 2023 22:13");
        assert_eq!(day_and_time(2), "Wed 15 Nov 2023 00:13");
        let (day, _) = super::day_and_time(u64::MAX, TimeZone::UTC);
        assert!(day.ends_with("9999"), "{day}");
    }

    #[test]
    fn ages_use_their_largest_unit() {
        assert_eq!(ago(1_000, 1_500), "just now");
        assert_eq!(ago(2_000, 1_000), "just now");
        assert_eq!(ago(0, 59_000), "59s ago");
        assert_eq!(ago(0, 3_599_000), "59m ago");
        assert_eq!(human_duration(Duration::from_secs(7 * 86_400)), "7d");
        assert_eq!(human_duration(Duration::from_millis(15)), "15ms");
    }

    #[test]
    fn durations_are_read_as_documented() {
        for (text, secs) in
            [("20s", 20), ("5m", 300), ("7d", 604_800), ("1h30m", 5_400), ("2w", 1_209_600)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        for text in
            ["", "20", "s", "5 m", "-1s", "1y", "99999999999999999999s", "18446744073709551615w"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
