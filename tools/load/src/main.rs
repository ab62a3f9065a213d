//! postroad-load: puts load on posthouses and measures what it costs them.
//!
//! All sessions run on one thread, which costs less per message than the node does; every figure of
//! a node is read from its process, never estimated.

mod args;
mod error;
mod idle;
mod member;
mod message;
mod node;
mod online;
mod report;
mod run;
mod session;
mod tally;
mod usage;
mod user;
mod world;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::CommandFactory;
use postroad_cli::{CliError, Printer, Program};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use args::{Command, LoadArgs, RunArgs, Workload};
use error::LoadError;
use report::{Report, Sums};
use user::User;
use world::World;

/// Users of W1.
const IDLE: usize = 5000;
/// Users of W2.
const ONLINE: usize = 200;

fn main() -> ExitCode {
    postroad_cli::run(|program: LoadArgs| {
        let printer = program.global().printer();
        match &program.command {
            Command::Run(args) => run(args, &printer)?.print(&printer),
            Command::Completions(args) => args.write(LoadArgs::command(), &printer),
            Command::Man(args) => args.write(LoadArgs::command(), &printer),
        }
    })
}

fn run(args: &RunArgs, printer: &Printer) -> Result<Report, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LoadError::from)?;
    let measured = async {
        tokio::select! {
            report = measure(args, printer) => report,
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

async fn measure(args: &RunArgs, printer: &Printer) -> Result<Report, LoadError> {
    let drawn = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_micros() as u64);
    let seed = args.seed.unwrap_or_else(drawn);
    let mut world = World::new(args, seed, 1, printer.clone()).await?;
    let mut report = Report { workload: args.workload.name(), seed, ..Report::default() };
    match args.workload {
        Workload::W1 => {
            let users = users(&mut world, args.users.unwrap_or(IDLE)).await?;
            report.users = users.len();
            report.idle = Some(idle::run(&mut world, &users).await?);
        }
        Workload::W2 => {
            let mut sums = Sums::default();
            let users = users(&mut world, args.users.unwrap_or(ONLINE) / 2 * 2).await?;
            report.users = users.len();
            report.size = Some(args.size);
            report.online = Some(online::run(&world, &users, args, &mut sums).await?);
            report.sums = Some(sums);
        }
    }
    Ok(report)
}

/// So many users with accounts.
async fn users(world: &mut World, count: usize) -> Result<Vec<User>, LoadError> {
    world.printer.progress(&format!("making {count} accounts"));
    let users = world.users(count);
    user::register_all(&users).await?;
    world.printer.progress("measuring");
    Ok(users)
}
