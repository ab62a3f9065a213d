//! Parts of answers as people read them.

use std::time::Duration;

use postroad_cli::{ago, human_duration, now_ms, parse_rfc3339_ms, safe};
use serde_json::{Map, Value};

/// Fields of an answer that this version does not know; JSON output passes them on.
pub(crate) type Extra = Map<String, Value>;

/// A dash for nothing.
pub(crate) fn or_dash(text: Option<&str>) -> String {
    match text {
        Some(text) if !text.is_empty() => text.to_owned(),
        _ => "-".to_owned(),
    }
}

/// An age in seconds.
pub(crate) fn seconds(secs: Option<u64>) -> String {
    secs.map_or("-".to_owned(), |secs| human_duration(Duration::from_secs(secs)))
}

/// What a node calls itself; a dash when that is its id, which stands in a column of its own.
pub(crate) fn name_beside(id: &str, name: &str) -> String {
    or_dash(Some(name).filter(|name| *name != id))
}

/// Milliseconds with as many digits as say something.
pub(crate) fn millis(ms: Option<f64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms < 1.0 => format!("{ms:.2}ms"),
        Some(ms) if ms < 100.0 => format!("{ms:.1}ms"),
        Some(ms) => format!("{ms:.0}ms"),
    }
}

pub(crate) fn yes_no(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

/// A time in the past or the future, relative to now; as given when it is no time.
pub(crate) fn relative(time: Option<&str>) -> String {
    let Some(given) = time else { return "-".to_owned() };
    let now = now_ms();
    match parse_rfc3339_ms(given) {
        // A hundredth more: what was just given 7 days should not read as 6.
        Some(at) if at > now => {
            let left = Duration::from_millis(at - now);
            format!("in {}", human_duration(left + left / 100))
        }
        Some(at) => ago(at, now),
        None => given.to_owned(),
    }
}

/// When something is tried next; a time that has passed is now.
pub(crate) fn next(time: Option<&str>) -> String {
    match time.and_then(parse_rfc3339_ms) {
        Some(at) if at <= now_ms() => "now".to_owned(),
        _ => relative(time),
    }
}

/// Any value on one line, without JSON's marks where there is no need for them.
pub(crate) fn inline(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => safe(text).into_owned(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(inline).collect::<Vec<_>>().join(", "),
        Value::Object(map) => {
            let pair = |(name, value): (&String, &Value)| format!("{name} {}", inline(value));
            map.iter().map(pair).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_read_without_brackets() {
        assert_eq!(inline(&json!(["a", 1, true])), "a, 1, true");
        assert_eq!(inline(&json!({"node": "x", "age": null})), "age -, node x");
        assert_eq!(inline(&json!("a\u{1b}[2J")), "a␛[2J");
        assert_eq!(inline(&json!([])), "-");
        assert_eq!(inline(&json!("")), "-");
    }

    #[test]
    fn times_are_relative() {
        assert_eq!(relative(None), "-");
        assert_eq!(relative(Some("soon")), "soon");
        assert_eq!(
            (next(None).as_str(), next(Some("1970-01-02T00:00:00Z")).as_str()),
            ("-", "now")
        );
        assert!(relative(Some("1970-01-02T00:00:00Z")).ends_with("d ago"));
        assert!(relative(Some("2999-01-01T00:00:00Z")).starts_with("in "));
    }
}
