//! Starting a node and stopping it in order.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use super::args::{Join, Run};
use crate::config::Config;
use crate::server::Server;

/// The configuration file's name in the data directory.
pub(super) const CONFIG_FILE: &str = "posthoused.toml";

pub(super) fn run(args: &Run) -> Result<(), Failure> {
    start_log();
    let dir = args.place.data_dir()?;
    let mut config = effective(args, &dir)?;
    private_dir(&dir)?;
    fit_open_files(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config, &dir, args.ready_file.as_deref()))
}

async fn serve(config: Config, dir: &Path, ready_file: Option<&Path>) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut server = Server::bind(config, dir).await?;
    if let Some(path) = ready_file {
        server.write_ready_file(path)?;
    }
    eprint!("{}", server.banner());
    tokio::select! {
        ended = server.join() => ended?,
        _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is in flight"),
        _ = interrupt.recv() => tracing::info!("interrupted: finishing what is in flight"),
    }
    tokio::select! {
        closed = server.shutdown() => closed?,
        _ = terminate.recv() => return Err(hurried()),
        _ = interrupt.recv() => return Err(hurried()),
    }
    tracing::info!("stopped");
    Ok(())
}

fn hurried() -> Failure {
    Failure::new("stopped in a hurry, on a second signal", "nothing acknowledged is lost")
}

/// Open files that are not for clients: 256 connections of other nodes and 64 that are being set up,
/// 128 of this node's own, each dialled at two addresses at once; the rest is for the store, the
/// operator's interface and the system.
const FILES_KEPT: u64 = 1000;

/// Asks for as many open files as allowed, and takes no more clients than fit: a store that is out
/// of them cannot work.
fn fit_open_files(config: &mut Config) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let fit = allowed.unwrap_or(u64::MAX).saturating_sub(FILES_KEPT).max(16);
    let fit = usize::try_from(fit).unwrap_or(usize::MAX);
    if fit < config.gateway.max_sessions {
        tracing::warn!(fit, "fewer open files are allowed than gateway.max_sessions needs");
        config.gateway.max_sessions = fit;
    }
}

/// Flags (and environment) over the file over defaults.
pub(super) fn effective(args: &Run, dir: &Path) -> Result<Config, Failure> {
    let mut config = match &args.config {
        Some(path) => Config::read(path)?,
        None if dir.join(CONFIG_FILE).exists() => Config::read(&dir.join(CONFIG_FILE))?,
        None => Config::default(),
    };
    join(&mut config, &args.join)?;
    if let Some(name) = &args.name {
        config.node.name.clone_from(name);
    }
    if !args.listen.is_empty() {
        config.gateway.listen.clone_from(&args.listen);
    }
    if !args.external_address.is_empty() {
        config.gateway.external.clone_from(&args.external_address);
    }
    if !args.p2p_listen.is_empty() {
        config.net.listen.clone_from(&args.p2p_listen);
    }
    if !args.p2p_external.is_empty() {
        config.net.external.clone_from(&args.p2p_external);
    }
    if !args.peer.is_empty() {
        config.net.peers.clone_from(&args.peer);
    }
    if let Some(admin) = args.admin {
        config.admin.listen = admin;
    }
    if let Some(disk) = args.disk {
        config.store.max_bytes = disk;
    }
    config.validate()?;
    Ok(config)
}

/// Belongs to the network that was named, if one was.
pub(super) fn join(config: &mut Config, args: &Join) -> Result<(), Failure> {
    if let Some(file) = args.file() {
        config.join(file)?;
    } else if let Some(name) = &args.network {
        config.node.network = name.parse().map_err(|e| usage(format!("--network: {e}")))?;
    }
    Ok(())
}

fn usage(message: String) -> Failure {
    Failure { exit: 2, ..Failure::new(message, "posthoused --help") }
}

/// Makes the data directory for its owner alone.
pub(super) fn private_dir(dir: &Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| {
        Failure::new(format!("{}: {e}", dir.display()), "choose another place with --data-dir")
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let mode = fs::metadata(dir).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

/// What is logged by default. Of libraries, nothing that strangers could fill the log with.
const LOG: &str = "info,libp2p=error,yamux=error";

fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("POSTROAD_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOG));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .try_init();
}
