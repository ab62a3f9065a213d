//! `settings`.

use postroad_cli::{CliError, Printer, fields, human_duration};
use postroad_client::{Client, SettingsChange};
use serde::Serialize;

use crate::args::{Setting, Settings, Value};
use crate::error::explain;
use crate::profile::sync;

#[derive(Serialize)]
struct SettingsRow {
    receipts: bool,
    lookups: bool,
    typing: bool,
    presence: bool,
    /// Seconds; 0 never.
    lock_after_s: u64,
}

pub(crate) async fn run(
    client: &mut Client,
    args: &Settings,
    printer: &Printer,
) -> Result<(), CliError> {
    match (args.key, args.value) {
        (Some(Setting::LockAfter), Some(Value::Duration(idle))) => {
            client.lock_after(idle).map_err(explain)?;
        }
        (Some(key), Some(Value::Switch(on))) if key != Setting::LockAfter => {
            client.set(change(key, on)).map_err(explain)?;
        }
        (Some(Setting::LockAfter), _) => {
            return Err(CliError::usage("lock-after takes a duration", "15m, 8h; 0 for never"));
        }
        (Some(_), _) => {
            return Err(CliError::usage("this setting is on or off", "write on or off"));
        }
        (None, _) => {}
    }
    sync(client, printer).await?;
    let set = client.settings().map_err(explain)?;
    let idle = client.at_rest().map_err(explain)?.idle;
    let row = SettingsRow {
        receipts: set.receipts,
        lookups: set.lookups,
        typing: set.typing,
        presence: set.presence,
        lock_after_s: idle.as_secs(),
    };
    let word = |on| if on { "on" } else { "off" }.to_owned();
    printer.object(&row, || {
        fields(&[
            ("receipts", word(row.receipts)),
            ("lookups", word(row.lookups)),
            ("typing", word(row.typing)),
            ("presence", word(row.presence)),
            ("lock-after", if idle.is_zero() { "never".to_owned() } else { human_duration(idle) }),
        ])
    })
}

fn change(key: Setting, on: bool) -> SettingsChange {
    let mut change = SettingsChange::default();
    match key {
        Setting::Receipts => change.receipts = Some(on),
        Setting::Lookups => change.lookups = Some(on),
        Setting::Typing => change.typing = Some(on),
        Setting::Presence => change.presence = Some(on),
        Setting::LockAfter => {}
    }
    change
}
