//! W3: mail for users who are away, who then log in and fetch it.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use postroad_proto::frame::Frame;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::error::LoadError;
use crate::member::{Member, Plan, Templates};
use crate::message::{Id, stamp_of};
use crate::online::{note, templates, why};
use crate::report::{Offline, Sums, per, per_sync, rate};
use crate::run::{Leaves, PATIENCE, Run};
use crate::session::{PING, Session};
use crate::usage::Usage;
use crate::user::{User, login_all};
use crate::world::World;

/// Unaccepted messages of one sender.
const WINDOW: usize = 64;
/// Recipients who fetch at the same time.
const FETCHING: usize = 100;
/// The count of a sender's first message before nodes are killed; earlier phases stay below.
const KILL: u32 = 1 << 31;
/// Between two looks for mail that is still on its way from another node.
const LOOK: Duration = Duration::from_millis(20);

/// Who writes, and who is away; each by rising index.
pub(crate) struct Cast {
    pub(crate) senders: Vec<User>,
    pub(crate) recipients: Vec<User>,
}

impl Cast {
    /// The recipient of a message whose sender's first in this run was `first`.
    pub(crate) fn recipient_of(&self, id: Id, first: u32) -> usize {
        let sender = self.senders.binary_search_by_key(&id.sender(), |user| user.index as usize);
        let to = self.first(sender.unwrap_or_default()) + id.count() - first as usize;
        to % self.recipients.len()
    }

    /// The first recipient of a sender; the others follow in turn.
    fn first(&self, sender: usize) -> usize {
        sender * self.recipients.len() / self.senders.len()
    }

    /// How many of `messages` each sender sends.
    pub(crate) fn share(&self, messages: u64) -> impl Fn(usize) -> u64 + use<> {
        let senders = self.senders.len() as u64;
        move |sender| messages / senders + u64::from((sender as u64) < messages % senders)
    }

    /// Logs the senders in and lets each send as many messages as `limit` says.
    pub(crate) async fn send(
        &self,
        templates: &Templates,
        run: &Rc<Run>,
        limit: impl Fn(usize) -> u64,
    ) -> Result<JoinSet<LoadError>, LoadError> {
        let sessions = login_all(&self.senders).await?;
        let mut members = JoinSet::new();
        for (place, (user, mut session)) in self.senders.iter().zip(sessions).enumerate() {
            session.grant()?;
            let plan = Plan {
                templates: templates.clone(),
                first: self.first(place),
                step: 1,
                window: WINDOW,
                limit: limit(place),
                schedule: None,
            };
            members.spawn_local(Member::new(user.index, session, plan, run.clone()).go());
        }
        Ok(members)
    }

    /// Lets the recipients fetch until each has what was accepted for it, or nothing comes.
    async fn fetch(&self, run: &Run, patience: Duration) -> Result<(), LoadError> {
        let mut expected = vec![HashSet::new(); self.recipients.len()];
        for id in run.accepted.borrow().iter() {
            expected[self.recipient_of(*id, run.first)].insert(*id);
        }
        let fetched =
            self.recipients.iter().zip(expected).map(|(user, ids)| fetch(user, ids, run, patience));
        stream::iter(fetched).buffer_unordered(FETCHING).try_collect().await
    }
}

/// Runs it: `messages` in all.
pub(crate) async fn run(
    world: &World,
    cast: &Cast,
    messages: u64,
    sums: &mut Sums,
) -> Result<Offline, LoadError> {
    let run = Rc::new(Run::new(world.drawn(), Leaves::Accepted, 0)?);
    let templates = templates(&cast.recipients, &world.filler)?;
    let nodes = world.usage().await?;
    let (began, own) = (Instant::now(), Usage::own()?);
    let mut members = cast.send(&templates, &run, cast.share(messages)).await?;
    let crosses = world.places.len() > 1;
    let stored = run.until(|counts| {
        let refused = counts.refused.get();
        let at_node = !crosses || counts.at_node.get() + refused >= messages;
        counts.accepted.get() + refused >= messages && at_node
    });
    tokio::select! {
        _ = stored => {}
        Some(ended) = members.join_next() => return Err(why(ended)),
    }
    let store_s = began.elapsed().as_secs_f64();
    let (store, store_own) = (world.used(nodes).await?, Usage::own()? - own);
    members.shutdown().await;

    let stored = run.counts.accepted.get();
    let nodes = world.usage().await?;
    let (began, own) = (Instant::now(), Usage::own()?);
    cast.fetch(&run, patience(world)).await?;
    let drain_s = began.elapsed().as_secs_f64();
    let (drain, drain_own) = (world.used(nodes).await?, Usage::own()? - own);
    let drained = run.counts.delivered.get();
    note(&run, sums);
    Ok(Offline {
        stored,
        stored_per_s: rate(stored, store_s),
        store_cpu_us_per_message: store.map(|store| per(store.cpu_us, stored)),
        bytes_written_per_message: store.map(|store| per(store.written, stored)),
        stored_per_sync: store.and_then(per_sync(stored)),
        store_node_syncs: store.map(|store| store.syncs),
        store_fsync_calls: store.and_then(|store| store.traced_syncs),
        load_store_cpu_us_per_message: per(store_own.cpu_us, stored),
        drained_per_s: rate(drained, drain_s),
        drain_cpu_us_per_message: drain.map(|drain| per(drain.cpu_us, drained)),
        drain_node_syncs: drain.map(|drain| drain.syncs),
        drain_fsync_calls: drain.and_then(|drain| drain.traced_syncs),
        load_drain_cpu_us_per_message: per(drain_own.cpu_us, drained),
    })
}

/// Kills the nodes (`kill -9`) while mail comes in, once they have accepted so many messages,
/// starts them again and looks for all that they accepted. Targets are left alone.
pub(crate) async fn kill(
    world: &mut World,
    cast: &Cast,
    messages: u64,
    sums: &mut Sums,
) -> Result<(), LoadError> {
    if world.nodes.is_empty() {
        return Ok(());
    }
    let run = Rc::new(Run::new(world.drawn(), Leaves::Accepted, KILL)?);
    let templates = templates(&cast.recipients, &world.filler)?;
    let mut members = cast.send(&templates, &run, |_| u64::from(KILL / 2)).await?;
    if !run.until(|counts| counts.accepted.get() >= messages).await {
        return Err(LoadError::Stalled(PATIENCE.as_secs()));
    }
    for node in &mut world.nodes {
        node.kill();
    }
    // What was said before the end still counts: each session reads until its connection ends.
    while members.join_next().await.is_some() {}
    for node in &mut world.nodes {
        node.restart().await?;
    }
    cast.fetch(&run, patience(world)).await?;
    let mut after = Sums::default();
    note(&run, &mut after);
    sums.accepted_before_kill = Some(run.counts.accepted.get());
    sums.missing_after_kill = Some(after.lost);
    sums.duplicated += after.duplicated;
    Ok(())
}

/// How long mail may still be on its way. A node alone has all of it.
fn patience(world: &World) -> Duration {
    if world.places.len() > 1 { PATIENCE } else { Duration::ZERO }
}

/// Logs in and fetches.
async fn fetch(
    user: &User,
    mut expected: HashSet<Id>,
    run: &Run,
    patience: Duration,
) -> Result<(), LoadError> {
    let mut session = user.login().await?;
    session.grant()?;
    take_all(&mut session, &mut expected, run, patience).await
}

/// Fetches until all of `expected` is there, or nothing has come for a while. What is left is
/// missing.
pub(crate) async fn take_all(
    session: &mut Session,
    expected: &mut HashSet<Id>,
    run: &Run,
    patience: Duration,
) -> Result<(), LoadError> {
    let mut moved = Instant::now();
    loop {
        let found = timeout(PATIENCE, look(session, expected, run))
            .await
            .map_err(|_| LoadError::Stalled(PATIENCE.as_secs()))??;
        if found {
            moved = Instant::now();
        }
        if expected.is_empty() || (!found && moved.elapsed() >= patience) {
            // The node has the acks once it answers what came after them.
            return session.ping().await;
        }
        if !found {
            sleep(LOOK).await;
        }
    }
}

/// Takes all that the node has for this session. Whether there was anything.
async fn look(
    session: &mut Session,
    expected: &mut HashSet<Id>,
    run: &Run,
) -> Result<bool, LoadError> {
    let (mut found, mut answered) = (false, false);
    session.queue_ping()?;
    while !answered {
        session.turn().await?;
        let now = run.now();
        while let Some(frame) = session.next_frame()? {
            match frame {
                Frame::Push(push) => {
                    session.took_push(&push);
                    if let Some((id, intended)) = stamp_of(&push.body) {
                        run.arrived(id, intended, now);
                        found |= expected.remove(&id);
                    }
                }
                Frame::Notice(notice) => session.took(notice.seq, 0),
                Frame::Done(done) => answered |= done.request == PING,
                _ => {}
            }
        }
        session.settle()?;
    }
    Ok(found)
}
