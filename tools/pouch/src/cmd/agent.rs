//! `agent`: one process for each profile that keeps keys and connection while commands come and go.

mod hook;
mod place;
mod serve;
mod unit;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use postroad_cli::{CliError, Printer, ago, now_ms, parse_rfc3339_ms};
use postroad_client::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

pub(crate) use place::{Running, running};

use crate::args::{Agent, AgentArgs, ProfileArgs};
use crate::error::explain;
use crate::profile::{directory, open};

/// How long an agent may take to begin, and to end.
const BEGIN: Duration = Duration::from_secs(5);
const END: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

pub(crate) async fn run(
    profile: &ProfileArgs,
    verb: &Agent,
    printer: &Printer,
) -> Result<(), CliError> {
    match verb {
        Agent::Run(args) => serve::run(profile, args, printer).await,
        Agent::Start(args) => start(profile, args, printer).await,
        Agent::Stop => stop(profile, printer).await,
        Agent::Status => status(profile, printer).await,
        Agent::Unit(args) => unit::print(profile, args, printer),
    }
}

impl Running {
    /// As a line of a status.
    pub(crate) fn human(&self) -> String {
        let since = parse_rfc3339_ms(&self.since).map(|at| ago(at, now_ms())).unwrap_or_default();
        format!("runs as process {}, begun {since}", self.pid)
    }
}

/// The command line of an agent for this profile.
fn command_line(profile: &ProfileArgs, args: &AgentArgs) -> Result<Vec<String>, CliError> {
    let program = std::env::current_exe().map_err(|error| {
        CliError::io("cannot find this program", &error, "start it by its path")
    })?;
    let mut line = vec![program.display().to_string()];
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // By its place, whatever the environment of whoever starts it says.
    let place = directory(profile)?;
    if let Some(dir) = place.parent() {
        line.extend(["--data-dir".to_owned(), absolute(dir).display().to_string()]);
    }
    if let Some(names) = &profile.names {
        line.extend(["--names".to_owned(), absolute(names).display().to_string()]);
    }
    if let Some(file) = &profile.passphrase_file {
        line.extend(["--passphrase-file".to_owned(), absolute(file).display().to_string()]);
    }
    line.extend(["--profile", &profile.profile, "agent", "run"].map(str::to_owned));
    if let Some(hook) = &args.hook {
        line.extend(["--hook".to_owned(), hook.clone()]);
    }
    line.extend(args.notify.then(|| "--notify".to_owned()));
    Ok(line)
}

async fn start(profile: &ProfileArgs, args: &AgentArgs, printer: &Printer) -> Result<(), CliError> {
    // Without an account there is nothing to keep.
    open(profile, false, printer).await?.unlock().map_err(explain)?;
    let place = directory(profile)?;
    if let Some(found) = running(&place)? {
        return printer.object(&found, || format!("the agent {} already", found.human()));
    }
    let line = command_line(profile, args)?;
    let log = place::log(&place)?;
    let [program, arguments @ ..] = &line[..] else { return Ok(()) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // A group of its own: what a terminal sends to this one does not reach it.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let failed = |error| CliError::io("cannot start the agent", &error, "try pouch agent run");
    let mut child = command.spawn().map_err(failed)?;
    let until = Instant::now() + BEGIN;
    loop {
        if let Some(found) = running(&place)? {
            return printer.object(&found, || format!("the agent {}", found.human()));
        }
        let ended = child.try_wait().map_err(failed)?;
        if ended.is_some() || Instant::now() > until {
            // One that is late must not come up after this was said.
            let _ = child.kill().and_then(|()| child.wait());
            let hint = format!("{} says why; pouch agent run shows it", place::log_path(&place));
            return Err(CliError::failed("not_started", "the agent did not start", hint));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn stop(profile: &ProfileArgs, printer: &Printer) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Stopped {
        stopped: bool,
    }
    let place = directory(profile)?;
    let Some(found) = running(&place)? else {
        return printer.object(&Stopped { stopped: false }, || "no agent runs".to_owned());
    };
    // Whoever holds the lock has written its own number: nobody else's is signalled.
    if let Some(pid) = i32::try_from(found.pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
    let until = Instant::now() + END;
    while running(&place)?.is_some_and(|now| now.pid == found.pid) {
        if Instant::now() > until {
            let message = format!("the agent, process {}, does not end", found.pid);
            return Err(CliError::failed("still_running", message, "kill it: nothing is lost"));
        }
        tokio::time::sleep(POLL).await;
    }
    printer.object(&Stopped { stopped: true }, || "the agent has ended".to_owned())
}

#[derive(Serialize)]
struct StatusRow {
    running: bool,
    pid: Option<u32>,
    since: Option<String>,
    online: bool,
    reason: Option<String>,
}

async fn status(profile: &ProfileArgs, printer: &Printer) -> Result<(), CliError> {
    let found = running(&directory(profile)?)?;
    let client = &mut open(profile, true, printer).await?;
    let online = found.is_some() && is_connected(client)?;
    let reason = client.offline_reason().map_err(explain)?.filter(|_| found.is_some() && !online);
    let row = StatusRow {
        running: found.is_some(),
        pid: found.as_ref().map(|found| found.pid),
        since: found.as_ref().map(|found| found.since.clone()),
        online,
        reason,
    };
    printer.object(&row, || match (&found, &row.reason) {
        (None, _) => "no agent runs: pouch agent start".to_owned(),
        (Some(found), None) => format!("{}; connected", found.human()),
        (Some(found), Some(reason)) => {
            format!("{}; offline: {}", found.human(), postroad_cli::safe(reason))
        }
    })
}

fn is_connected(client: &Client) -> Result<bool, CliError> {
    client.is_shared().map_err(explain)
}
