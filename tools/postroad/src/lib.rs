//! What `postroad` does: asks a node's admin API and shows the answers.
//!
//! The client is a library because `postroad-testnet` asks the same questions of its nodes.
//! **Invariant:** everything shown comes from the admin API; nothing here reads a node's files
//! beyond the address and the token that lead to it.

pub mod admin;
pub mod args;

mod control;
mod events;
mod health;
mod invite;
mod mail;
mod map;
mod people;
mod ping;
mod roads;
mod trace;
mod values;
mod whois;

use clap::CommandFactory;
use postroad_cli::{CliError, Program};

use args::{Command, Postroad};

/// Runs one command line.
pub fn run(program: Postroad) -> Result<(), CliError> {
    let printer = &program.global().printer();
    let admin = || program.target.admin();
    match &program.command {
        Command::Status => health::status(&admin()?, printer),
        Command::Wait(args) => health::wait(&program.target, args, printer),
        Command::Metrics => health::metrics(&admin()?, printer),
        Command::Mailbox { command } => mail::mailbox(&admin()?, command, printer),
        Command::Queue => mail::queue(&admin()?, printer),
        Command::Trace(args) => trace::run(&admin()?, args, printer),
        Command::Peers => roads::peers(&admin()?, printer),
        Command::Peer { command } => roads::peer(&admin()?, command, printer),
        Command::Routes => roads::routes(&admin()?, printer),
        Command::Ping(args) => ping::run(&admin()?, args, printer),
        Command::Whois(args) => whois::run(&admin()?, args, printer),
        Command::Map(args) => map::run(&admin()?, args, printer),
        Command::Events(args) => events::run(&program.target, args, printer),
        Command::Invite { command } => invite::run(&admin()?, command, printer),
        Command::User { command } => people::run(&admin()?, command, printer),
        Command::Shutdown(args) => control::shutdown(&admin()?, args, printer),
        Command::Completions(args) => args.write(Postroad::command(), printer),
        Command::Man(args) => args.write(Postroad::command(), printer),
    }
}
