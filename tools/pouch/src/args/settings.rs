//! `settings`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use postroad_cli::parse_duration;

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Which one to change
    #[arg(requires = "value")]
    pub(crate) key: Option<Setting>,
    /// Its new value: on or off; for lock-after a duration such as 15m
    #[arg(value_parser = value)]
    pub(crate) value: Option<Value>,
}

/// Settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Setting {
    /// Whether contacts are told that their messages arrived and were read, and you that yours were read
    Receipts,
    /// Whether your handle can be looked up, so that strangers can ask to write
    Lookups,
    /// Whether contacts see that you are writing to them, and you that they are
    Typing,
    /// Whether contacts who look at your chat see that you are there, and you that they are
    Presence,
    /// After how long without a command a profile with a passphrase locks by itself; 0s never. On this device only
    LockAfter,
}

/// What a setting is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// On or off.
    Switch(bool),
    /// Of time.
    Duration(Duration),
}

fn value(text: &str) -> Result<Value, String> {
    match text {
        "on" => Ok(Value::Switch(true)),
        "off" => Ok(Value::Switch(false)),
        "0" => Ok(Value::Duration(Duration::ZERO)),
        text => parse_duration(text)
            .map(Value::Duration)
            .map_err(|_| "write on or off, or for lock-after a duration such as 15m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_switches_and_durations() {
        assert_eq!(value("on"), Ok(Value::Switch(true)));
        assert_eq!(value("off"), Ok(Value::Switch(false)));
        assert_eq!(value("0"), Ok(Value::Duration(Duration::ZERO)));
        assert_eq!(value("1h"), Ok(Value::Duration(Duration::from_secs(3600))));
        assert!(value("yes").is_err());
    }
}
