//! Typing and presence on their way: neither kept nor answered. `spec/ephemeral.md`.
//!
//! What does not get through is dropped without a word, so nothing here may cost more than a lookup
//! or hold more than a few frames.

use postroad_proto::frame::{EphemeralPush, EphemeralSend};
use postroad_proto::ids::{AccountId, Millis, NodeId};
use postroad_proto::limits::{EPHEMERAL_SECONDS, MAX_EPHEMERAL};
use serde_bytes::ByteArray;

use crate::bucket::Bucket;
use crate::changes::MailboxId;
use crate::core::{Core, Output, SessionId};
use crate::people::tokens::Asker;
use crate::roads::Command;

/// How many an hour one account may send, as many may come under one token, and how many at once.
pub(crate) const PER_HOUR: u64 = 3_600;
pub(crate) const AT_ONCE: u64 = 20;
/// How many times as many another node may bring.
pub(crate) const PER_NODE: u64 = 100;
/// Held for a node to which there is no stream yet.
const MAX_HELD: usize = 64;

impl Core {
    /// A device says something to somebody's devices.
    pub(crate) fn on_ephemeral(&mut self, now: Millis, sender: AccountId, said: EphemeralSend) {
        let new = || Bucket::full(AT_ONCE, now);
        let bucket = self.rates_of(sender).ephemerals.get_or_insert_with(new);
        if said.sealed.len() > MAX_EPHEMERAL || bucket.take(PER_HOUR, AT_ONCE, now).is_err() {
            return;
        }
        match said.node == self.node {
            true => self.push_ephemeral(now, said),
            false => self.forward_ephemeral(now, sender, said),
        }
    }

    /// Another node brings what a user of its says.
    pub(crate) fn bring_ephemeral(&mut self, now: Millis, origin: NodeId, said: EphemeralSend) {
        let bucket = &mut self.origin(now, origin).ephemerals;
        let taken = bucket.take(PER_HOUR * PER_NODE, AT_ONCE * PER_NODE, now);
        if taken.is_ok() && said.sealed.len() <= MAX_EPHEMERAL && said.node == self.node {
            self.push_ephemeral(now, said);
        }
    }

    fn push_ephemeral(&mut self, now: Millis, said: EphemeralSend) {
        let account = said.account;
        let listening = self.listening(&account);
        if listening.is_empty() {
            return;
        }
        let hash = said.token.hash();
        let Some(label) = self.token(now, &account, &hash).map(|entry| entry.label) else { return };
        let buckets = &mut self.rates_of(account).ephemerals_by_token;
        let bucket = buckets.entry(hash).or_insert_with(|| Bucket::full(AT_ONCE, now));
        if bucket.take(PER_HOUR, AT_ONCE, now).is_err() {
            return;
        }
        let push = EphemeralPush { label: ByteArray::new(label), sealed: said.sealed };
        // It promises nothing durable, so it does not wait for a commit.
        let frames = listening
            .into_iter()
            .map(|session| Output::Frame { session, frame: push.clone().into() });
        self.outputs.extend(frames);
    }

    /// Sessions of an account that take what comes.
    fn listening(&self, account: &AccountId) -> Vec<SessionId> {
        let Some(row) = self.tables.accounts.get(account) else { return Vec::new() };
        let mailboxes = row.devices.numbers().map(|device| MailboxId { account: *account, device });
        let sessions = mailboxes.filter_map(|mailbox| self.online.get(&mailbox).copied());
        // Who leaves mail waiting does not read.
        let has_credit = |id: &SessionId| {
            self.sessions
                .get(id)
                .is_some_and(|session| session.credit_messages > 0 && session.credit_bytes > 0)
        };
        sessions.filter(has_credit).collect()
    }

    fn forward_ephemeral(&mut self, now: Millis, sender: AccountId, said: EphemeralSend) {
        let (node, steady) = (said.node, self.steady);
        let mut is_opening = false;
        if let Some(outbox) = self.outboxes.get_mut(&node) {
            if let Some(link) = outbox.link.as_mut().filter(|link| link.opened) {
                link.used = steady;
                let link = link.id;
                return self.command(Command::Frame { link, frame: said.into() });
            }
            if outbox.attempts.next > steady {
                return;
            }
            is_opening = outbox.opening.is_some() || outbox.link.is_some();
        }
        // One is opened only to somebody who may be there, and counts like a question.
        let may_open = is_opening
            || (self.has_way(&node) && self.take_lookup(now, Asker::Account(sender)).is_ok());
        if !may_open {
            return;
        }
        let held = &mut self.outbox_mut(node).ephemerals;
        held.retain(|(at, _)| at + EPHEMERAL_SECONDS * 1000 > steady);
        if held.len() == MAX_HELD {
            held.pop_front();
        }
        held.push_back((steady, said));
        self.want_link(node);
    }

    /// There is a stream to `node`: what is still worth saying goes out.
    pub(crate) fn release_ephemerals(&mut self, node: NodeId) {
        let steady = self.steady;
        let outbox = self.outbox_mut(node);
        let held = core::mem::take(&mut outbox.ephemerals);
        let Some(link) = outbox.link.as_ref().map(|link| link.id) else { return };
        for (at, said) in held {
            if at + EPHEMERAL_SECONDS * 1000 > steady {
                self.command(Command::Frame { link, frame: said.into() });
            }
        }
    }
}
