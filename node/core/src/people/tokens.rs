//! Delivery tokens and contact invites: who may write to whom.

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{InvitesDrop, InvitesPut, Tokens, TokensDrop, TokensPut, TokensRedeem};
use postroad_proto::ids::{AccountId, Hash, Millis, NodeId};
use postroad_proto::limits::MAX_LIST;
use postroad_proto::token::{InviteEntry, Label, Proof, TokenEntry, redeemed_label};

use crate::bucket::Bucket;
use crate::core::{Core, MAX_BUCKETS, Rates};
use crate::map::Map;
use crate::people::invites::InviteState;
use crate::reply::{Answer, DONE, Refusal, denied, ok};
use crate::state::{ContactInviteRow, InviteRow, TokenRow, account_range};

/// Who asks about an account: a user of this node, or another node for one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    Account(AccountId),
    Node(NodeId),
}

/// Tokens, and contact invites, of one account: ten thousand contacts are a lot.
const MAX_PER_ACCOUNT: usize = 10_000;

impl Core {
    pub(crate) fn tokens_put(
        &mut self,
        now: Millis,
        account: AccountId,
        ask: &TokensPut,
    ) -> Answer {
        check_list(ask.tokens.len())?;
        self.check_space()?;
        // An empty list stands for "this is all".
        if ask.tokens.is_empty() {
            self.tokens_are_given(account);
        }
        self.drop_ended_tokens(now, &account);
        let (from, to) = account_range(account);
        let held = self.tables.tokens.range(from, to).count();
        let known = |entry: &&TokenEntry| self.tables.tokens.get(&(account, entry.hash)).is_some();
        let new = ask.tokens.len() - ask.tokens.iter().filter(known).count();
        if held + new > MAX_PER_ACCOUNT {
            return Err(too_many("tokens"));
        }
        for entry in &ask.tokens {
            let row = TokenRow { entry: entry.clone() };
            self.tables.tokens.put((account, entry.hash), row, &mut self.group.staged);
        }
        DONE
    }

    pub(crate) fn tokens_drop(&mut self, account: AccountId, ask: &TokensDrop) -> Answer {
        check_list(ask.hashes.len())?;
        for hash in &ask.hashes {
            self.tables.tokens.remove(&(account, *hash), &mut self.group.staged);
            let rates = self.rates_of(account);
            rates.tokens.remove(hash);
            rates.ephemerals_by_token.remove(hash);
        }
        DONE
    }

    pub(crate) fn tokens_list(&mut self, now: Millis, account: AccountId) -> Answer {
        self.drop_ended_tokens(now, &account);
        let (from, to) = account_range(account);
        let tokens = self.tables.tokens.range(from, to).map(|(_, row)| row.entry.clone());
        // More than fit one frame are cut: a client compares what it has, and puts what lacks.
        ok(&Tokens { tokens: tokens.take(1024).collect() })
    }

    pub(crate) fn tokens_redeem(
        &mut self,
        now: Millis,
        asker: Asker,
        ask: &TokensRedeem,
    ) -> Answer {
        self.check_here(&ask.node)?;
        self.take_lookup(now, asker)?;
        self.redeem(now, &ask.account, &ask.invite.hash(), ask.token)
            .map_err(|refusal| self.unless_unsure(now, Some(&ask.account), refusal))?;
        ok(&self.records_of(&ask.account, false)?)
    }

    fn redeem(
        &mut self,
        now: Millis,
        account: &AccountId,
        invite: &Hash,
        token: Hash,
    ) -> Result<(), Refusal> {
        let key = (*account, *invite);
        let row = self.tables.contact_invites.get(&key).cloned();
        let Some(ContactInviteRow { invite: row }) = row else {
            // Absent accounts and unknown invites look the same.
            return Err(InviteState::Unknown.refusal());
        };
        if self.tables.tokens.get(&(*account, token)).is_some() {
            return self.check_asked(account);
        }
        let row = row.used_once(now / 1000).map_err(InviteState::refusal)?;
        self.check_asked(account)?;
        self.check_space()?;
        let (from, to) = account_range(*account);
        if self.tables.tokens.range(from, to).count() >= MAX_PER_ACCOUNT {
            return Err(too_many("tokens"));
        }
        let row = ContactInviteRow { invite: row };
        self.tables.contact_invites.put(key, row, &mut self.group.staged);
        let entry = TokenEntry {
            hash: token,
            label: redeemed_label(&token),
            rate: 0,
            byte_share: 0,
            expires: 0,
        };
        self.tables.tokens.put((*account, token), TokenRow { entry }, &mut self.group.staged);
        Ok(())
    }

    pub(crate) fn invites_put(
        &mut self,
        now: Millis,
        account: AccountId,
        ask: &InvitesPut,
    ) -> Answer {
        check_list(ask.invites.len())?;
        self.check_space()?;
        self.drop_spent_contact_invites(now, &account);
        let (from, to) = account_range(account);
        let held = self.tables.contact_invites.range(from, to).count();
        let known = |entry: &&InviteEntry| {
            self.tables.contact_invites.get(&(account, entry.hash)).is_some()
        };
        let new = ask.invites.len() - ask.invites.iter().filter(known).count();
        if held + new > MAX_PER_ACCOUNT {
            return Err(too_many("invites"));
        }
        for entry in &ask.invites {
            let key = (account, entry.hash);
            if self.tables.contact_invites.get(&key).is_some() {
                continue;
            }
            let (uses, expires) = (entry.uses, entry.expires);
            let invite = InviteRow { uses, used: 0, expires, revoked: false };
            let row = ContactInviteRow { invite };
            self.tables.contact_invites.put(key, row, &mut self.group.staged);
        }
        DONE
    }

    /// Forgets what is of no use any more.
    fn drop_ended_tokens(&mut self, now: Millis, account: &AccountId) {
        let (from, to) = account_range(*account);
        let seconds = now / 1000;
        let has_ended = |entry: &TokenEntry| entry.expires != 0 && entry.expires <= seconds;
        let rows = self.tables.tokens.range(from, to);
        let ended: Vec<_> =
            rows.filter(|(_, row)| has_ended(&row.entry)).map(|(key, _)| *key).collect();
        for key in ended {
            self.tables.tokens.remove(&key, &mut self.group.staged);
        }
    }

    /// Makes room by forgetting what is of no use any more, once there are many: whoever shows an
    /// invite is told what became of it.
    fn drop_spent_contact_invites(&mut self, now: Millis, account: &AccountId) {
        let (from, to) = account_range(*account);
        if self.tables.contact_invites.range(from, to).count() < MAX_PER_ACCOUNT / 2 {
            return;
        }
        let rows = self.tables.contact_invites.range(from, to);
        let spent: Vec<_> = rows
            .filter(|(_, row)| row.invite.state(now / 1000) != InviteState::Open)
            .map(|(key, _)| *key)
            .collect();
        for key in spent {
            self.tables.contact_invites.remove(&key, &mut self.group.staged);
        }
    }

    pub(crate) fn invites_drop(&mut self, account: AccountId, ask: &InvitesDrop) -> Answer {
        check_list(ask.hashes.len())?;
        for hash in &ask.hashes {
            let key = (account, *hash);
            // The row stays, so that whoever holds the link is told that it was taken back.
            if let Some(row) = self.tables.contact_invites.get(&key).cloned() {
                let row = ContactInviteRow { invite: InviteRow { revoked: true, ..row.invite } };
                self.tables.contact_invites.put(key, row, &mut self.group.staged);
            }
        }
        DONE
    }

    pub(crate) fn drop_tokens_and_invites(&mut self, account: &AccountId) {
        let (from, to) = account_range(*account);
        let tokens: Vec<_> = self.tables.tokens.range(from, to).map(|(k, _)| *k).collect();
        for key in tokens {
            self.tables.tokens.remove(&key, &mut self.group.staged);
        }
        let invites: Vec<_> =
            self.tables.contact_invites.range(from, to).map(|(k, _)| *k).collect();
        for key in invites {
            self.tables.contact_invites.remove(&key, &mut self.group.staged);
        }
    }

    /// Whether `proof` lets its bearer ask about `account`.
    pub(crate) fn check_proof(
        &self,
        now: Millis,
        account: &AccountId,
        proof: &Proof,
    ) -> Result<(), Refusal> {
        let by_token = proof
            .token
            .as_ref()
            .is_some_and(|token| self.token(now, account, &token.hash()).is_some());
        let by_invite = proof.invite.as_ref().is_some_and(|code| {
            self.tables
                .contact_invites
                .get(&(*account, code.hash()))
                .is_some_and(|row| row.invite.state(now / 1000) == InviteState::Open)
        });
        if by_token || by_invite { Ok(()) } else { Err(denied()) }
    }

    /// The token with `hash`, unless it is over.
    pub(crate) fn token(
        &self,
        now: Millis,
        account: &AccountId,
        hash: &Hash,
    ) -> Option<&TokenEntry> {
        let entry = &self.tables.tokens.get(&(*account, *hash))?.entry;
        (entry.expires == 0 || entry.expires > now / 1000).then_some(entry)
    }

    /// One message under a token: its label, or how long to wait.
    pub(crate) fn spend_token(
        &mut self,
        now: Millis,
        account: &AccountId,
        hash: &Hash,
    ) -> Result<(Label, u64), Refusal> {
        let entry = self.token(now, account, hash).ok_or_else(denied)?;
        let label = entry.label;
        let rate = if entry.rate == 0 { self.config.token_rate } else { entry.rate };
        let share = if entry.byte_share == 0 { self.config.token_share } else { entry.byte_share };
        if rate > 0 {
            let burst = self.config.token_burst.min(rate).max(1);
            let rates = self.rates_of(*account);
            let bucket = rates.tokens.entry(*hash).or_insert_with(|| Bucket::full(burst, now));
            bucket.take(rate, burst, now).map_err(|seconds| {
                let text = format!("at most {rate} messages an hour under this token");
                Refusal::after(ErrorCode::Rate, seconds, text)
            })?;
        }
        Ok((label, share))
    }

    /// One look-up, redemption or claim by `asker`.
    pub(crate) fn take_lookup(&mut self, now: Millis, asker: Asker) -> Result<(), Refusal> {
        let (per_hour, bucket) = match asker {
            Asker::Account(account) => {
                (self.config.lookups_per_hour, &mut self.rates_of(account).lookups)
            }
            Asker::Node(node) => {
                (self.config.roads.lookups_per_hour, &mut self.origin(now, node).lookups)
            }
        };
        let bucket = bucket.get_or_insert_with(|| Bucket::full(per_hour, now));
        bucket.take(per_hour, per_hour, now).map_err(|seconds| {
            let text = format!("at most {per_hour} look-ups an hour");
            Refusal::after(ErrorCode::Rate, seconds, text)
        })
    }

    pub(crate) fn rates_of(&mut self, account: AccountId) -> &mut Rates {
        if self.rates.len() >= MAX_BUCKETS && !self.rates.contains_key(&account) {
            self.rates = Map::default();
        }
        self.rates.entry(account).or_default()
    }
}

pub(crate) fn check_list(length: usize) -> Result<(), Refusal> {
    if length > MAX_LIST {
        let text = format!("at most {MAX_LIST} entries in one request, got {length}");
        return Err(Refusal::new(ErrorCode::TooLarge, text));
    }
    Ok(())
}

fn too_many(what: &str) -> Refusal {
    Refusal::new(ErrorCode::Quota, format!("at most {MAX_PER_ACCOUNT} {what} per account"))
}
