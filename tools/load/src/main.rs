//! postroad-load: puts load on posthouses and measures what it costs them.
//!
//! All sessions run on one thread, which costs less per message than the node does; every figure of
//! a node is read from its process, never estimated.

mod args;
mod bench;
mod error;
mod idle;
mod lines;
mod lone;
mod member;
mod message;
mod node;
mod offline;
mod online;
mod peers;
mod plot;
mod report;
mod rest;
mod restart;
mod results;
mod roads;
mod run;
mod session;
mod tally;
mod trace;
mod usage;
mod user;
mod wire;
mod workload;
mod world;

use std::process::ExitCode;

use clap::CommandFactory;
use postroad_cli::{CliError, Printer, Program};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use args::{Command, LoadArgs, RunArgs};
use error::LoadError;
use report::Report;

fn main() -> ExitCode {
    postroad_cli::run(|program: LoadArgs| {
        let printer = program.global().printer();
        match &program.command {
            Command::Run(args) => {
                let report = run(args, &printer)?;
                report.print(&printer)?;
                report.verdict()
            }
            Command::Compare { before, after } => results::compare(before, after, &printer),
            Command::Report { results, out } => results::report(results, out.as_deref(), &printer),
            Command::Plot { points, out } => plot::plot_all(points, out, &printer),
            Command::Completions(args) => args.write(LoadArgs::command(), &printer),
            Command::Man(args) => args.write(LoadArgs::command(), &printer),
        }
    })
}

fn run(args: &RunArgs, printer: &Printer) -> Result<Report, CliError> {
    // Each session is an open file. Where this is refused, so is a session later on, with its reason.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LoadError::from)?;
    let measured = async {
        tokio::select! {
            report = workload::measure(args, printer) => report,
            error = interrupted() => Err(error),
        }
    };
    Ok(LocalSet::new().block_on(&runtime, measured)?)
}

/// Waits for Ctrl-C and friends: what was started is then dropped, and so removed.
async fn interrupted() -> LoadError {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let [interrupt, terminate, hangup] = kinds.map(signal);
    let (mut interrupt, mut terminate, mut hangup) = match (interrupt, terminate, hangup) {
        (Ok(interrupt), Ok(terminate), Ok(hangup)) => (interrupt, terminate, hangup),
        (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => return error.into(),
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    LoadError::Interrupted
}
