//! The table of nodes as it is compared with others': by buckets, without decoding a record.

use std::collections::BTreeMap;

use postroad_proto::frame::NodesListed;
use postroad_proto::ids::{Hash, Millis, NodeId};
use postroad_proto::limits::CLOCK_ALLOWANCE_SECONDS;
use postroad_proto::record::NodeRecord;
use postroad_proto::record::digest::{self, Entry};
use postroad_proto::signed::Signed;

/// Entries in one answer: they fit a frame.
const MAX_ENTRIES: usize = 4096;

/// What is looked at often, without decoding the record.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) seq: u64,
    /// The highest that was seen: a node cannot take it back.
    pub(crate) generation: u64,
    /// Seconds since the Unix epoch.
    pub(crate) expires: u64,
    /// First bytes of the payload's hash.
    pub(crate) hash: [u8; 8],
    /// What it calls itself; may be empty.
    pub(crate) name: Box<str>,
    /// Whether two records with the same number were seen: its key is used twice.
    pub(crate) equivocates: bool,
}

impl Route {
    pub(crate) fn new(record: &NodeRecord, signed: &Signed<NodeRecord>) -> Self {
        Self {
            seq: record.seq,
            generation: record.generation,
            expires: record.expires,
            hash: prefix(&signed.hash().0),
            name: record.name.as_str().into(),
            equivocates: false,
        }
    }

    pub(crate) fn is_current(&self, now: Millis) -> bool {
        now / 1000 < self.expires.saturating_add(CLOCK_ALLOWANCE_SECONDS)
    }
}

/// Every route, and what stands for the table when it is compared with others.
#[derive(Default)]
pub(crate) struct Routing {
    pub(crate) routes: BTreeMap<NodeId, Route>,
    /// Values of the buckets as of the last change; none where they are to be made anew.
    buckets: BTreeMap<u8, [u8; 8]>,
    /// The earliest time at which a current record is over, seconds: buckets hold until then.
    pub(crate) fresh_until: u64,
    /// The time of the last digest: what was current then is no longer so when a clock is set back.
    digested_at: Millis,
    /// When records that are over were last removed to make room.
    pub(crate) emptied_at: Option<Millis>,
}

impl Routing {
    pub(crate) fn touch(&mut self, node: &NodeId) {
        self.buckets.remove(&node.0[0]);
    }

    fn entries(&self, bucket: u8, now: Millis) -> Vec<Entry> {
        let mut from = NodeId([0; 32]);
        from.0[0] = bucket;
        let mut to = NodeId([0xff; 32]);
        to.0[0] = bucket;
        let current = self.routes.range(from..=to).filter(|(_, route)| route.is_current(now));
        current.map(|(node, route)| Entry { node: prefix(&node.0), hash: route.hash }).collect()
    }

    /// The values of all buckets.
    pub(crate) fn digest(&mut self, now: Millis) -> [[u8; 8]; 256] {
        let set_back = now < core::mem::replace(&mut self.digested_at, now);
        if set_back || now / 1000 >= self.fresh_until {
            self.buckets.clear();
            let current = self.routes.values().filter(|route| route.is_current(now));
            self.fresh_until = current
                .map(|route| route.expires.saturating_add(CLOCK_ALLOWANCE_SECONDS))
                .min()
                .unwrap_or(u64::MAX);
        }
        let mut values = [[0; 8]; 256];
        for (number, value) in (0..=u8::MAX).zip(values.iter_mut()) {
            *value = match self.buckets.get(&number) {
                Some(held) => *held,
                None => {
                    let made = digest::bucket(&self.entries(number, now));
                    self.buckets.insert(number, made);
                    made
                }
            };
        }
        values
    }

    /// The entries of buckets, as [`NodesListed`] carries them.
    pub(crate) fn list(&self, buckets: &[u8], now: Millis) -> NodesListed {
        let mut entries = Vec::new();
        for bucket in buckets {
            let found = self.entries(*bucket, now);
            let room = MAX_ENTRIES.saturating_sub(entries.len() / 16);
            if found.len() > room && !entries.is_empty() {
                return NodesListed { rest: u64::from(*bucket), entries: entries.into() };
            }
            for entry in found.iter().take(MAX_ENTRIES) {
                entries.extend_from_slice(&entry.node);
                entries.extend_from_slice(&entry.hash);
            }
        }
        NodesListed { rest: 256, entries: entries.into() }
    }

    /// Nodes whose id begins with `start`, lowest first.
    pub(crate) fn by_prefix(&self, start: [u8; 8]) -> impl Iterator<Item = (&NodeId, &Route)> {
        let (mut from, mut to) = ([0; 32], [0xff; 32]);
        from[..8].copy_from_slice(&start);
        to[..8].copy_from_slice(&start);
        self.routes.range(NodeId(from)..=NodeId(to))
    }
}

/// The first eight bytes.
pub(crate) fn prefix(bytes: &[u8; 32]) -> [u8; 8] {
    let mut start = [0; 8];
    start.copy_from_slice(&bytes[..8]);
    start
}

/// The root that stands for the table.
pub(crate) fn root(values: &[[u8; 8]; 256]) -> Hash {
    digest::root(values)
}
