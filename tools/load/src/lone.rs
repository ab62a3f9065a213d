//! One message at a time between two nodes that have nothing else to do.

use std::time::Duration;

use hdrhistogram::Histogram;
use postroad_proto::frame::Frame;
use tokio::time::{Instant, sleep_until, timeout};

use crate::error::LoadError;
use crate::message::{Id, Template, stamp_of};
use crate::report::{Lone, Sums, round};
use crate::run::{PATIENCE, histogram};
use crate::session::Session;
use crate::user::{User, register_all};
use crate::world::World;

/// Sends one message after the other, `rate` a second, and measures how long each takes to be
/// accepted and to arrive.
pub(crate) async fn run(
    world: &mut World,
    duration: Duration,
    rate: u64,
    sums: &mut Sums,
) -> Result<Lone, LoadError> {
    let users = world.users(2, |user| user);
    register_all(&users).await?;
    let mut pair = Pair::new(&users, &world.filler).await?;
    let interval = Duration::from_secs(1) / u32::try_from(rate.max(1)).unwrap_or(u32::MAX);
    let count = (duration.as_nanos() / interval.as_nanos().max(1)).max(1) as u32;
    let (mut accepted, mut delivered) = (histogram()?, histogram()?);
    for number in 0..count {
        pair.rest(Instant::now() + interval).await?;
        let took = timeout(PATIENCE, pair.send(number))
            .await
            .map_err(|_| LoadError::Stalled(PATIENCE.as_secs()))??;
        accepted.saturating_record(took.accepted.as_micros() as u64);
        delivered.saturating_record(took.delivered.as_micros() as u64);
    }
    sums.duplicated += pair.repeated;
    let at = |histogram: &Histogram<u64>, quantile| {
        round(histogram.value_at_quantile(quantile) as f64 / 1000.0)
    };
    Ok(Lone {
        messages: u64::from(count),
        lone_p50_ms: at(&delivered, 0.5),
        lone_p99_ms: at(&delivered, 0.99),
        lone_max_ms: at(&delivered, 1.0),
        accepted_p50_ms: at(&accepted, 0.5),
        accepted_p99_ms: at(&accepted, 0.99),
        accepted_max_ms: at(&accepted, 1.0),
    })
}

/// How long one message took.
struct Took {
    accepted: Duration,
    delivered: Duration,
}

struct Pair {
    sender: Session,
    index: u32,
    recipient: Session,
    template: Template,
    repeated: u64,
}

/// What has come in.
enum Came {
    Accepted,
    Mail(Id),
}

impl Pair {
    async fn new(users: &[User], filler: &[u8]) -> Result<Self, LoadError> {
        let (mut sender, mut recipient) = (users[0].login().await?, users[1].login().await?);
        sender.grant()?;
        recipient.grant()?;
        let template = Template::new(users[1].recipient(), filler)?;
        Ok(Self { sender, index: users[0].index, recipient, template, repeated: 0 })
    }

    async fn send(&mut self, number: u32) -> Result<Took, LoadError> {
        let (began, id) = (Instant::now(), Id::new(self.index, number));
        self.template.write(self.index, number, 0, &mut self.sender.frames);
        let (mut accepted, mut delivered) = (None, None);
        loop {
            if let (Some(accepted), Some(delivered)) = (accepted, delivered) {
                return Ok(Took { accepted, delivered });
            }
            for came in self.turn().await? {
                match came {
                    Came::Accepted => accepted = Some(began.elapsed()),
                    Came::Mail(came) if came == id && delivered.is_none() => {
                        delivered = Some(began.elapsed());
                    }
                    Came::Mail(_) => self.repeated += 1,
                }
            }
        }
    }

    /// Acks and takes receipts until then.
    async fn rest(&mut self, until: Instant) -> Result<(), LoadError> {
        loop {
            let came = tokio::select! {
                came = self.turn() => came?,
                () = sleep_until(until) => return Ok(()),
            };
            let mail = came.iter().filter(|came| matches!(came, Came::Mail(_)));
            self.repeated += mail.count() as u64;
        }
    }

    /// Sends what is queued at both ends and takes what comes. Can be dropped at any time.
    async fn turn(&mut self) -> Result<Vec<Came>, LoadError> {
        tokio::select! {
            came = self.recipient.turn() => came?,
            came = self.sender.turn() => came?,
        }
        let mut came = Vec::new();
        for session in [&mut self.recipient, &mut self.sender] {
            while let Some(frame) = session.next_frame()? {
                match frame {
                    Frame::Push(push) => {
                        session.took_push(&push);
                        came.extend(stamp_of(&push.body).map(|(id, _)| Came::Mail(id)));
                    }
                    Frame::Accepted(_) => came.push(Came::Accepted),
                    Frame::Notice(notice) => session.took(notice.seq, 0),
                    Frame::Refused(refused) => {
                        let (what, code, detail) = ("a message", refused.code, refused.detail);
                        return Err(LoadError::Refused { what, code, detail });
                    }
                    _ => {}
                }
            }
            session.settle()?;
        }
        Ok(came)
    }
}
