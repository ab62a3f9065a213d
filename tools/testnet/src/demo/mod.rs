//! The demo: two people on two nodes write to each other, and one of the nodes is killed on the way.

mod checks;
mod command;
mod operator;
mod person;
mod story;
mod texts;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use postroad_cli::{CliError, Exit, Printer, json_line};
use serde::Serialize;
use serde_json::json;

use crate::{
    args::{DemoArgs, UpArgs},
    dirs, interrupt,
    log::excerpt,
    programs::Programs,
    state::Testnet,
    teardown::tear_down,
    verbs::{env::quote, up::bring_up},
    wire::Link,
};

use story::Outcome;

/// Alice's, Bob's, and one that has nothing to do with either.
const NODES: UpArgs = UpArgs { nodes: 3, link: Link::Lan, seed: 0 };
/// The profiles of the two people, below the network's directory.
const PEOPLE: &str = "people";
const LOG_LINES: usize = 30;
const POLL: Duration = Duration::from_millis(100);

pub(crate) fn run(dir: Option<&Path>, args: &DemoArgs, printer: &Printer) -> Result<(), CliError> {
    interrupt::watch()?;
    let programs = Programs::find()?;
    let dir = match dir {
        Some(dir) => dirs::resolve(Some(dir))?,
        None => dirs::unnamed("demo"),
    };
    let mut narrator = Narrator::new(printer);
    narrator.step("Three nodes start, with directories and ports of their own, and meet.")?;
    let mut net = bring_up(&dir, &NODES, &[PEOPLE], printer).map_err(|error| match error.exit {
        Exit::Interrupted => error,
        _ => CliError { exit: Exit::Failed, ..error },
    })?;
    let people = dirs::make(&net.dir.join(PEOPLE));
    let result = people.and_then(|_| story::tell(&mut net, &programs, &mut narrator));
    match result {
        Ok(outcome) => end_well(net, args, &programs, narrator, &outcome),
        Err(error) => Err(end_badly(&net, &narrator, error)),
    }
}

/// Tries until it works out. What is not so yet is an `Err` in words inside, and fails when it is
/// still not so after `limit`; any other failure ends it at once.
fn until<T>(
    limit: Duration,
    mut attempt: impl FnMut() -> Result<Result<T, String>, CliError>,
) -> Result<T, CliError> {
    let started = Instant::now();
    loop {
        interrupt::check()?;
        match attempt()? {
            Ok(result) => return Ok(result),
            Err(still) if started.elapsed() >= limit => {
                return Err(CliError::new(
                    Exit::TimedOut,
                    "timeout",
                    format!("{still}, after {}s", limit.as_secs()),
                    "the nodes' logs above may say why",
                ));
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

fn end_well(
    net: Testnet,
    args: &DemoArgs,
    programs: &Programs,
    mut narrator: Narrator<'_>,
    outcome: &Outcome,
) -> Result<(), CliError> {
    if !args.keep {
        narrator.step("The nodes stop and everything they made is removed, but for the map.")?;
        if let Err(error) = tear_down(&net) {
            return Err(end_badly(&net, &narrator, error));
        }
    }
    let (printer, took) = (narrator.printer, narrator.started.elapsed());
    if printer.is_json() {
        return printer.out(&format!(
            "{}\n",
            json_line(&json!({ "ok": true, "kept": args.keep, "dir": net.dir,
                "network": net.network, "messages": outcome.messages, "bytes": outcome.bytes,
                "map": outcome.map,
                "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                "steps": narrator.steps }))
        ));
    }
    printer.out(&format!(
        "\nIt works: {} messages, {} bytes from one node to another over a crash, none lost, changed \
         or shown twice, each step signed ({:.1}s).\nThe map: {}\n",
        outcome.messages,
        outcome.bytes,
        took.as_secs_f64(),
        outcome.map.display()
    ))?;
    if args.keep { printer.out(&next_commands(&net, programs)) } else { Ok(()) }
}

/// What to type with a network that was left running.
fn next_commands(net: &Testnet, programs: &Programs) -> String {
    let program = |name: &str| quote(&programs.dir.join(name).display().to_string());
    let dir = quote(&net.dir.display().to_string());
    let person = |name: &str| {
        let profile = net.dir.join(PEOPLE).join(name);
        format!("{} --data-dir {}", program("pouch"), quote(&profile.display().to_string()))
    };
    let testnet = quote(&programs.this.display().to_string());
    format!(
        "\nThe network runs on. Try:\n  \
         eval \"$({testnet} env n1 --dir {dir})\"\n  \
         {} peers\n  \
         {testnet} partition n1/n2 --dir {dir}\n  \
         {} send bob \"and now you\"\n  \
         {} why MESSAGE\n  \
         {testnet} heal --dir {dir}\n  \
         {} inbox\n\
         When you have seen enough:\n  \
         {testnet} down --dir {dir}\n",
        program("postroad"),
        person("alice"),
        person("alice"),
        person("bob")
    )
}

/// Says what failed, shows what the node said, takes everything down. The exit code is 1 whatever
/// the reason inside: it is the demo that failed.
fn end_badly(net: &Testnet, narrator: &Narrator<'_>, error: CliError) -> CliError {
    let printer = narrator.printer;
    let interrupted = error.exit == Exit::Interrupted;
    // A reader that left has seen enough and is told nothing more.
    if !interrupted && !error.is_broken_pipe() {
        for node in &net.nodes {
            let log = excerpt(&net.log_file(&node.name), LOG_LINES);
            printer.warn(&format!("--- the end of the log of {} ---\n{log}\n---", node.name));
        }
    }
    let left = match tear_down(net) {
        Ok(_) => "everything was taken down again".to_owned(),
        Err(error) => format!("taking it down failed as well: {}", error.message),
    };
    if error.is_broken_pipe() {
        return error;
    }
    if interrupted {
        return CliError { message: format!("interrupted; {left}"), ..error };
    }
    CliError::failed(
        "demo_failed",
        format!("in the step \"{}\": {}; {left}", narrator.last(), error.message),
        if error.hint.is_empty() { "run it again with -v".to_owned() } else { error.hint },
    )
}

/// Tells the steps as they begin, and remembers them.
pub(super) struct Narrator<'a> {
    printer: &'a Printer,
    started: Instant,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    text: String,
    at_ms: u64,
}

impl<'a> Narrator<'a> {
    fn new(printer: &'a Printer) -> Self {
        Narrator { printer, started: Instant::now(), steps: Vec::new() }
    }

    /// Something begins.
    pub(super) fn step(&mut self, text: &str) -> Result<(), CliError> {
        let at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.steps.push(Step { text: text.to_owned(), at_ms });
        if self.printer.is_json() {
            self.printer.detail(text);
            return Ok(());
        }
        self.printer.out(&format!("{:>2}. {text}\n", self.steps.len()))
    }

    /// What came of it.
    pub(super) fn result(&self, text: &str) -> Result<(), CliError> {
        if self.printer.is_json() {
            return Ok(());
        }
        self.printer.out(&format!("    {text}\n"))
    }

    fn last(&self) -> &str {
        self.steps.last().map_or("", |step| &step.text)
    }
}
