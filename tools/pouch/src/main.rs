//! pouch, the Postroad messenger.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod args;
mod cmd;
mod error;
mod passphrase;
mod profile;
mod screen;
mod view;

use std::process::ExitCode;

use clap::CommandFactory;
use postroad_cli::{CliError, Exit, Printer, Program};

use args::{Bare, Command, Pouch};

fn main() -> ExitCode {
    if screen::is_wanted() {
        return postroad_cli::run(|bare: Bare| screen::run(&bare));
    }
    postroad_cli::run(start)
}

fn start(pouch: Pouch) -> Result<(), CliError> {
    let printer = pouch.global().printer();
    log(&printer);
    // What needs no profile needs no runtime either.
    match &pouch.command {
        Command::Completions(args) => return args.write(Pouch::command(), &printer),
        Command::Man(args) => return args.write(Pouch::command(), &printer),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| CliError::io("cannot start", &e, "try again"))?;
    let result = runtime.block_on(async {
        // It has an object to print even then, and ends by itself.
        if let Command::Send(args) = &pouch.command {
            return cmd::send(&pouch.profile, args, &printer).await;
        }
        // It ends in order when it is told to.
        if let Command::Agent(verb) = &pouch.command {
            return cmd::agent(&pouch.profile, verb, &printer).await;
        }
        tokio::select! {
            result = cmd::run(&pouch, &printer) => result,
            () = interrupt() => Err(interrupted()),
        }
    });
    // Somebody may still be reading standard input, for ever.
    runtime.shutdown_background();
    result
}

/// Until the user interrupts.
async fn interrupt() {
    // Where no handler can be had, the system ends the program.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn interrupted() -> CliError {
    let hint = "what was stored for sending goes out with the next command";
    CliError::new(Exit::Interrupted, "interrupted", "interrupted", hint)
}

/// Logs go to standard error: nothing unless asked for.
fn log(printer: &Printer) {
    let level = match printer.verbosity() {
        0 => return,
        1 => tracing::Level::INFO,
        2 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    let subscriber = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    // Only a second subscriber could fail, and there is none.
    let _ = subscriber.try_init();
}
