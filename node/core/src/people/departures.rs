//! Accounts that go: at their own word, which can be taken back until its time has come, and those that
//! moved away long ago.

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::AccountDelete;
use postroad_proto::ids::{AccountId, Millis};
use postroad_proto::limits::{CLOCK_ALLOWANCE_SECONDS, FORWARD_SECONDS, MAX_DELETION_SECONDS};
use postroad_proto::record::Deletion;
use postroad_proto::signed::Signable;

use crate::core::Core;
use crate::people::accounts::{bad, malformed};
use crate::reply::{Answer, DONE, Refusal, denied};
use crate::state::AccountRow;
use crate::timers::Timer;

/// Staged bytes beyond which the rest waits for the next group.
const GROUP_BYTES: usize = 256 << 10;

impl AccountRow {
    /// What its account last said of its deletion. The signature was checked when it came in.
    fn deletion(&self) -> Option<Deletion> {
        codec::decode(&self.deletion.as_ref()?.payload, Deletion::LIMIT).ok()
    }

    /// When it is to be deleted, seconds since the Unix epoch.
    pub(crate) fn delete_at(&self) -> Option<u64> {
        self.deletion().map(|said| said.delete_at).filter(|at| *at != 0)
    }

    /// When it leaves this node for good, seconds since the Unix epoch, and what its devices are told:
    /// for whichever reason comes first.
    pub(crate) fn departure(&self) -> Option<(u64, &'static str)> {
        let own_word = self.delete_at().map(|at| (at, "the account is gone"));
        let forward = self.moved.then(|| {
            let ends = self.moved_at.saturating_add(FORWARD_SECONDS);
            (ends, "the account has moved; its forward has ended")
        });
        [own_word, forward].into_iter().flatten().min()
    }
}

impl Core {
    pub(crate) fn account_delete(
        &mut self,
        now: Millis,
        account: AccountId,
        ask: &AccountDelete,
    ) -> Answer {
        let statement = &ask.statement;
        let said =
            statement.open(&self.keys.network).map_err(|e| bad(format!("statement: {e}")))?;
        if said.account != account {
            return Err(Refusal::new(ErrorCode::Denied, "a statement about another account"));
        }
        if said.node != self.node {
            return Err(malformed("the statement is meant for another node"));
        }
        let row = self.tables.accounts.get(&account).cloned().ok_or_else(denied)?;
        if let Some(held) = row.deletion() {
            if held == said {
                return DONE;
            }
            if held.at >= said.at {
                return Err(Refusal {
                    result: codec::encode(&row.deletion).ok(),
                    ..Refusal::new(ErrorCode::Conflict, "a later statement is held")
                });
            }
        }
        check_time(now, &said)?;
        let row = AccountRow { deletion: Some(statement.clone()), ..row };
        self.tables.accounts.put(account, row, &mut self.group.staged);
        if said.delete_at != 0 {
            self.look_for_departures_at(now, said.delete_at);
        }
        DONE
    }

    /// Accounts that moved away before the time of that was written down: it counts from now.
    pub(crate) fn open_forwards(&mut self, now: Millis) {
        let rows = self.tables.accounts.iter();
        let untimed: Vec<_> = rows
            .filter(|(_, row)| row.moved && row.moved_at == 0)
            .map(|(account, row)| (*account, AccountRow { moved_at: now / 1000, ..row.clone() }))
            .collect();
        for (account, row) in untimed {
            self.tables.accounts.put(account, row, &mut self.group.staged);
        }
    }

    /// Deletes the accounts whose time has come: as many as fit a group.
    pub(crate) fn delete_departed(&mut self, now: Millis) {
        let rows = self.tables.accounts.iter();
        let departures = rows.filter_map(|(account, row)| {
            let (at, text) = row.departure()?;
            Some((at, *account, text))
        });
        let mut departures: Vec<_> = departures.collect();
        departures.sort_unstable();
        for (at, account, text) in departures {
            if at > now / 1000 || self.staged_bytes() >= GROUP_BYTES {
                return self.look_for_departures_at(now, at);
            }
            self.remove_account(now, &account, text);
        }
    }

    /// `at` in seconds since the Unix epoch. What is due already is next.
    pub(crate) fn look_for_departures_at(&mut self, now: Millis, at: u64) {
        let ahead = at.saturating_mul(1000).saturating_sub(now).max(1);
        self.timers.set_by(Timer::Departures, self.steady.saturating_add(ahead));
    }
}

/// A statement is for the time in which it is made. One from before could be used again where a
/// later one was lost.
fn check_time(now: Millis, said: &Deletion) -> Result<(), Refusal> {
    let now = now / 1000;
    if said.at.max(said.delete_at) > now + MAX_DELETION_SECONDS + CLOCK_ALLOWANCE_SECONDS {
        let text = format!("an account is deleted within {MAX_DELETION_SECONDS} s");
        return Err(Refusal::new(ErrorCode::TooLarge, text));
    }
    if said.delete_at != 0 && said.delete_at + CLOCK_ALLOWANCE_SECONDS < now {
        return Err(Refusal::new(ErrorCode::Expired, "the time of the deletion is long past"));
    }
    Ok(())
}
