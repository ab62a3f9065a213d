//! The commands, one file for each kind.

mod account;
mod contact;
mod mail;
mod requests;
mod send;
mod watch;
mod why;

pub(crate) use send::run as send;

use postroad_cli::{CliError, Printer};

use crate::args::{Command, Contact, Pouch};
use crate::profile;

/// Whether a command is of use where nothing can be written.
fn reads(command: &Command) -> bool {
    matches!(
        command,
        Command::Whoami(_)
            | Command::Chats
            | Command::Read(_)
            | Command::Why(_)
            | Command::Contact(Contact::Ls)
    )
}

/// Runs a command.
pub(crate) async fn run(pouch: &Pouch, printer: &Printer) -> Result<(), CliError> {
    if let Command::Join(join) = &pouch.command {
        return account::join(&pouch.profile, join, printer).await;
    }
    let client = &mut profile::open(&pouch.profile, reads(&pouch.command), printer).await?;
    match &pouch.command {
        Command::Whoami(args) => account::whoami(client, args, printer).await,
        Command::Status => account::status(client, printer).await,
        Command::Settings(args) => account::settings(client, args, printer).await,
        Command::Chats => mail::chats(client, printer).await,
        Command::Inbox(args) => mail::inbox(client, args, printer).await,
        Command::Read(args) => mail::read(client, args, printer).await,
        Command::Contact(verb) => contact::run(client, &pouch.profile, verb, printer).await,
        Command::Requests(args) => requests::run(client, args.verb.as_ref(), printer).await,
        Command::Watch => watch::run(client, &pouch.global, printer).await,
        Command::Why(args) => why::run(client, args, printer).await,
        // These were answered before.
        Command::Send(_) | Command::Join(_) | Command::Completions(_) | Command::Man(_) => Ok(()),
    }
}
