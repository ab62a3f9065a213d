//! A home that means no good, for tests alone: what it tells its users passes through here first.
//!
//! The file that `POSTROAD_HOSTILE` names says how, one word and one number from 0 to 100 a line, in
//! percent of what is pushed; it is read again whenever it has changed. What was done is appended to a
//! file of the same name that ends in `.done`, a word a line.

use std::collections::{HashMap, VecDeque};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use bytes::BytesMut;
use postroad_core::SessionId;
use postroad_proto::frame::{Frame, Push};
use postroad_proto::ids::Hash;

/// Pushes that are remembered for bringing them once more.
const REMEMBERED: usize = 64;

/// What is done to pushes, percent.
#[derive(Debug, Default, Clone, Copy)]
struct Rules {
    seed: u64,
    /// Never handed over: the client may ask as often as it likes.
    drop: u64,
    /// Handed over twice.
    duplicate: u64,
    /// Kept back behind the next one.
    reorder: u64,
    /// Followed by one of long ago, under a number of its own.
    replay: u64,
    /// Preceded by a copy in which a bit is another.
    forge: u64,
}

/// What is remembered between writes.
#[derive(Default)]
struct Memory {
    rules: Rules,
    changed: Option<SystemTime>,
    past: VecDeque<Push>,
    /// What was dropped in a session, and so may be brought beside the rest: a home that pushes more
    /// than it has credit for is found out at once.
    spare: HashMap<SessionId, usize>,
    count: u64,
    /// What was done and is not written down yet.
    done: String,
}

static MEMORY: Mutex<Option<Memory>> = Mutex::new(None);

/// The frames that a session's client is told in place of these.
pub(crate) fn tamper(session: SessionId, frames: &[u8]) -> Vec<u8> {
    let Some(path) = std::env::var_os("POSTROAD_HOSTILE").map(PathBuf::from) else {
        return frames.to_vec();
    };
    let Ok(mut memory) = MEMORY.lock() else { return frames.to_vec() };
    let memory = memory.get_or_insert_default();
    memory.read(&path);
    let mut honest = BytesMut::from(frames);
    let (mut told, mut held) = (Vec::new(), Vec::new());
    while let Ok(Some(frame)) = Frame::take_from(&mut honest) {
        match frame {
            Frame::Push(push) => memory.push(session, *push, &mut told, &mut held),
            other => told.push(other),
        }
    }
    told.extend(held);
    memory.write_down(&path);
    let mut bytes = Vec::with_capacity(frames.len());
    for frame in told {
        if frame.encode_into(&mut bytes).is_err() {
            return frames.to_vec();
        }
    }
    bytes
}

impl Memory {
    fn write_down(&mut self, rules: &Path) {
        if self.done.is_empty() {
            return;
        }
        let file = OpenOptions::new().create(true).append(true).open(rules.with_extension("done"));
        // A test that misses it fails.
        let _ = file.and_then(|mut file| file.write_all(self.done.as_bytes()));
        self.done.clear();
    }

    fn read(&mut self, path: &Path) {
        let changed = std::fs::metadata(path).and_then(|file| file.modified()).ok();
        if changed == self.changed && changed.is_some() {
            return;
        }
        self.changed = changed;
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let number = |word: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
            line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
        };
        self.rules = Rules {
            seed: number("seed"),
            drop: number("drop"),
            duplicate: number("duplicate"),
            reorder: number("reorder"),
            replay: number("replay"),
            forge: number("forge"),
        };
    }

    fn push(
        &mut self,
        session: SessionId,
        push: Push,
        told: &mut Vec<Frame>,
        held: &mut Vec<Frame>,
    ) {
        let rules = self.rules;
        self.count += 1;
        let chance = |what: u64, percent: u64| {
            let bytes = [rules.seed, what, push.seq, self.count].map(u64::to_be_bytes).concat();
            dice(&bytes, &push.body_hash.0) < percent
        };
        // By what it is alone, so that asking again does not help.
        if dice(&rules.seed.to_be_bytes(), &push.body_hash.0) < rules.drop {
            self.done.push_str("drop\n");
            match self.past.back() {
                // In its place one that the client has: it is acked, and so gone for good.
                Some(past) if chance(5, 50) => {
                    told.push(Push { seq: push.seq, ..past.clone() }.into());
                }
                _ => *self.spare.entry(session).or_default() += 1,
            }
            return;
        }
        let (forge, duplicate) = (chance(1, rules.forge), chance(2, rules.duplicate));
        let (reorder, replay) = (chance(3, rules.reorder), chance(4, rules.replay));
        let to = if reorder {
            self.done.push_str("reorder\n");
            &mut *held
        } else {
            &mut *told
        };
        if self.may_add(session, "forge", forge) {
            to.push(forged(&push, self.count).into());
        }
        to.push(push.clone().into());
        if self.may_add(session, "duplicate", duplicate) {
            to.push(push.clone().into());
        }
        if let Some(past) = self.past.front().cloned()
            && self.may_add(session, "replay", replay)
        {
            held.push(Push { seq: push.seq, ..past }.into());
        }
        self.past.push_back(push);
        if self.past.len() > REMEMBERED {
            self.past.pop_front();
        }
    }

    /// Whether something is to be brought that the node did not push, and can be.
    fn may_add(&mut self, session: SessionId, what: &str, is_wanted: bool) -> bool {
        let spare = self.spare.entry(session).or_default();
        if !is_wanted || *spare == 0 {
            return false;
        }
        *spare -= 1;
        self.done.push_str(what);
        self.done.push('\n');
        true
    }
}

/// The same with a bit changed: in the body, the header or what both are bound to.
fn forged(push: &Push, count: u64) -> Push {
    let mut forged = push.clone();
    match count % 3 {
        0 => forged.attributes.deadline ^= 1,
        1 => {
            let mut body = push.body.to_vec();
            if let Some(byte) = body.last_mut() {
                *byte ^= 1;
            }
            forged.body = body.into();
        }
        _ => {
            let mut header = push.header.as_deref().unwrap_or_default().to_vec();
            if let Some(byte) = header.last_mut() {
                *byte ^= 1;
            }
            forged.header = Some(header.into());
        }
    }
    forged
}

/// A number from 0 to 99.
fn dice(seed: &[u8], what: &[u8]) -> u64 {
    u64::from(Hash::of(&[seed, what].concat()).0[0]) * 100 / 256
}
