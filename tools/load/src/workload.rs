//! The four workloads, made of three phases.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use postroad_cli::{Printer, rfc3339_secs};

use crate::args::{RunArgs, Workload};
use crate::error::LoadError;
use crate::offline::{self, Cast};
use crate::report::{Report, Sums};
use crate::trace::Counter;
use crate::user::{User, register_all};
use crate::world::World;
use crate::{idle, lone, online, rest, restart, roads};

/// Users of W1.
pub(crate) const IDLE: usize = 5000;
/// Users of W2 and W4.
const ONLINE: usize = 200;
/// Recipients of W3.
const AWAY: usize = 1000;
/// Messages a second where each is alone.
const LONE_RATE: u64 = 20;
/// Messages that nodes have accepted when they are killed, at most.
const BEFORE_KILL: u64 = 20_000;

/// Runs a workload.
pub(crate) async fn measure(args: &RunArgs, printer: &Printer) -> Result<Report, LoadError> {
    let drawn = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_micros() as u64);
    let seed = args.seed.unwrap_or_else(drawn);
    let world = World::new(args, seed, printer.clone()).await?;
    let has_mail = !matches!(args.workload, Workload::W1 | Workload::Rest);
    let size = has_mail.then_some(args.size);
    let has_pairs = matches!(args.workload, Workload::W2 | Workload::W4);
    let report = Report {
        workload: args.workload.name(),
        seed,
        began: rfc3339_secs(postroad_cli::now_ms() / 1000),
        load_before: load(),
        syncs_counted_by: world.counter.map(Counter::name),
        size,
        window: has_pairs.then_some(args.window),
        ..Report::default()
    };
    Measuring { world, args, report }.measure().await
}

struct Measuring<'a> {
    world: World,
    args: &'a RunArgs,
    report: Report,
}

impl Measuring<'_> {
    async fn measure(mut self) -> Result<Report, LoadError> {
        let mut sums = Sums::default();
        match self.args.workload {
            Workload::W1 => {
                self.idle().await?;
                return Ok(self.report);
            }
            Workload::W2 => {
                let users = self.online(&mut sums).await?;
                self.kill(&pairs(users), &mut sums).await?;
            }
            Workload::W3 => {
                let cast = self.offline(self.args.users.unwrap_or(AWAY), &mut sums).await?;
                self.kill(&cast, &mut sums).await?;
            }
            Workload::W4 => {
                self.world.printer.progress("waiting until the nodes know each other");
                roads::open(&mut self.world).await?;
                self.online(&mut sums).await?;
                let cast = self.offline(self.args.recipients, &mut sums).await?;
                self.kill(&cast, &mut sums).await?;
            }
            Workload::Lone => {
                self.world.printer.progress("waiting until the nodes know each other");
                roads::open(&mut self.world).await?;
                self.world.printer.progress("one message at a time");
                let (duration, rate) = (self.args.duration, self.args.rate.unwrap_or(LONE_RATE));
                self.report.lone =
                    Some(lone::run(&mut self.world, duration, rate, &mut sums).await?);
            }
            Workload::Rest => {
                self.world.printer.progress("watching a node at rest");
                self.report.rest = Some(rest::run(&self.world, self.args.duration).await?);
                return Ok(self.report);
            }
            Workload::Restart => {
                let recipients = self.args.users.unwrap_or(AWAY);
                self.report.restart =
                    Some(restart::run(&mut self.world, recipients, self.args, &mut sums).await?);
                self.report.users = self.world.drawn();
            }
        }
        self.report.sums = Some(sums);
        Ok(self.report)
    }

    async fn idle(&mut self) -> Result<(), LoadError> {
        let users = self.users(self.args.users.unwrap_or(IDLE), |_| 0).await?;
        self.report.users = users.len();
        self.world.printer.progress("logging in");
        self.report.idle = Some(idle::run(&mut self.world, &users).await?);
        Ok(())
    }

    async fn online(&mut self, sums: &mut Sums) -> Result<Vec<User>, LoadError> {
        let nodes = self.world.places.len();
        let count = self.args.users.unwrap_or(ONLINE) / 2 * 2;
        // The two of a pair follow each other: with two nodes each is at another.
        let users = self.users(count, |user| user % nodes).await?;
        self.report.users = users.len();
        self.world.printer.progress("pairs write to each other");
        self.report.online = Some(online::run(&self.world, &users, self.args, sums).await?);
        Ok(users)
    }

    async fn offline(&mut self, recipients: usize, sums: &mut Sums) -> Result<Cast, LoadError> {
        let last = self.world.places.len() - 1;
        let senders = self.users(self.args.senders, |_| 0).await?;
        let recipients = self.users(recipients, |_| last).await?;
        let cast = Cast { senders, recipients };
        self.report.users += cast.senders.len() + cast.recipients.len();
        self.world.printer.progress("mail for users who are away");
        let messages = self.args.messages;
        self.report.offline = Some(offline::run(&self.world, &cast, messages, sums).await?);
        Ok(cast)
    }

    async fn kill(&mut self, cast: &Cast, sums: &mut Sums) -> Result<(), LoadError> {
        self.world.printer.progress("kill -9, and what was accepted");
        let messages = BEFORE_KILL.min(self.args.messages / 5);
        offline::kill(&mut self.world, cast, messages, sums).await
    }

    /// So many users with accounts.
    async fn users(
        &mut self,
        count: usize,
        home: impl Fn(usize) -> usize,
    ) -> Result<Vec<User>, LoadError> {
        self.world.printer.progress(&format!("making {count} accounts"));
        let users = self.world.users(count, home);
        register_all(&users).await?;
        Ok(users)
    }
}

/// The load of the machine in the last minute.
fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Of each pair one writes and the other is away.
fn pairs(users: Vec<User>) -> Cast {
    let (senders, recipients) = users.into_iter().partition(|user| user.index.is_multiple_of(2));
    Cast { senders, recipients }
}
