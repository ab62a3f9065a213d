//! W2: pairs who are online and write to each other.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::args::RunArgs;
use crate::error::LoadError;
use crate::member::{Member, Plan, Templates};
use crate::message::Template;
use crate::report::{Online, Sums, per, per_sync, rate, round};
use crate::run::{Leaves, Run};
use crate::tally::Tally;
use crate::usage::Usage;
use crate::user::{User, login_all};
use crate::world::World;

/// Messages in flight of one session in an open loop: below what a node takes.
const OPEN_WINDOW: usize = 200;
/// Longest time before measuring begins.
const WARM_UP: Duration = Duration::from_secs(2);

/// Runs it with registered users: each two who follow each other are a pair.
pub(crate) async fn run(
    world: &World,
    users: &[User],
    args: &RunArgs,
    sums: &mut Sums,
) -> Result<Online, LoadError> {
    let sessions = login_all(users).await?;
    let run = Rc::new(Run::new(world.drawn(), Leaves::Delivered, 0)?);
    let templates = templates(users, &world.filler)?;
    let mut members = JoinSet::new();
    for (place, (user, mut session)) in users.iter().zip(sessions).enumerate() {
        session.grant()?;
        let plan = Plan {
            templates: templates.clone(),
            first: place ^ 1,
            step: 0,
            window: if args.rate.is_some() { OPEN_WINDOW } else { args.window },
            limit: u64::from(u32::MAX >> 1),
            schedule: args.rate.map(|rate| schedule(rate, users.len(), place)),
        };
        members.spawn_local(Member::new(user.index, session, plan, run.clone()).go());
    }
    sleep(WARM_UP.min(args.duration / 4)).await;
    run.latency.borrow_mut().reset();
    let nodes = world.usage().await?;
    let (began, own) = (Instant::now(), Usage::own()?);
    let (before, crossed) = (run.counts.delivered.get(), world.crossed()?);
    tokio::select! {
        () = sleep(args.duration) => {}
        Some(ended) = members.join_next() => return Err(why(ended)),
    }
    let messages = run.counts.delivered.get() - before;
    let seconds = began.elapsed().as_secs_f64();
    let (nodes, own) = (world.used(nodes).await?, Usage::own()? - own);
    let crossed = world.crossed()?.zip(crossed);
    let wire = crossed.map(|(now, then)| now.since(then, run.counts.delivered.get() - before));
    run.stopped.set(true);
    run.until(|counts| {
        let answered = counts.accepted.get() + counts.refused.get() >= counts.sent.get();
        answered && counts.delivered.get() >= counts.accepted.get()
    })
    .await;
    members.shutdown().await;
    note(&run, sums);
    let latency = run.latency.borrow();
    Ok(Online {
        messages,
        seconds: round(seconds),
        messages_per_s: rate(messages, seconds),
        cpu_us_per_message: nodes.map(|nodes| per(nodes.cpu_us, messages)),
        load_cpu_us_per_message: per(own.cpu_us, messages),
        messages_per_sync: nodes.and_then(per_sync(messages)),
        node_syncs: nodes.map(|nodes| nodes.syncs),
        fsync_calls: nodes.and_then(|nodes| nodes.traced_syncs),
        p50_ms: round(latency.value_at_quantile(0.5) as f64 / 1000.0),
        p99_ms: round(latency.value_at_quantile(0.99) as f64 / 1000.0),
        wire,
    })
}

/// Adds what a phase lost, repeated and was refused.
pub(crate) fn note(run: &Run, sums: &mut Sums) {
    let tally = Tally::of(&run.accepted.borrow(), &run.received.borrow());
    sums.lost += tally.lost;
    sums.duplicated += tally.duplicated + run.counts.repeated.get();
    sums.refused += run.counts.refused.get();
    if let Some(why) = run.why.borrow_mut().take() {
        sums.why_refused.get_or_insert(why);
    }
}

/// A template for each of these recipients.
pub(crate) fn templates(users: &[User], filler: &[u8]) -> Result<Templates, LoadError> {
    let template = |user: &User| Template::new(user.recipient(), filler).map(RefCell::new);
    Ok(Rc::new(users.iter().map(template).collect::<Result<_, _>>()?))
}

/// A sender's share of the rate: its first message and its interval, ns. Senders take turns.
fn schedule(rate: u64, senders: usize, place: usize) -> (u64, u64) {
    let interval = 1_000_000_000 * senders as u64 / rate.max(1);
    (interval * place as u64 / senders as u64, interval)
}

/// Why a session ended that should not have.
pub(crate) fn why(ended: Result<LoadError, tokio::task::JoinError>) -> LoadError {
    ended.unwrap_or_else(|error| LoadError::Node(error.to_string()))
}
