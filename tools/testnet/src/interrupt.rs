//! Ctrl-C and friends: noted, so that what was started can be taken down.

use std::sync::{
    atomic::{AtomicBool, Ordering},
    mpsc::sync_channel,
};

use postroad_cli::{CliError, Exit};
use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From here on SIGINT, SIGTERM and SIGHUP no longer end the program but make [`check`] fail.
pub(crate) fn watch() -> Result<(), CliError> {
    let (ready, is_ready) = sync_channel(1);
    std::thread::spawn(move || {
        let listen = || -> std::io::Result<_> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let inside = runtime.enter();
            let signals = [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ];
            drop(inside);
            Ok((runtime, signals))
        };
        let listening = listen();
        // The receiver waits below and outlives this send.
        let _ = ready.send(listening.as_ref().map(drop).map_err(std::io::Error::kind));
        let Ok((runtime, [mut interrupt, mut terminate, mut hangup])) = listening else { return };
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                INTERRUPTED.store(true, Ordering::SeqCst);
            }
        });
    });
    match is_ready.recv() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(kind)) => Err(failed(kind.into())),
        Err(_) => Err(failed(std::io::ErrorKind::Other.into())),
    }
}

fn failed(error: std::io::Error) -> CliError {
    CliError::io("cannot listen for signals", &error, "try again")
}

/// Fails once the user has asked for the end.
pub(crate) fn check() -> Result<(), CliError> {
    if INTERRUPTED.load(Ordering::SeqCst) {
        return Err(CliError::new(Exit::Interrupted, "interrupted", "interrupted", ""));
    }
    Ok(())
}
