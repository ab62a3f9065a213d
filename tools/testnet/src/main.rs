//! postroad-testnet: small Postroad networks on one machine, for trying out and for tests.
//!
//! Nodes run on after the command that started them; `down` ends them. They are found again by a
//! state file in the network's directory, and told from strangers by what `/proc` says about
//! them, which makes this a program for Linux. Between the nodes lies the [`wire`].

mod args;
mod definition;
mod demo;
mod dirs;
mod interrupt;
mod launch;
mod log;
mod node;
mod process;
mod programs;
mod state;
mod teardown;
mod verbs;
mod wire;

use std::process::ExitCode;

use clap::CommandFactory;
use postroad_cli::{CliError, Program};

use args::{Command, TestnetArgs};

fn main() -> ExitCode {
    postroad_cli::run(run)
}

fn run(program: TestnetArgs) -> Result<(), CliError> {
    let printer = &program.global().printer();
    let dir = program.dir.as_deref();
    match &program.command {
        Command::Up(args) => verbs::up::run(dir, args, printer),
        Command::Ls => verbs::list::ls(dir, printer),
        Command::Status => verbs::list::status(dir, printer),
        Command::Logs(args) => verbs::logs::run(dir, args, printer),
        Command::Env(args) => verbs::env::print(dir, args, printer),
        Command::Exec(args) => verbs::env::exec(dir, args),
        Command::Kill { node } => verbs::control::kill(dir, node, printer),
        Command::Restart { node } => verbs::control::restart(dir, node, printer),
        Command::Pause { node } => verbs::pause::pause(dir, node, printer),
        Command::Resume { node } => verbs::pause::resume(dir, node, printer),
        Command::Partition(args) => verbs::wire::partition(dir, args, printer),
        Command::Heal { all } => verbs::wire::heal(dir, *all, printer),
        Command::Latency(args) => verbs::wire::latency(dir, args, printer),
        Command::Export(args) => verbs::export::run(dir, args, printer),
        Command::Down => verbs::control::down(dir, printer),
        Command::Demo(args) => demo::run(dir, args, printer),
        Command::Launch(args) => launch::run(args),
        Command::Wire => wire::run(dir),
        Command::Completions(args) => args.write(TestnetArgs::command(), printer),
        Command::Man(args) => args.write(TestnetArgs::command(), printer),
    }
}
