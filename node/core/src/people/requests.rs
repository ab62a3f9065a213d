//! Requests by strangers: one at a time each, until the recipient settles it.

use postroad_proto::error::ErrorCode;
use postroad_proto::frame::{RequestsSettle, settle};
use postroad_proto::ids::{AccountId, Millis, NodeId};
use postroad_proto::limits::MAX_PENDING_REQUESTS;
use postroad_proto::token::{RequestTag, request_tag};

use crate::bucket::Bucket;
use crate::core::Core;
use crate::people::accounts::malformed;
use crate::reply::{Answer, DONE, Refusal, denied};
use crate::state::RequestRow;

/// How long a request counts as open at least, seconds.
const LEAST_OPEN: u64 = 3600;

/// Recipient, origin node, and what that calls its user.
pub(crate) type RequestKey = (AccountId, NodeId, RequestTag);

impl Core {
    /// What stands for `sender`, a user of this node, towards `recipient`.
    pub(crate) fn request_tag(
        &self,
        sender: &AccountId,
        recipient: &AccountId,
    ) -> Result<RequestTag, Refusal> {
        if sender == recipient {
            return Err(denied());
        }
        Ok(request_tag(&self.keys.secret, sender, recipient))
    }

    /// Whether the stranger whom `origin` calls `tag` may leave a request for an account here.
    pub(crate) fn check_request(&self, now: Millis, key: RequestKey) -> Result<(), Refusal> {
        let (recipient, ..) = key;
        let seconds = now / 1000;
        let row = self.tables.accounts.get(&recipient).ok_or_else(denied)?;
        if !row.lookups {
            return Err(denied());
        }
        match self.tables.requests.get(&key) {
            Some(row) if !row.open => return Err(denied()),
            Some(row) if row.until > seconds => {
                let text = "one request at a time: the last one is not answered yet";
                return Err(Refusal::after(ErrorCode::Rate, row.until - seconds, text));
            }
            _ => {}
        }
        let pending =
            self.requests_of(&recipient).filter(|(_, row)| row.open && row.until > seconds).count();
        if pending >= MAX_PENDING_REQUESTS {
            let text = format!("{MAX_PENDING_REQUESTS} requests wait for this account already");
            return Err(Refusal::after(ErrorCode::Quota, 3600, text));
        }
        Ok(())
    }

    /// One request by a user of this node, to whomever.
    pub(crate) fn take_request(&mut self, now: Millis, sender: AccountId) -> Result<(), Refusal> {
        let per_day = self.config.requests_per_day;
        let bucket =
            self.rates_of(sender).requests.get_or_insert_with(|| Bucket::full(per_day, now));
        bucket.take(per_day.div_ceil(24), per_day, now).map_err(|seconds| {
            let text = format!("at most {per_day} requests to strangers a day");
            Refusal::after(ErrorCode::Rate, seconds, text)
        })
    }

    /// One request that another node brings. A new node may bring few; each that is accepted
    /// makes it two more, a day.
    pub(crate) fn take_request_of(&mut self, now: Millis, node: NodeId) -> Result<(), Refusal> {
        let most = self.config.roads.requests_per_day;
        let origin = self.origin(now, node);
        let per_day = (most / 10 + 2 * origin.kindly).clamp(1, most.max(1));
        let bucket = origin.requests.get_or_insert_with(|| Bucket::full(per_day, now));
        bucket.take(per_day.div_ceil(24), per_day, now).map_err(|seconds| {
            let text = format!("at most {per_day} requests to strangers a day from this node");
            Refusal::after(ErrorCode::Rate, seconds, text)
        })
    }

    /// Notes that a request waits for as long as it is kept (`until`, seconds). It counts for an
    /// hour at least, or short deadlines would make room for many.
    pub(crate) fn open_request(&mut self, now: Millis, key: RequestKey, until: u64) {
        self.drop_stale_requests(now, &key.0);
        let row = RequestRow { open: true, until: until.max(now / 1000 + LEAST_OPEN) };
        self.tables.requests.put(key, row, &mut self.group.staged);
    }

    pub(crate) fn requests_settle(
        &mut self,
        now: Millis,
        account: AccountId,
        ask: &RequestsSettle,
    ) -> Answer {
        let key = (account, ask.origin, ask.tag.into_array());
        if ask.how == settle::ACCEPTED && self.tables.requests.get(&key).is_some() {
            self.origin(now, ask.origin).kindly += 1;
        }
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

    fn requests_of(&self, account: &AccountId) -> impl Iterator<Item = (&RequestKey, &RequestRow)> {
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
