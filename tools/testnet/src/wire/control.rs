//! Starting the wire, and telling it that the state file has changed.

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::PathBuf,
    time::{Duration, Instant},
};

use postroad_cli::{CliError, Exit};

use super::Ports;
use crate::{
    interrupt, launch,
    log::excerpt,
    process::Process,
    programs::Programs,
    state::{Testnet, command},
};

const SOCKET: &str = "wire.sock";
const LOG: &str = "wire.log";
/// What the wire leaves in the network's directory.
pub(crate) const FILES: [&str; 2] = [SOCKET, LOG];

const READY_LIMIT: Duration = Duration::from_secs(10);
const READY_POLL: Duration = Duration::from_millis(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const LOG_LINES: usize = 10;

/// Starts the wire unless it runs, and notes the ports. The caller holds the network's lock.
pub(crate) fn ensure(net: &mut Testnet, programs: &Programs) -> Result<(), CliError> {
    if net.wire.as_ref().is_some_and(Process::is_alive) {
        return Ok(());
    }
    let log = net.dir.join(LOG);
    let mut command = launch::detached(programs, &programs.this, &log)?;
    command.arg("wire").arg("--dir").arg(&net.dir).current_dir(&net.dir);
    let child = command.spawn().map_err(|error| {
        CliError::io("cannot start the wire between the nodes", &error, "try again")
    })?;
    let process = Process::of(child.id())?;
    net.wire = Some(process.clone());
    net.save()?;
    let started = Instant::now();
    let ports = loop {
        interrupt::check()?;
        let error = match ask(net) {
            Ok(ports) => break ports,
            Err(error) => error,
        };
        if !process.is_alive() || started.elapsed() >= READY_LIMIT {
            return Err(CliError::failed(
                "wire",
                format!("the wire does not answer: {error}\n{}", excerpt(&log, LOG_LINES)),
                "the log says why",
            ));
        }
        std::thread::sleep(READY_POLL);
    };
    for (node, ports) in net.nodes.iter_mut().zip(ports) {
        node.ports = Some(ports);
    }
    net.save()
}

/// Returns once what the state file says is in force.
pub(crate) fn apply(net: &Testnet) -> Result<(), CliError> {
    ask(net).map(drop).map_err(|error| {
        CliError::new(
            Exit::Unreachable,
            "no_wire",
            format!("the wire between the nodes does not answer: {error}"),
            format!("end the network: {}", command(&net.dir, "down")),
        )
    })
}

/// The socket's path as long as the directory is open. A socket's address holds about a hundred
/// bytes, less than the path of a directory may have.
pub(super) fn socket_in(dir: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()))
}

pub(super) fn ask(net: &Testnet) -> io::Result<Vec<Ports>> {
    let dir = File::open(&net.dir)?;
    let mut stream = UnixStream::connect(socket_in(&dir))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let ports: Vec<Ports> = serde_json::from_str(&text)?;
    if ports.len() != net.nodes.len() {
        return Err(io::Error::other("it is the wire of another network"));
    }
    Ok(ports)
}
