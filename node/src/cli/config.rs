//! `init` and `config`.

use std::collections::BTreeMap;
use std::fs;

use super::args::{ConfigCommand, Init, Profile, Run};
use super::run::{CONFIG_FILE, effective, join, private_dir};
use super::{Failure, print};
use crate::config::Config;
use crate::identity::{Identity, belong_to};
use crate::server::ServerError;

pub(super) fn init(args: &Init) -> Result<(), Failure> {
    let dir = args.place.data_dir()?;
    private_dir(&dir)?;
    let path = dir.join(CONFIG_FILE);
    if path.exists() {
        let hint = "edit it, or choose another place with --data-dir";
        return Err(Failure::new(format!("{} exists already", path.display()), hint));
    }
    let mut config = profile(args.profile);
    join(&mut config, &args.join)?;
    let identity = Identity::open(&dir).map_err(ServerError::from)?;
    belong_to(&dir, &config.node.network).map_err(ServerError::from)?;
    let text = toml::to_string(&config)
        .map_err(|e| Failure::new(format!("the configuration does not encode: {e}"), ""))?;
    fs::write(&path, text)?;
    print(format!(
        "node    {}\nconfig  {}\nnext    posthoused --data-dir {}\n",
        identity.node(),
        path.display(),
        dir.display()
    ))
}

fn profile(profile: Profile) -> Config {
    let mut config = Config::default();
    match profile {
        Profile::Personal => {}
        Profile::Community => {
            config.custody.mailbox_messages = 10_000;
            config.custody.mailbox_bytes = 64 << 20;
            config.custody.token_share = 25;
        }
        Profile::Testnet => {
            config.custody.registration = postroad_core::Registration::Open;
            config.custody.mailbox_messages = 2_000;
            config.custody.mailbox_bytes = 16 << 20;
        }
    }
    config
}

pub(super) fn config(command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Validate { run } => {
            effective(run, &run.place.data_dir()?)?;
            print("the configuration is valid\n")
        }
        ConfigCommand::Show { run, origin } => show(run, *origin),
    }
}

fn show(run: &Run, origin: bool) -> Result<(), Failure> {
    let dir = run.place.data_dir()?;
    let config = effective(run, &dir)?;
    let encode = |config: &Config| {
        toml::to_string(config).map_err(|e| Failure::new(format!("cannot be shown: {e}"), ""))
    };
    if !origin {
        return print(encode(&config)?);
    }
    let path = run.config.clone().unwrap_or_else(|| dir.join(CONFIG_FILE));
    let file = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
    let flat = |text: &str| -> Result<BTreeMap<String, String>, Failure> {
        let mut rows = BTreeMap::new();
        let value =
            toml::from_str(text).map_err(|e| Failure::new(format!("cannot be shown: {e}"), ""))?;
        flatten("", &toml::Value::Table(value), &mut rows);
        Ok(rows)
    };
    // What the file alone comes to: a value that differs was set by a flag or a variable.
    let alone = if path.exists() { Config::read(&path)? } else { Config::default() };
    let (named, alone) = (flat(&file)?, flat(&encode(&alone)?)?);
    let mut text = String::new();
    for (key, value) in flat(&encode(&config)?)? {
        let from = if alone.get(&key) != Some(&value) {
            "flag or environment"
        } else if named.contains_key(&key) {
            "file"
        } else {
            "default"
        };
        text.push_str(&format!("{key} = {value}    # {from}\n"));
    }
    print(text)
}

fn flatten(prefix: &str, value: &toml::Value, rows: &mut BTreeMap<String, String>) {
    if let toml::Value::Table(table) = value {
        for (key, value) in table {
            let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            flatten(&name, value, rows);
        }
    } else {
        rows.insert(prefix.to_owned(), value.to_string());
    }
}
