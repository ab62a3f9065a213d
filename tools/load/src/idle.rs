//! W1: sessions that do nothing.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep};

use crate::error::LoadError;
use crate::report::{Idle, per, rate, round};
use crate::session::Session;
use crate::usage::{Usage, resident_kib};
use crate::user::{LOGINS, User};
use crate::world::World;

/// Time for a node to finish what it has in hand.
const QUIET: Duration = Duration::from_secs(1);

/// Runs it with registered users. Nodes of our own start anew before, and half of the sessions come
/// before the measuring begins: what the heap of a node has left over from making accounts, or from
/// its start, is given back by and by, and would hide what sessions take.
pub(crate) async fn run(world: &mut World, users: &[User]) -> Result<Idle, LoadError> {
    for node in &mut world.nodes {
        node.terminate().await?;
        node.restart().await?;
    }
    let (first, users) = users.split_at(users.len() / 2);
    let first = log_in(first).await?;
    sleep(QUIET).await;
    let pids = world.pids();
    let resident = resident_kib(&pids)?;
    let (began, nodes, own) = (Instant::now(), world.usage().await?, Usage::own()?);
    let sessions = log_in(users).await?;
    let seconds = began.elapsed().as_secs_f64();
    let (nodes, own) = (world.used(nodes).await?, Usage::own()? - own);
    sleep(QUIET).await;
    let logins = users.len() as u64;
    let grown = resident_kib(&pids)?.saturating_sub(resident);
    drop((first, sessions));
    Ok(Idle {
        rss_kib_per_session: (!world.nodes.is_empty()).then(|| per(grown, logins)),
        logins_per_s: rate(logins, seconds),
        seconds: round(seconds),
        cpu_us_per_login: nodes.map(|nodes| per(nodes.cpu_us, logins)),
        load_cpu_us_per_login: per(own.cpu_us, logins),
    })
}

async fn log_in(users: &[User]) -> Result<Vec<Session>, LoadError> {
    stream::iter(users.iter().map(idle)).buffer_unordered(LOGINS).try_collect().await
}

/// A login as of a client that waits for mail: it grants credit, and knows that the node has it.
async fn idle(user: &User) -> Result<Session, LoadError> {
    let mut session = user.login().await?;
    session.grant()?;
    session.ping().await?;
    session.rest();
    Ok(session)
}
