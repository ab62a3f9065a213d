//! Starting and ending one node.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
    time::{Duration, Instant},
};

use postroad_cli::{CliError, Exit};
use rustix::process::Signal;

use crate::{
    definition, interrupt, launch,
    log::excerpt,
    process::Process,
    programs::Programs,
    state::{Ready, Testnet},
    wire,
};

/// A node is ready within 3 s here; a busy machine gets more.
const READY_LIMIT: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(5);
/// What a node may take to end in order before it is killed.
pub(crate) const END_LIMIT: Duration = Duration::from_secs(10);
/// What the kernel may take to end a killed process that waits for a slow disk.
pub(crate) const KILL_LIMIT: Duration = Duration::from_secs(10);
const LOG_LINES: usize = 15;

/// Where a node listens when the system may choose.
const ANY_PORT: u16 = 0;

/// Starts the node's process, detached, and the wire to it where that does not run. A node that ran
/// before gets its addresses again.
pub(crate) fn start(net: &mut Testnet, index: usize, programs: &Programs) -> Result<(), CliError> {
    wire::ensure(net, programs)?;
    let node = &net.nodes[index];
    let dir = net.node_dir(&node.name);
    make_dir(&dir)?;
    let ready_file = dir.join("ready.json");
    remove_stale(&ready_file)?;
    let local = |port: u16| format!("127.0.0.1:{port}");
    let (listen, admin) = match (&node.ready, node.ports) {
        (Some(ready), _) => (ready.client.clone(), ready.admin.clone()),
        (None, Some(ports)) => (vec![local(ports.client)], local(ports.admin)),
        (None, None) => (vec![local(ANY_PORT)], local(ANY_PORT)),
    };
    let program = programs.path("posthoused")?;
    let mut command = launch::detached(programs, &program, &net.log_file(&node.name))?;
    command.arg("run").arg("--data-dir").arg(dir.join("data"));
    command.arg("--ready-file").arg(&ready_file);
    command.arg("--network").arg(net.dir.join(definition::FILE));
    command.args(["--name", &node.name, "--admin", &admin]);
    for address in &listen {
        command.args(["--listen", address]);
    }
    if let Some(ports) = node.ports {
        command.args(["--p2p-listen", &local(ports.own)]);
        command.args(["--p2p-external", &local(ports.announced)]);
    }
    let child = command.current_dir(&dir).spawn().map_err(|error| {
        let what = format!("cannot start the node {}", node.name);
        CliError::io(what, &error, "see postroad-testnet logs")
    })?;
    net.nodes[index].process = Some(Process::of(child.id())?);
    // Before the node is ready: an interrupted start can still be found and ended.
    net.save()
}

/// Waits until the node has said that it is ready.
pub(crate) fn wait_ready(net: &mut Testnet, index: usize) -> Result<(), CliError> {
    let node = &net.nodes[index];
    let path = net.node_dir(&node.name).join("ready.json");
    let log = net.log_file(&node.name);
    let started = Instant::now();
    let ready = loop {
        interrupt::check()?;
        // Looked at before the file: a node that was ready and then ended has left its line.
        let running = node.is_running();
        if let Some(ready) = read_ready(&path)? {
            break ready;
        }
        let log = || format!("; the end of its log:\n{}", excerpt(&log, LOG_LINES));
        if !running {
            return Err(CliError::failed(
                "node_ended",
                format!("the node {} ended before it was ready{}", node.name, log()),
                "the log says why",
            ));
        }
        if started.elapsed() >= READY_LIMIT {
            return Err(CliError::new(
                Exit::TimedOut,
                "not_ready",
                format!("{} is not ready after {}s{}", node.name, READY_LIMIT.as_secs(), log()),
                "the log says what it waits for",
            ));
        }
        std::thread::sleep(READY_POLL);
    };
    net.nodes[index].ready = Some(ready);
    net.save()
}

/// Ends a node at once, as a power cut would.
pub(crate) fn kill(net: &Testnet, index: usize) -> Result<(), CliError> {
    let node = &net.nodes[index];
    let Some(process) = &node.process else { return Ok(()) };
    process.signal(Signal::KILL)?;
    if process.ends_within(KILL_LIMIT) {
        return Ok(());
    }
    Err(CliError::new(
        Exit::TimedOut,
        "still_there",
        format!("process {} of {} is still there after kill -9", process.pid, node.name),
        "it waits for the disk; look at dmesg",
    ))
}

/// Ends a node in order, and at once when it takes too long.
pub(crate) fn stop(net: &Testnet, index: usize) -> Result<(), CliError> {
    let Some(process) = &net.nodes[index].process else { return Ok(()) };
    process.end()?;
    if process.ends_within(END_LIMIT) { Ok(()) } else { kill(net, index) }
}

/// Freezes a node where it stands.
pub(crate) fn pause(net: &Testnet, index: usize) -> Result<(), CliError> {
    stop_or_go(net, index, Signal::STOP, true)
}

/// Lets it go on.
pub(crate) fn resume(net: &Testnet, index: usize) -> Result<(), CliError> {
    stop_or_go(net, index, Signal::CONT, false)
}

fn stop_or_go(net: &Testnet, index: usize, signal: Signal, paused: bool) -> Result<(), CliError> {
    let node = &net.nodes[index];
    let Some(process) = &node.process else { return Ok(()) };
    process.signal(signal)?;
    if process.pauses_within(paused, KILL_LIMIT) {
        return Ok(());
    }
    Err(CliError::new(
        Exit::TimedOut,
        "not_paused",
        format!("process {} of {} does not obey the signal", process.pid, node.name),
        "it waits for the disk; look at dmesg",
    ))
}

fn make_dir(dir: &Path) -> Result<(), CliError> {
    let made = DirBuilder::new().mode(0o700).create(dir);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(CliError::io(
            format!("cannot make {}", dir.display()),
            &error,
            "check the disk, or name another directory with --dir",
        )),
        _ => Ok(()),
    }
}

fn remove_stale(path: &Path) -> Result<(), CliError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CliError::io(
            format!("cannot remove {}", path.display()),
            &error,
            "see who owns the directory",
        )),
        _ => Ok(()),
    }
}

fn read_ready(path: &Path) -> Result<Option<Ready>, CliError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let what = format!("cannot read {}", path.display());
            return Err(CliError::io(what, &error, "see who owns the directory"));
        }
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        CliError::failed(
            "ready_file",
            format!("the node wrote a ready file that is not understood: {error}"),
            "use posthoused and postroad-testnet of one version",
        )
    })
}
