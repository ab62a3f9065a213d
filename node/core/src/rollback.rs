//! Amnesia: how a node finds out that its data was rolled back, and what it does then. Promise P10.
//!
//! Every receipt names the run and the commit that made it true. Whoever holds one can show it; a
//! root that this node signed, of a run or commit that it does not remember, is the proof.

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::Notice;
use postroad_proto::ids::{AccountId, Millis, NodeId};
use postroad_proto::receipt::ReceiptRoot;
use postroad_proto::signed::{Signable, Signed};

use crate::core::{Core, SessionId};
use crate::reply::Refusal;
use crate::roads::Command;
use crate::roads::news::News;
use crate::state::{NodeRow, RunRow};

/// New generations of another node per hour of which every connected device is told: each is a
/// frame to each.
pub(crate) const TOLD_PER_HOUR: u64 = 6;
/// How long devices have to give their tokens again, seconds.
const UNSURE: u64 = 86_400;
/// Runs remembered: older ones are those of receipts that nobody quotes any more.
const MAX_RUNS: usize = 4096;

impl Core {
    /// Writes down how far the run before this one came.
    pub(crate) fn note_last_run(&mut self, now: Millis, last: [u8; 8], commit: u64) {
        if last == self.run || commit == 0 {
            return;
        }
        let oldest = self.tables.runs.iter().min_by_key(|(_, row)| row.commit).map(|(run, _)| *run);
        if let Some(oldest) = oldest.filter(|_| self.tables.runs.len() >= MAX_RUNS) {
            self.tables.runs.remove(&oldest, &mut self.group.staged);
        }
        let row = RunRow { commit, ended: now / 1000 };
        self.tables.runs.put(last, row, &mut self.group.staged);
    }

    /// Somebody shows a receipt. If it is this node's own and it does not remember it, its data was
    /// rolled back.
    pub(crate) fn check_quote(&mut self, now: Millis, signed: &Signed<ReceiptRoot>) {
        let Some(root) = read(signed) else { return };
        if root.node != self.node || self.remembers(&root) {
            return;
        }
        // The signature last: it costs most, and there is nothing to it for what is remembered.
        if signed.open(&self.keys.network).is_ok() {
            self.begin_generation(now, root.generation.max(self.generation) + 1);
        }
    }

    fn remembers(&self, root: &ReceiptRoot) -> bool {
        if root.generation != self.generation {
            // What came before this generation is known to be lost.
            return root.generation < self.generation;
        }
        if root.run == self.run {
            return root.commit <= self.commit;
        }
        match self.tables.runs.get(&root.run) {
            Some(row) => root.commit <= row.commit,
            // Before the oldest that is remembered, once there are many.
            None => {
                let oldest = self.tables.runs.iter().map(|(_, row)| row.commit).min();
                self.tables.runs.len() >= MAX_RUNS
                    && oldest.is_some_and(|oldest| root.commit <= oldest)
            }
        }
    }

    fn begin_generation(&mut self, now: Millis, generation: u64) {
        self.generation = generation;
        let row = self.tables.node.get(&()).cloned();
        let next_account = row.map_or(1, |row| row.next_account);
        let (node, run, generation_at) = (self.node, self.run, now / 1000);
        let row = NodeRow { node, generation, run, next_account, generation_at };
        self.tables.node.put((), row, &mut self.group.staged);
        let runs: Vec<[u8; 8]> = self.tables.runs.iter().map(|(run, _)| *run).collect();
        for run in runs {
            self.tables.runs.remove(&run, &mut self.group.staged);
        }
        // They are told the new generation when they say hello again, and give all that is theirs.
        let greeted: Vec<SessionId> =
            self.sessions.iter().filter(|(_, s)| s.mailbox.is_some()).map(|(id, _)| *id).collect();
        for session in greeted {
            let text = "this node was restored from an older copy; connect again";
            self.hang_up(session, ErrorCode::Busy, text);
        }
        self.news(now, News::Generation { node: self.node, generation });
        self.command(Command::RenewRecord);
    }

    /// The devices of an account give their tokens: what is not among them is unknown for good.
    pub(crate) fn tokens_are_given(&mut self, account: AccountId) {
        if let Some(row) = self.tables.accounts.get(&account).cloned()
            && row.tokens_of != self.generation
        {
            let row = crate::state::AccountRow { tokens_of: self.generation, ..row };
            self.tables.accounts.put(account, row, &mut self.group.staged);
        }
    }

    /// What a node that was rolled back does not know, it may have known: "ask again" then, in
    /// place of "no". `account` is whom it is about, if that is known.
    pub(crate) fn unless_unsure(
        &self,
        now: Millis,
        account: Option<&AccountId>,
        refusal: Refusal,
    ) -> Refusal {
        let unknown = matches!(
            refusal.code,
            ErrorCode::Denied | ErrorCode::NotFound | ErrorCode::InviteUnknown
        );
        let since = self.tables.node.get(&()).map_or(0, |row| row.generation_at);
        let recent = since != 0 && now / 1000 < since + UNSURE;
        let row = account.and_then(|account| self.tables.accounts.get(account));
        let given = row.is_some_and(|row| row.tokens_of == self.generation);
        if !unknown || !recent || given {
            return refusal;
        }
        let text = "this node was restored from an older copy and waits for its users' devices";
        Refusal::after(ErrorCode::Busy, 10, text)
    }

    /// Another node says in which generation it is.
    pub(crate) fn heard_generation(&mut self, now: Millis, node: NodeId, generation: u64) {
        let Some(route) = self.routing.routes.get_mut(&node) else { return };
        if generation > route.generation {
            route.generation = generation;
            self.tell_generation(now, node, generation);
        }
    }

    /// Another node began a new generation: devices offer again what they sent there.
    pub(crate) fn tell_generation(&mut self, now: Millis, node: NodeId, generation: u64) {
        self.news(now, News::Generation { node, generation });
        // Of a node that never took mail from here nobody has anything to offer again.
        if self.tables.seen.get(&node).is_none() {
            return;
        }
        // Whoever is not told now is at its next hello.
        let told = &mut self.origin(now, node).told;
        if told.take(TOLD_PER_HOUR, TOLD_PER_HOUR, now).is_err() {
            return;
        }
        let devices = self.sessions.iter().filter(|(_, session)| session.mailbox.is_some());
        let mut sessions: Vec<SessionId> = devices.map(|(id, _)| *id).collect();
        sessions.sort_unstable();
        for session in sessions {
            self.group.release(session, generation_notice(node, generation));
        }
    }

    /// What a client quotes at its hello: one of this node's own is looked at, so that nobody can
    /// make it check many signatures.
    pub(crate) fn on_quotes(&mut self, now: Millis, quoted: &[Signed<ReceiptRoot>]) {
        let own = quoted.iter().find(|signed| read(signed).is_some_and(|r| r.node == self.node));
        if let Some(own) = own {
            self.check_quote(now, own);
        }
    }

    /// Tells a device of nodes that are in a higher generation than it has seen.
    pub(crate) fn tell_raised(&mut self, session: SessionId, quoted: &[Signed<ReceiptRoot>]) {
        for root in quoted.iter().filter_map(read) {
            let now = self.routing.routes.get(&root.node).map_or(0, |route| route.generation);
            if root.node != self.node && now > root.generation {
                self.group.release(session, generation_notice(root.node, now));
            }
        }
    }
}

fn generation_notice(node: NodeId, generation: u64) -> Notice {
    Notice { seq: 0, receipts: None, refused: None, generation: Some((node, generation)) }
}

/// What a root says, its signature unchecked.
pub(crate) fn read(signed: &Signed<ReceiptRoot>) -> Option<ReceiptRoot> {
    codec::decode(&signed.payload, ReceiptRoot::LIMIT).ok()
}
