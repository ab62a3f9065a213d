//! A node with much in store starts: how long until it serves, and what that takes.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use postroad_proto::frame::Frame;
use tokio::time::{Instant, sleep};

use crate::args::RunArgs;
use crate::error::LoadError;
use crate::message::{Id, stamp_of};
use crate::node::Node;
use crate::offline::{Cast, take_all};
use crate::online::{templates, why};
use crate::report::{Restart, Starts, Sums, per, rate, round};
use crate::run::{Leaves, PATIENCE, Run};
use crate::session::Session;
use crate::usage::{Usage, disk_bytes, peak_kib, resident_kib};
use crate::user::{User, register_all};
use crate::world::World;

/// Between the counts of a sender's first messages in two rounds: no id is used twice.
const ROUND: u32 = 1 << 25;
/// Messages accepted in the round that a kill ends, at most.
const BEFORE_KILL: u64 = 20_000;
/// Between two tries to log in to a node that is starting.
const RETRY: Duration = Duration::from_millis(1);

/// Fills a node of our own and starts it again and again.
pub(crate) async fn run(
    world: &mut World,
    recipients: usize,
    args: &RunArgs,
    sums: &mut Sums,
) -> Result<Restart, LoadError> {
    if world.nodes.is_empty() {
        return Err(LoadError::Usage("restart is of a node of its own, without --target".into()));
    }
    let printer = world.printer.clone();
    printer.progress(&format!("making {recipients} accounts"));
    let senders = world.users(args.senders, |_| 0);
    let recipients = world.users(recipients, |_| 0);
    let began = Instant::now();
    register_all(&senders).await?;
    register_all(&recipients).await?;
    let registered = began.elapsed().as_secs_f64();
    let mailboxes = (senders.len() + recipients.len()) as u64;
    let cast = Cast { senders, recipients };
    let mut filled = Filled { cast, rounds: Vec::new(), witnesses: RefCell::default() };

    printer.progress(&format!("storing {} messages", args.messages));
    let (began, nodes) = (Instant::now(), world.usage().await?);
    filled.store(world, args.messages).await?;
    let stored_per_s = rate(filled.stored(), began.elapsed().as_secs_f64());
    let cpu_us = world.used(nodes).await?.map_or(0, |used| used.cpu_us);
    let fill_cpu_us_per_message = per(cpu_us, filled.stored());
    let filled_rss_mib = mib(resident_kib(&world.pids())?);

    let (mut stopped, mut killed, mut stop_ms) = (Starts::default(), Starts::default(), 0.0);
    for start in 0..args.starts {
        printer.progress("an orderly end, and a start");
        let began = Instant::now();
        world.nodes[0].terminate().await?;
        stop_ms = f64::max(stop_ms, millis(began));
        filled.start(&mut world.nodes[0], 2 * start, args.starts, &mut stopped, sums).await?;
    }
    let (stored, disk_bytes) = (filled.stored(), disk_bytes(world.nodes[0].dir())?);
    for start in 0..args.starts {
        printer.progress("kill -9 under load, and a start");
        filled.kill(world, BEFORE_KILL.min(args.messages / 5)).await?;
        filled.start(&mut world.nodes[0], 2 * start + 1, args.starts, &mut killed, sums).await?;
    }
    Ok(Restart {
        mailboxes,
        stored,
        registered_per_s: rate(mailboxes, registered),
        stored_per_s,
        fill_cpu_us_per_message,
        disk_bytes,
        filled_rss_mib,
        stop_ms,
        stopped,
        killed,
    })
}

/// What the node has been given.
struct Filled {
    cast: Cast,
    rounds: Vec<Rc<Run>>,
    /// Users who have taken their mail.
    witnesses: RefCell<HashSet<usize>>,
}

impl Filled {
    fn stored(&self) -> u64 {
        self.rounds.iter().map(|run| run.counts.accepted.get()).sum()
    }

    fn round(&mut self, world: &World) -> Result<Rc<Run>, LoadError> {
        let first = self.rounds.len() as u32 * ROUND;
        let run = Rc::new(Run::new(world.drawn(), Leaves::Accepted, first)?);
        self.rounds.push(run.clone());
        Ok(run)
    }

    async fn store(&mut self, world: &World, messages: u64) -> Result<(), LoadError> {
        let run = self.round(world)?;
        let templates = templates(&self.cast.recipients, &world.filler)?;
        let mut members = self.cast.send(&templates, &run, self.cast.share(messages)).await?;
        let stored = run.until(|counts| counts.accepted.get() + counts.refused.get() >= messages);
        tokio::select! {
            stored = stored => if !stored {
                return Err(LoadError::Stalled(PATIENCE.as_secs()));
            },
            Some(ended) = members.join_next() => return Err(why(ended)),
        }
        members.shutdown().await;
        match run.why.take() {
            Some(refusal) => Err(LoadError::Node(format!("the node does not take it: {refusal}"))),
            None => Ok(()),
        }
    }

    /// Kills it while mail comes in, once it has accepted so many messages more.
    async fn kill(&mut self, world: &mut World, messages: u64) -> Result<(), LoadError> {
        let run = self.round(world)?;
        let templates = templates(&self.cast.recipients, &world.filler)?;
        let mut members = self.cast.send(&templates, &run, |_| u64::from(ROUND)).await?;
        if !run.until(|counts| counts.accepted.get() >= messages).await {
            return Err(LoadError::Stalled(PATIENCE.as_secs()));
        }
        world.nodes[0].kill();
        // What was said before the end still counts: each session reads until its connection ends.
        while members.join_next().await.is_some() {}
        Ok(())
    }

    /// Starts the node and measures until somebody has mail; then all of that user's mail must come.
    async fn start(
        &self,
        node: &mut Node,
        place: usize,
        starts: usize,
        figures: &mut Starts,
        sums: &mut Sums,
    ) -> Result<(), LoadError> {
        let witness = self.witness(place, 2 * starts);
        let mut expected = self.expected(witness);
        let before = expected.len();
        let began = Instant::now();
        node.launch()?;
        let (ready_ms, (mut session, first, served_ms)) = tokio::try_join!(
            async {
                node.wait_ready().await?;
                Ok::<_, LoadError>(millis(began))
            },
            async {
                let (session, first) = serve(&self.cast.recipients[witness]).await?;
                Ok((session, first, millis(began)))
            }
        )?;
        if let Some(pid) = node.pid() {
            figures.cpu_ms.push(round(Usage::of(&[pid])?.cpu_us as f64 / 1000.0));
            figures.rss_mib.push(mib(resident_kib(&[pid])?));
            figures.peak_mib.push(mib(peak_kib(pid)?));
        }
        figures.ready_ms.push(ready_ms);
        figures.served_ms.push(served_ms);
        expected.remove(&first);
        let run = Run::new(0, Leaves::Accepted, 0)?;
        take_all(&mut session, &mut expected, &run, Duration::ZERO).await?;
        sums.lost += expected.len() as u64;
        let more = 1 + run.counts.delivered.get();
        // Mail of the round that a kill ended may have been taken without that being said.
        sums.duplicated += more.saturating_sub(before as u64 + unsaid(&self.rounds));
        Ok(())
    }

    /// Somebody with mail, another one at each start; as many as there are users with mail.
    fn witness(&self, place: usize, places: usize) -> usize {
        let run = &self.rounds[0];
        let accepted = run.accepted.borrow();
        let (before, from) = accepted.split_at(accepted.len() * place / places);
        let mut users = from.iter().chain(before).map(|id| self.cast.recipient_of(*id, run.first));
        let mut taken = self.witnesses.borrow_mut();
        let witness = users.find(|user| !taken.contains(user)).unwrap_or(0);
        taken.insert(witness);
        witness
    }

    fn expected(&self, recipient: usize) -> HashSet<Id> {
        let mut expected = HashSet::new();
        for run in &self.rounds {
            let accepted = run.accepted.borrow();
            let to = |id: &&Id| self.cast.recipient_of(**id, run.first) == recipient;
            expected.extend(accepted.iter().filter(to));
        }
        expected
    }
}

/// Messages that were sent and of which it is not known whether the node took them.
fn unsaid(rounds: &[Rc<Run>]) -> u64 {
    rounds.iter().map(|run| run.counts.sent.get() - run.counts.accepted.get()).sum()
}

/// Logs in as soon as the node lets one, and waits for the first message.
async fn serve(user: &User) -> Result<(Session, Id), LoadError> {
    let mut session = loop {
        match user.login().await {
            Ok(session) => break session,
            // Not listening yet, or listening and not answering.
            Err(LoadError::Io(_) | LoadError::Closed | LoadError::Stalled(_)) => sleep(RETRY).await,
            Err(error) => return Err(error),
        }
    };
    session.grant()?;
    loop {
        session.turn().await?;
        while let Some(frame) = session.next_frame()? {
            if let Frame::Push(push) = frame {
                session.took_push(&push);
                if let Some((id, _)) = stamp_of(&push.body) {
                    return Ok((session, id));
                }
            }
        }
    }
}

fn millis(began: Instant) -> f64 {
    round(began.elapsed().as_secs_f64() * 1000.0)
}

fn mib(kib: u64) -> f64 {
    round(kib as f64 / 1024.0)
}
