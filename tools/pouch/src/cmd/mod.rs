//! The commands, one file for each kind.

mod account;
mod contact;
mod mail;
mod requests;
mod send;
mod watch;
mod why;

use postroad_cli::{CliError, Printer};

use crate::args::{Command, Pouch};
use crate::profile;

/// Runs a command.
pub(crate) async fn run(pouch: &Pouch, printer: &Printer) -> Result<(), CliError> {
    if let Command::Join(join) = &pouch.command {
        return account::join(&pouch.profile, join, printer).await;
    }
    let client = &mut profile::open(&pouch.profile, printer).await?;
    match &pouch.command {
        Command::Whoami(args) => account::whoami(client, args, printer).await,
        Command::Status => account::status(client, printer).await,
        Command::Settings(args) => account::settings(client, args, printer).await,
        Command::Chats => mail::chats(client, printer).await,
        Command::Inbox(args) => mail::inbox(client, args, printer).await,
        Command::Read(args) => mail::read(client, args, printer).await,
        Command::Contact(verb) => contact::run(client, verb, printer).await,
        Command::Requests(args) => requests::run(client, args.verb.as_ref(), printer).await,
        Command::Send(args) => send::run(client, args, printer).await,
        Command::Watch => watch::run(client, &pouch.global, printer).await,
        Command::Why(args) => why::run(client, args, printer).await,
        // These need no profile and were answered before.
        Command::Join(_) | Command::Completions(_) | Command::Man(_) => Ok(()),
    }
}
