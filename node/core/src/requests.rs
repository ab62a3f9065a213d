//! Requests by strangers: one at a time each, until the recipient settles it.

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{RequestsSettle, settle};
use postroad_proto::ids::{AccountId, Millis, NodeId};
use postroad_proto::limits::MAX_PENDING_REQUESTS;
use postroad_proto::token::{RequestTag, request_tag};

use crate::accounts::malformed;
use crate::bucket::Bucket;
use crate::core::Core;
use crate::reply::{Answer, DONE, Refusal, denied};
use crate::state::RequestRow;

impl Core {
    /// Whether `sender`, a user of this node, may leave a request for `recipient`. Returns the tag.
    pub(crate) fn check_request(
        &mut self,
        now: Millis,
        sender: &AccountId,
        recipient: &AccountId,
    ) -> Result<RequestTag, Refusal> {
        let seconds = now / 1000;
        let row = self.tables.accounts.get(recipient).ok_or_else(denied)?;
        if !row.lookups || sender == recipient {
            return Err(denied());
        }
        let tag = request_tag(&self.keys.secret, sender, recipient);
        match self.tables.requests.get(&(*recipient, self.node, tag)) {
            Some(row) if !row.open => return Err(denied()),
            Some(row) if row.until > seconds => {
                let text = "one request at a time: the last one is not answered yet";
                return Err(Refusal::after(ErrorCode::Rate, row.until - seconds, text));
            }
            _ => {}
        }
        let pending =
            self.requests_of(recipient).filter(|(_, row)| row.open && row.until > seconds).count();
        if pending >= MAX_PENDING_REQUESTS {
            let text = format!("{MAX_PENDING_REQUESTS} requests wait for this account already");
            return Err(Refusal::after(ErrorCode::Quota, 3600, text));
        }
        let per_day = self.config.requests_per_day;
        let bucket =
            self.rates_of(*sender).requests.get_or_insert_with(|| Bucket::full(per_day, now));
        bucket.take(per_day.div_ceil(24), per_day, now).map_err(|seconds| {
            let text = format!("at most {per_day} requests to strangers a day");
            Refusal::after(ErrorCode::Rate, seconds, text)
        })?;
        Ok(tag)
    }

    /// Notes that a request waits until its deadline (seconds).
    pub(crate) fn open_request(&mut self, recipient: AccountId, tag: RequestTag, until: u64) {
        let row = RequestRow { open: true, until };
        self.tables.requests.put((recipient, self.node, tag), row, &mut self.group.staged);
    }

    pub(crate) fn requests_settle(
        &mut self,
        now: Millis,
        account: AccountId,
        ask: &RequestsSettle,
    ) -> Answer {
        let key = (account, ask.origin, ask.tag.into_array());
        match ask.how {
            settle::ACCEPTED | settle::IGNORED => {
                self.tables.requests.remove(&key, &mut self.group.staged);
            }
            // What was never asked, or is settled already, need not be blocked.
            settle::BLOCKED if self.tables.requests.get(&key).is_none() => {}
            settle::BLOCKED => {
                let row = RequestRow { open: false, until: 0 };
                self.tables.requests.put(key, row, &mut self.group.staged);
            }
            _ => return Err(malformed("settle as 1 accepted, 2 ignored or 3 blocked")),
        }
        self.drop_stale_requests(now, &account);
        DONE
    }

    fn requests_of(
        &self,
        account: &AccountId,
    ) -> impl Iterator<Item = (&(AccountId, NodeId, RequestTag), &RequestRow)> {
        let from = (*account, NodeId([0; 32]), [0; 16]);
        let to = (*account, NodeId([0xff; 32]), [0xff; 16]);
        self.tables.requests.range(from, to)
    }

    fn drop_stale_requests(&mut self, now: Millis, account: &AccountId) {
        let stale: Vec<_> = self
            .requests_of(account)
            .filter(|(_, row)| row.open && row.until <= now / 1000)
            .map(|(key, _)| *key)
            .collect();
        for key in stale {
            self.tables.requests.remove(&key, &mut self.group.staged);
        }
    }

    pub(crate) fn drop_requests(&mut self, account: &AccountId) {
        let keys: Vec<_> = self.requests_of(account).map(|(key, _)| *key).collect();
        for key in keys {
            self.tables.requests.remove(&key, &mut self.group.staged);
        }
    }
}
