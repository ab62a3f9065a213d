//! A node that has nothing to do, connected to another one.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::LoadError;
use crate::report::{Rest, round};
use crate::run::PATIENCE;
use crate::usage::{Usage, resident_kib};
use crate::world::World;

/// What two nodes tell each other when they meet is not rest.
const SETTLE: Duration = Duration::from_secs(5);
/// Between two looks whether the nodes are connected.
const LOOK: Duration = Duration::from_millis(50);

/// Watches the first node, once it is connected to the other.
pub(crate) async fn run(world: &World, duration: Duration) -> Result<Rest, LoadError> {
    if let Some(node) = world.nodes.first() {
        let began = Instant::now();
        while node.peers().await? == 0 {
            if began.elapsed() > PATIENCE {
                return Err(LoadError::Stalled(PATIENCE.as_secs()));
            }
            sleep(LOOK).await;
        }
    }
    let pid = world.pids().first().copied();
    let pid = pid.ok_or_else(|| LoadError::Usage("--pid says which process to watch".into()))?;
    sleep(SETTLE.min(duration)).await;
    let (began, then) = (Instant::now(), Usage::of(&[pid])?);
    sleep(duration).await;
    let used = Usage::of(&[pid])? - then;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Rest {
        rest_rss_mib: round(resident_kib(&[pid])? as f64 / 1024.0),
        rest_cpu_percent: (used.cpu_us as f64 / seconds / 10.0).round() / 1000.0,
        rest_written_bytes: used.written,
    })
}
