//! Questions between nodes: on behalf of users, and about the table of nodes.

use std::collections::BTreeMap;

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{Done, Frame};
use postroad_proto::ids::{AccountId, Millis, NodeId};
use postroad_proto::limits::MAX_FRAME;

use super::compare::Step;
use super::{AskId, AskedId, Command};
use crate::core::{Core, SessionId};
use crate::people::accounts::malformed;
use crate::people::tokens::Asker;
use crate::reply::{DONE, Refusal, cut, done};
use crate::timers::Timer;

/// Longer than whoever holds the connections waits: only what was lost on the way ends here.
const PATIENCE: Millis = 15_000;
/// Questions for users that may be unanswered, all together.
const MAX_WAITING: usize = 4096;
/// Bytes of an answer: with what goes around it, it fits a frame whatever its number.
const MAX_RESULT: usize = MAX_FRAME - 1024;
/// When to ask again for what another node did not answer, seconds.
const RETRY: u64 = 30;

/// Who awaits an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Waiting {
    /// A user.
    User { session: SessionId, request: u64, node: NodeId },
    /// The comparison with a node.
    Compare { node: NodeId, step: Step },
}

/// Questions that were not answered yet, in the order in which they were asked.
#[derive(Default)]
pub(crate) struct Asks {
    waiting: BTreeMap<AskId, (Waiting, Millis)>,
    last: AskId,
}

impl Core {
    /// Asks another node on behalf of the user at `session`. The answer comes later.
    pub(crate) fn relay(
        &mut self,
        now: Millis,
        (session, asker): (SessionId, AccountId),
        node: NodeId,
        request: u64,
        frame: Frame,
    ) {
        if let Err(refusal) = self.may_relay(now, asker, &node) {
            return self.answer(session, request, Err(refusal));
        }
        self.ask(node, Waiting::User { session, request, node }, frame);
    }

    fn may_relay(&mut self, now: Millis, asker: AccountId, node: &NodeId) -> Result<(), Refusal> {
        self.check_route(node)?;
        if self.asks.waiting.len() >= MAX_WAITING {
            let text = "this node waits for many others already";
            return Err(Refusal::after(ErrorCode::Busy, RETRY, text));
        }
        self.take_lookup(now, Asker::Account(asker))
    }

    /// Whether there is a way to `node` at all.
    pub(crate) fn check_route(&self, node: &NodeId) -> Result<(), Refusal> {
        match self.has_way(node) {
            true => Ok(()),
            false => Err(Refusal::after(ErrorCode::Unroutable, 60, self.no_way(node))),
        }
    }

    pub(crate) fn ask(&mut self, node: NodeId, waiting: Waiting, frame: Frame) {
        self.asks.last += 1;
        let id = self.asks.last;
        let until = self.steady + PATIENCE;
        self.asks.waiting.insert(id, (waiting, until));
        self.timers.set_by(Timer::Asks, until);
        let addresses = self.addresses(&node);
        self.command(Command::Ask { id, node, addresses, frame });
    }

    pub(crate) fn on_answered(&mut self, now: Millis, id: AskId, answer: Result<Frame, String>) {
        let Some((waiting, _)) = self.asks.waiting.remove(&id) else { return };
        let answer = match answer {
            Ok(Frame::Done(done)) if done.result.as_ref().map_or(0, |r| r.len()) > MAX_RESULT => {
                Err("it answers too much".into())
            }
            Ok(Frame::Done(done)) => Ok(*done),
            Ok(other) => Err(format!("it answered with {}", other.name())),
            Err(reason) => Err(reason),
        };
        self.pass_on(now, waiting, answer);
    }

    fn pass_on(&mut self, now: Millis, waiting: Waiting, answer: Result<Done, String>) {
        match waiting {
            Waiting::User { session, request, node } => {
                if !self.sessions.contains_key(&session) {
                    return;
                }
                let done = answer.map_or_else(
                    |reason| {
                        let text = format!("{} does not answer: {reason}", self.node_name(&node));
                        done(request, Err(Refusal::after(ErrorCode::Unroutable, RETRY, text)))
                    },
                    |done| Done { request, detail: cut(done.detail), ..done },
                );
                self.group.release(session, done);
            }
            Waiting::Compare { node, step } => self.on_compared(now, node, step, answer.ok()),
        }
    }

    /// Gives up on what was not answered in time.
    pub(crate) fn drop_overdue_asks(&mut self, now: Millis) {
        while let Some((id, (waiting, until))) = self.asks.waiting.first_key_value() {
            let (id, waiting, until) = (*id, *waiting, *until);
            if until > self.steady {
                self.timers.set(Timer::Asks, until);
                return;
            }
            self.asks.waiting.remove(&id);
            self.pass_on(now, waiting, Err("no answer in time".into()));
        }
    }

    /// Another node asks.
    pub(crate) fn on_asked(&mut self, now: Millis, id: AskedId, node: NodeId, frame: Frame) {
        let asker = Asker::Node(node);
        let (request, answer) = match frame {
            Frame::Ping(ping) => (ping.request, DONE),
            Frame::NodesDigest(ask) => (
                ask.request,
                self.take_question(now, node).and_then(|()| self.nodes_digest(now, node, *ask)),
            ),
            Frame::NodesList(ask) => (
                ask.request,
                self.take_question(now, node).and_then(|()| self.nodes_list(now, &ask)),
            ),
            Frame::NodesGet(ask) => (
                ask.request,
                self.take_question(now, node).and_then(|()| self.nodes_get(now, &ask)),
            ),
            Frame::RecordsGet(ask) => (ask.request, self.records_get(now, asker, &ask)),
            Frame::PrekeysClaim(ask) => (ask.request, self.prekeys_claim(now, asker, &ask)),
            Frame::TokensRedeem(ask) => (ask.request, self.tokens_redeem(now, asker, &ask)),
            other => (0, Err(malformed(format!("{} is no question of a node", other.name())))),
        };
        let frame = done(request, answer).into();
        self.command(Command::Answer { id, frame });
        self.contact(node);
    }
}
