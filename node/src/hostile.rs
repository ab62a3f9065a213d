//! A home that means no good, for tests alone: what it tells its users passes through here first.
//!
//! The file that `POSTROAD_HOSTILE` names says how, one word and one number from 0 to 100 a line, in
//! percent of what is pushed; it is read again whenever it has changed. The same seed and the same mail
//! meet the same fate.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::SystemTime;

use bytes::BytesMut;
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
    count: u64,
}

static MEMORY: Mutex<Option<Memory>> = Mutex::new(None);

/// The frames that a client is told in place of these.
pub(crate) fn tamper(frames: &[u8]) -> Vec<u8> {
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
            Frame::Push(push) => memory.push(push, &mut told, &mut held),
            other => told.push(other),
        }
    }
    told.extend(held);
    let mut bytes = Vec::with_capacity(frames.len());
    for frame in told {
        if frame.encode_into(&mut bytes).is_err() {
            return frames.to_vec();
        }
    }
    bytes
}

impl Memory {
    fn read(&mut self, path: &PathBuf) {
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

    fn push(&mut self, push: Push, told: &mut Vec<Frame>, held: &mut Vec<Frame>) {
        let rules = self.rules;
        self.count += 1;
        let chance = |what: u64, percent: u64| {
            let bytes = [rules.seed, what, push.seq, self.count].map(u64::to_be_bytes).concat();
            dice(&bytes, &push.body_hash.0) < percent
        };
        // By what it is alone, so that asking again does not help.
        if dice(&rules.seed.to_be_bytes(), &push.body_hash.0) < rules.drop {
            return;
        }
        if chance(1, rules.forge) {
            told.push(Frame::Push(forged(&push, self.count)));
        }
        let copies = if chance(2, rules.duplicate) { 2 } else { 1 };
        let to = if chance(3, rules.reorder) { &mut *held } else { &mut *told };
        to.extend(std::iter::repeat_n(Frame::Push(push.clone()), copies));
        if chance(4, rules.replay)
            && let Some(past) = self.past.front()
        {
            held.push(Frame::Push(Push { seq: push.seq, ..past.clone() }));
        }
        self.past.push_back(push);
        if self.past.len() > REMEMBERED {
            self.past.pop_front();
        }
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
