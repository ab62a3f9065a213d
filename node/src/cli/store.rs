//! `store`: looking into the store of a stopped node.

use std::path::{Path, PathBuf};

use postroad_store::{DirLock, Journal, RealFiles, Store};

use super::args::{Place, StoreCommand};
use super::run::CONFIG_FILE;
use super::{Failure, print};
use crate::clock;
use crate::config::Config;
use crate::server::{index_dir, journal_dir};

pub(super) fn store(command: &StoreCommand) -> Result<(), Failure> {
    match command {
        StoreCommand::Stats(place) => {
            let (_lock, dir) = open(place)?;
            print_stats(&journal(&dir)?)
        }
        StoreCommand::Verify(place) => verify(place),
        StoreCommand::Compact(place) => {
            let (_lock, dir) = open(place)?;
            let mut journal = journal(&dir)?;
            while journal.maintain(clock::now() / 1000)? {}
            journal.close()?;
            print_stats(&journal)
        }
        StoreCommand::RebuildIndex(place) => {
            let (_lock, dir) = open(place)?;
            let index = index_dir(&dir);
            if index.exists() {
                std::fs::remove_dir_all(&index)?;
            }
            let mut journal = journal(&dir)?;
            while journal.maintain(clock::now() / 1000)? {}
            journal.close()?;
            print_stats(&journal)
        }
    }
}

/// The data directory, locked: a running node has it otherwise.
fn open(place: &Place) -> Result<(DirLock, PathBuf), Failure> {
    let dir = place.data_dir()?;
    if !journal_dir(&dir).exists() {
        let message = format!("there is no store in {}", dir.display());
        return Err(Failure { exit: 4, ..Failure::new(message, "give the node's --data-dir") });
    }
    Ok((DirLock::acquire(&dir)?, dir))
}

fn journal(dir: &Path) -> Result<Journal<RealFiles>, Failure> {
    let path = dir.join(CONFIG_FILE);
    let config = if path.exists() { Config::read(&path)? } else { Config::default() };
    let files = RealFiles::new(journal_dir(dir))?;
    Ok(Journal::open(files, Some(index_dir(dir)), config.store.journal_options())?.0)
}

fn verify(place: &Place) -> Result<(), Failure> {
    let (_lock, dir) = open(place)?;
    let report = postroad_store::verify(&RealFiles::new(journal_dir(&dir))?)?;
    print_json(&report)?;
    if report.ok {
        return Ok(());
    }
    let hint = "the node serves the rest; its users' devices send again what was not delivered";
    Err(Failure::new("records are damaged, see above", hint))
}

fn print_stats(journal: &Journal<RealFiles>) -> Result<(), Failure> {
    print_json(&journal.stats())
}

fn print_json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Failure::new(format!("cannot be shown: {e}"), ""))?;
    print(text + "\n")
}
