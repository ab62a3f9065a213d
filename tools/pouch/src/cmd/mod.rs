//! The commands, one file for each kind.

mod account;
mod agent;
mod backup;
mod change;
mod contact;
mod device;
mod doctor;
mod ending;
mod export;
mod lock;
mod mail;
mod moving;
mod recovery;
mod requests;
mod send;
mod settings;
mod status;
mod watch;
mod why;

pub(crate) use account::{join_link, refused_join};
pub(crate) use agent::run as agent;
pub(crate) use contact::offline_lookup;
pub(crate) use send::run as send;

use postroad_cli::{CliError, Printer};
use postroad_client::Error;
use postroad_proto::ids::{IdError, MessageId};

use crate::args::{Command, Contact, Device, Pouch};
use crate::error::explain;
use crate::profile;

/// A message's id as it was typed.
fn message_id(text: &str) -> Result<MessageId, CliError> {
    text.parse().map_err(|error: IdError| {
        let found = explain(Error::NotFound { what: "message", name: text.to_owned() });
        CliError { message: format!("{}: {error}", found.message), ..found }
    })
}

/// Whether a command is of use where nothing can be written.
fn reads(command: &Command) -> bool {
    matches!(
        command,
        Command::Whoami(_)
            | Command::Chats
            | Command::Read(_)
            | Command::Export(_)
            | Command::Why(_)
            | Command::Contact(Contact::Ls)
    )
}

/// Runs a command.
pub(crate) async fn run(pouch: &Pouch, printer: &Printer) -> Result<(), CliError> {
    if let Command::Join(join) = &pouch.command {
        return account::join(&pouch.profile, join, printer).await;
    }
    if let Command::Device(Device::Join(join)) = &pouch.command {
        return device::join(&pouch.profile, join, printer).await;
    }
    if let Command::Restore(args) = &pouch.command {
        return recovery::restore(&pouch.profile, args, printer).await;
    }
    if let Command::Backup(verb) = &pouch.command {
        return backup::run(&pouch.profile, verb, printer).await;
    }
    if let Command::Doctor = &pouch.command {
        return doctor::run(&pouch.profile, printer).await;
    }
    match &pouch.command {
        Command::Lock(args) => return lock::lock(&pouch.profile, args, printer),
        Command::Unlock => return lock::unlock(&pouch.profile, printer),
        _ => {}
    }
    let client = &mut profile::open(&pouch.profile, reads(&pouch.command), printer).await?;
    match &pouch.command {
        Command::Whoami(args) => account::whoami(client, args, printer).await,
        Command::Status => status::run(client, &pouch.profile, printer).await,
        Command::Settings(args) => settings::run(client, args, printer).await,
        Command::Chats => mail::chats(client, printer).await,
        Command::Inbox(args) => mail::inbox(client, args, printer).await,
        Command::Forward(args) => change::forward(client, args, printer).await,
        Command::Edit(args) => change::edit(client, args, printer).await,
        Command::Delete(args) => change::delete(client, args, printer).await,
        Command::React(args) => change::react(client, args, printer).await,
        Command::Timer(args) => change::timer(client, args, printer).await,
        Command::Read(args) => mail::read(client, args, printer).await,
        Command::Export(args) => export::run(client, args, printer).await,
        Command::Contact(verb) => contact::run(client, &pouch.profile, verb, printer).await,
        Command::Account(verb) => ending::run(client, verb, printer).await,
        Command::Move(args) => moving::run(client, args, printer).await,
        Command::Device(verb) => device::run(client, verb, printer).await,
        Command::Requests(args) => requests::run(client, args.verb.as_ref(), printer).await,
        Command::Watch(args) => watch::run(client, args, &pouch.global, printer).await,
        Command::Why(args) => why::run(client, args, printer).await,
        // These were answered before.
        Command::Agent(_)
        | Command::Backup(_)
        | Command::Doctor
        | Command::Send(_)
        | Command::Join(_)
        | Command::Restore(_)
        | Command::Lock(_)
        | Command::Unlock
        | Command::Completions(_)
        | Command::Man(_) => Ok(()),
    }
}
