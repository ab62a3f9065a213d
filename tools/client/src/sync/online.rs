//! A connection on which hello and welcome were said: requests and their answers, envelopes in
//! flight, and the credit that bounds what the node may push.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use postroad_proto::PROTOCOL_VERSIONS;
use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{
    Ack, Done, Frame, Hello, Locate, NodeLimits, Ping, Send, Waiting, Welcome,
};
use postroad_proto::ids::{AccountId, NodeId, ParcelId};
use postroad_proto::limits::{MAX_EPHEMERAL, MAX_FRAME, MAX_LIST};
use postroad_proto::receipt::ReceiptRoot;
use postroad_proto::record::NodeRecord;
use postroad_proto::signed::Signed;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::credit::Left;
use super::keys::Question;
use super::ranges::to_ranges;
use crate::clock;
use crate::connection::{Connection, Dial};
use crate::error::{ConnectionError, Error, Result};
use crate::identity::Identity;
use crate::outbox::Offer;

/// How long an answer may take before the connection counts as dead.
const ANSWER: Duration = Duration::from_secs(10);
/// How long it may take when the node has to ask another one: that one's time, and a little more.
const ANSWER_OF_OTHERS: Duration = Duration::from_secs(12);
/// Questions about contacts that may be unanswered.
const MAX_QUESTIONS: usize = 64;
/// How long it may take with all that comes before it, as much as the credit lets through on a slow
/// line: a home that says something else again and again must not bind us for ever.
const ANSWER_AT_LAST: Duration = Duration::from_secs(60);
/// Frames that may be put aside: all items that there is credit for, and an answer to all that may
/// be unanswered, with room to spare.
const MAX_BACKLOG: usize = 1024;

/// Signs of typing and presence among them.
const MAX_SIGNS: usize = 64;

/// A connection in use.
pub(crate) struct Online {
    connection: Connection,
    node: NodeId,
    generation: u64,
    limits: NodeLimits,
    /// The last number used for a request or an envelope.
    last: u64,
    /// Frames that came while an answer was awaited; bounded by credit and window.
    backlog: VecDeque<Frame>,
    /// Envelopes that were not answered yet: number and row.
    in_flight: BTreeMap<u64, i64>,
    /// Questions about contacts that were not answered yet. Nobody waits for one of them alone: a
    /// node that is away must not hold up what others answer.
    asked: BTreeMap<u64, Asked>,
    credit: Left,
    /// When something was answered last, or asked with nothing else outstanding.
    answered_at: Instant,
    /// How far this device's clock is ahead of the node's, milliseconds.
    ahead: i64,
}

struct Asked {
    question: Question,
    at: Instant,
    /// It was noted that there is no answer.
    is_overdue: bool,
}

impl Asked {
    fn patient_until(&self) -> Instant {
        self.at + self.question.patience
    }
}

/// Whose answers are outstanding.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    Nobody,
    /// The home's own.
    Home,
    /// Other nodes' alone: worth waiting for until then.
    Others(Instant),
}

/// Whether a device says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// As one of its account's devices, if it is registered.
    Device,
    /// As somebody who is about to register: the home has lost the account.
    Stranger,
}

impl Online {
    /// Connects to the home and says hello.
    pub(crate) async fn open(
        own: &Identity,
        who: As,
        quoted: Vec<Signed<ReceiptRoot>>,
        within: Duration,
    ) -> Result<(Self, NodeRecord, Welcome)> {
        let is_device = own.registered && who == As::Device;
        let dial = Dial {
            network: &own.network,
            node: Some(&own.home.node),
            addresses: &own.home.addresses,
            secret: own.noise(),
            within,
        };
        let (mut connection, record) = dial.connect().await.map_err(|error| match error {
            ConnectionError::Unreachable { node, why } => {
                let name = if own.home.name.is_empty() { node } else { own.home.name.clone() };
                ConnectionError::Unreachable { node: name, why }
            }
            other => other,
        })?;
        let hello = Hello {
            versions: PROTOCOL_VERSIONS,
            account: is_device.then_some(own.account),
            device: own.device,
            devices: is_device.then(|| own.devices.hash()),
            cursor: own.cursor,
            quoted,
        };
        connection.send(hello).await?;
        let welcome = match timed(within.max(ANSWER / 4), connection.recv()).await? {
            Frame::Welcome(welcome) => *welcome,
            Frame::Done(done) if is_device && done.code == Some(ErrorCode::Denied) => {
                return Err(Error::NoAccount);
            }
            Frame::Done(done) => return Err(refused("this device", &done)),
            other => return Err(protocol(&other)),
        };
        if is_device && !welcome.registered {
            return Err(Error::NoAccount);
        }
        let online = Self {
            connection,
            node: own.home.node,
            generation: welcome.generation,
            limits: welcome.limits.clone(),
            last: 0,
            backlog: VecDeque::new(),
            in_flight: BTreeMap::new(),
            asked: BTreeMap::new(),
            credit: Left::default(),
            answered_at: Instant::now(),
            ahead: clock::now().cast_signed().wrapping_sub(welcome.time.cast_signed()),
        };
        Ok((online, record, welcome))
    }

    /// How far this device's clock is ahead of the node's, milliseconds, as it was at the beginning.
    pub(crate) fn ahead(&self) -> i64 {
        self.ahead
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Asks, and waits for the answer; mail that comes meanwhile is put aside.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        frame: impl FnOnce(u64) -> Frame,
    ) -> Result<Option<T>> {
        let done = self.exchange(what, ANSWER, frame, Some).await?;
        decoded(done)
    }

    /// As [`Self::ask`], when the node has to ask another one.
    pub(crate) async fn ask_others<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        frame: impl FnOnce(u64) -> Frame,
    ) -> Result<Option<T>> {
        let done = self.exchange(what, ANSWER_OF_OTHERS, frame, Some).await?;
        decoded(done)
    }

    /// Asks where parcels wait that the home has accepted.
    pub(crate) async fn locate(&mut self, parcels: &[ParcelId]) -> Result<Vec<Waiting>> {
        let mut found = Vec::new();
        let take = |frame| match frame {
            Frame::Waiting(waiting)
                if parcels.contains(&waiting.parcel) && found.len() < parcels.len() =>
            {
                found.push(*waiting);
                None
            }
            other => Some(other),
        };
        let ask = |request| Locate { request, parcels: parcels.to_vec() }.into();
        self.exchange("where messages wait", ANSWER, ask, take).await?;
        Ok(found)
    }

    /// Asks, and gives the answer as it came, be it a refusal.
    pub(crate) async fn request(&mut self, frame: impl FnOnce(u64) -> Frame) -> Result<Done> {
        self.converse(ANSWER, frame, Some).await
    }

    /// Asks for something that has no result.
    pub(crate) async fn tell(
        &mut self,
        what: &'static str,
        frame: impl FnOnce(u64) -> Frame,
    ) -> Result<()> {
        self.exchange(what, ANSWER, frame, Some).await.map(drop)
    }

    /// Sends a request and waits for its answer. Of what comes meanwhile, that which `sift` gives
    /// back is put aside.
    async fn exchange(
        &mut self,
        what: &'static str,
        within: Duration,
        frame: impl FnOnce(u64) -> Frame,
        sift: impl FnMut(Frame) -> Option<Frame>,
    ) -> Result<Done> {
        let done = self.converse(within, frame, sift).await?;
        if done.code.is_some() { Err(refused(what, &done)) } else { Ok(done) }
    }

    async fn converse(
        &mut self,
        within: Duration,
        frame: impl FnOnce(u64) -> Frame,
        mut sift: impl FnMut(Frame) -> Option<Frame>,
    ) -> Result<Done> {
        self.last += 1;
        let request = self.last;
        self.connection.send(frame(request)).await?;
        let begun = Instant::now();
        loop {
            match timed(within.min(left(begun)), self.connection.recv()).await? {
                // It hangs up, so that the account is looked for where it is.
                Frame::Done(done) if done.request == 0 && done.code == Some(ErrorCode::Moved) => {
                    return Err(ConnectionError::Moved.into());
                }
                Frame::Done(done) if done.request == request || done.request == 0 => {
                    return Ok(*done);
                }
                other => {
                    if let Some(other) = sift(other) {
                        self.put_aside(other)?;
                    }
                }
            }
        }
    }

    /// Keeps a frame until it is taken.
    fn put_aside(&mut self, frame: Frame) -> Result<()> {
        // Neither answered nor missed: they take nobody else's room.
        if let Frame::EphemeralPush(push) = &frame {
            let waiting = self.backlog.iter().filter(|frame| is_sign(frame)).count();
            if waiting < MAX_SIGNS && push.sealed.len() <= MAX_EPHEMERAL {
                self.backlog.push_back(frame);
            }
            return Ok(());
        }
        if self.backlog.len() >= MAX_BACKLOG + MAX_SIGNS {
            let why = "the node says too much before it answers";
            return Err(ConnectionError::Protocol(why.to_owned()).into());
        }
        self.credit.spend(&frame)?;
        self.backlog.push_back(frame);
        Ok(())
    }

    /// Asks about a contact. The answer comes with [`Self::take`], whenever it comes.
    pub(crate) async fn question(&mut self, question: Question) -> Result<()> {
        self.last += 1;
        self.begin();
        let frame = question.frame(self.last);
        self.asked.insert(self.last, Asked { question, at: Instant::now(), is_overdue: false });
        Ok(self.connection.send(frame).await?)
    }

    /// Something is about to be outstanding.
    fn begin(&mut self) {
        if self.asked.is_empty() && self.in_flight.is_empty() {
            self.answered_at = Instant::now();
        }
    }

    /// Whether a question about `contact` may be asked now: there is no other, and room.
    pub(crate) fn may_ask(&self, contact: &AccountId) -> bool {
        self.asked.len() < MAX_QUESTIONS
            && !self.asked.values().any(|asked| asked.question.contact == *contact)
    }

    /// The question that is answered now.
    pub(crate) fn asked(&mut self, request: u64) -> Option<Question> {
        let asked = self.asked.remove(&request)?;
        self.answered_at = Instant::now();
        Some(asked.question)
    }

    /// Whose answers are outstanding.
    pub(crate) fn awaited(&self) -> Awaited {
        let at_home = |asked: &Asked| asked.question.node == self.node;
        if !self.in_flight.is_empty() || self.asked.values().any(at_home) {
            return Awaited::Home;
        }
        let ends = self.asked.values().map(Asked::patient_until);
        ends.max().map_or(Awaited::Nobody, Awaited::Others)
    }

    /// Contacts and nodes of questions that should have been answered by now, each once. Those that
    /// are older than any answer takes are forgotten.
    pub(crate) fn overdue(&mut self) -> Vec<(AccountId, NodeId)> {
        self.asked.retain(|_, asked| asked.at.elapsed() < ANSWER_OF_OTHERS);
        let late = self.asked.values_mut();
        let late =
            late.filter(|asked| !asked.is_overdue && asked.patient_until() <= Instant::now());
        late.map(|asked| {
            asked.is_overdue = true;
            (asked.question.contact, asked.question.node)
        })
        .collect()
    }

    /// Gives credit and waits until all that it lets through has come.
    pub(crate) async fn ping(&mut self) -> Result<()> {
        self.give_credit().await?;
        self.tell("a ping", |request| Ping { request }.into()).await
    }

    /// Renews the credit when half of it is used.
    async fn give_credit(&mut self) -> Result<()> {
        match self.credit.renew() {
            Some(more) => Ok(self.connection.send(more).await?),
            None => Ok(()),
        }
    }

    /// Rows of the envelopes that were not answered yet.
    pub(crate) fn in_flight(&self) -> Vec<i64> {
        self.in_flight.values().copied().collect()
    }

    /// The row of an envelope that is answered now.
    pub(crate) fn answered(&mut self, number: u64) -> Option<i64> {
        let row = self.in_flight.remove(&number)?;
        self.answered_at = Instant::now();
        Some(row)
    }

    /// Offers envelopes.
    pub(crate) async fn offer(&mut self, offers: Vec<Offer>) -> Result<()> {
        let room = usize::try_from(self.limits.in_flight).unwrap_or(usize::MAX).max(1);
        self.begin();
        let mut frames = Vec::new();
        for offer in offers {
            if self.in_flight.len() >= room {
                break;
            }
            self.last += 1;
            self.in_flight.insert(self.last, offer.row);
            frames.push(Send { number: self.last, envelope: offer.envelope }.into());
        }
        Ok(self.connection.send_all(frames).await?)
    }

    /// Says what nobody answers.
    pub(crate) async fn say(&mut self, frames: Vec<impl Into<Frame>>) -> Result<()> {
        Ok(self.connection.send_all(frames.into_iter().map(Into::into)).await?)
    }

    /// Waits for something to come; the connection counts as dead when nothing does, or never an
    /// answer.
    pub(crate) async fn wait(&mut self) -> Result<()> {
        timed(ANSWER.min(left(self.answered_at)), self.idle()).await
    }

    /// Waits for something to come until then. False when nothing did.
    pub(crate) async fn wait_until(&mut self, until: Instant) -> Result<bool> {
        let left = until.saturating_duration_since(Instant::now());
        timeout(left, self.idle()).await.map_or(Ok(false), |came| came.map(|()| true))
    }

    /// Waits until something comes. May be dropped meanwhile.
    pub(crate) async fn idle(&mut self) -> Result<()> {
        if self.backlog.is_empty() {
            let frame = self.connection.recv().await?;
            self.put_aside(frame)?;
        }
        Ok(())
    }

    /// Whether what has come says nothing but what contacts do now.
    pub(crate) fn has_only_signs(&self) -> bool {
        !self.backlog.is_empty() && self.backlog.iter().all(is_sign)
    }

    /// All frames that have come, in order.
    pub(crate) fn take(&mut self) -> Result<Vec<Frame>> {
        while self.backlog.len() < MAX_BACKLOG
            && let Some(frame) = self.connection.buffered()?
        {
            self.put_aside(frame)?;
        }
        Ok(self.backlog.drain(..).collect())
    }

    /// Acks mailbox items that are in the database, and gives credit for more.
    pub(crate) async fn ack(&mut self, mut items: Vec<u64>) -> Result<()> {
        items.sort_unstable();
        for ranges in to_ranges(&items).chunks(MAX_LIST) {
            let ack = Ack { generation: self.generation, ranges: ranges.to_vec() };
            self.connection.send(ack).await?;
        }
        self.give_credit().await
    }
}

fn is_sign(frame: &Frame) -> bool {
    matches!(frame, Frame::EphemeralPush(_))
}

/// What is left of the time in which something is to be answered.
fn left(since: Instant) -> Duration {
    ANSWER_AT_LAST.saturating_sub(since.elapsed())
}

async fn timed<T, E: From<ConnectionError>>(
    within: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(within, work).await.map_err(|_| ConnectionError::Timeout)?
}

fn decoded<T: DeserializeOwned>(done: Done) -> Result<Option<T>> {
    let result = done.result.map(|bytes| codec::decode(&bytes, MAX_FRAME)).transpose();
    Ok(result.map_err(|e| ConnectionError::Protocol(e.to_string()))?)
}

/// The error that a refusal is.
pub(crate) fn refused(what: &'static str, done: &Done) -> Error {
    Error::Refused {
        what,
        code: done.code.unwrap_or(ErrorCode::Malformed),
        detail: done.detail.clone(),
        retry_after: done.retry_after,
    }
}

fn protocol(frame: &Frame) -> Error {
    ConnectionError::Protocol(format!("{} instead of Welcome", frame.name())).into()
}
