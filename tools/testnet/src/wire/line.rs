//! One direction of one connection: bytes that wait for their time, in order.

use std::{collections::VecDeque, io, time::Duration};

use rustix::net::Shutdown;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, sleep_until},
};

use super::rules::{Rule, Rules};

/// Most bytes that are read at once.
const CHUNK: usize = 16 << 10;
/// Most bytes and pieces on their way in one direction; beyond it the sender has to wait, as it
/// would for the windows of TCP.
const MAX_BYTES: usize = 1 << 20;
const MAX_CHUNKS: usize = 4_096;

/// How often and how long a line stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stalls {
    /// Of a thousand pieces, so many are held up.
    pub(crate) per_mille: u16,
    pub(crate) shortest_ms: u64,
    pub(crate) longest_ms: u64,
}

/// Chance from a seed (splitmix64): the same seed stalls the same pieces.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// For one direction of one connection, by all that tells it from others.
    pub(super) fn new(seed: u64, from: &str, to: &str, connection: u64) -> Self {
        let mut dice = Dice(seed ^ connection.rotate_left(32));
        for &byte in from.as_bytes().iter().chain(b">").chain(to.as_bytes()) {
            dice.0 = dice.throw() ^ u64::from(byte);
        }
        dice
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn stall(&mut self, stalls: Stalls) -> Duration {
        if self.throw() % 1_000 >= u64::from(stalls.per_mille) {
            return Duration::ZERO;
        }
        let spread = stalls.longest_ms.saturating_sub(stalls.shortest_ms) + 1;
        Duration::from_millis(stalls.shortest_ms + self.throw() % spread)
    }
}

/// What is on its way.
#[derive(Debug, Default)]
struct Line {
    /// When each piece arrives, never before the one ahead of it. An empty piece is the end.
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    last: Option<Instant>,
}

impl Line {
    fn push(&mut self, now: Instant, piece: Vec<u8>, rule: &Rule, dice: &mut Dice) {
        let due = now + rule.latency + dice.stall(rule.stalls);
        let due = self.last.map_or(due, |last| due.max(last));
        self.last = Some(due);
        self.bytes += piece.len();
        self.pieces.push_back((due, piece));
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let (_, piece) = self.pieces.pop_front()?;
        self.bytes -= piece.len();
        Some(piece)
    }

    fn due(&self) -> Option<Instant> {
        self.pieces.front().map(|(due, _)| *due)
    }

    fn has_room(&self) -> bool {
        self.bytes < MAX_BYTES && self.pieces.len() < MAX_CHUNKS
    }
}

/// Two nodes, by name: what the first sends to the second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
}

impl Pair<'_> {
    pub(super) fn rule(&self, rules: &Rules) -> Rule {
        rules.between(self.from, self.to)
    }
}

/// Carries bytes until the sender has closed its side and all has arrived, or until one of the two
/// is gone.
pub(super) async fn carry(
    pair: Pair<'_>,
    from: &TcpStream,
    to: &TcpStream,
    mut rules: watch::Receiver<Rules>,
    mut dice: Dice,
) -> io::Result<()> {
    let mut rule = pair.rule(&rules.borrow_and_update());
    let mut line = Line::default();
    let mut ended = false;
    loop {
        let due = line.due().unwrap_or_else(Instant::now);
        tokio::select! {
            // A partition holds from the moment that it was asked for.
            biased;
            changed = rules.changed() => {
                changed.map_err(io::Error::other)?;
                rule = pair.rule(&rules.borrow_and_update());
            }
            () = until(due), if !rule.blocked && line.due().is_some() => match line.pop() {
                Some(piece) if !piece.is_empty() => write_all(to, &piece).await?,
                _ => return Ok(rustix::net::shutdown(to, Shutdown::Write)?),
            },
            // What is not read fills the sender's buffers, as it would with nobody at the end.
            piece = read(from), if !rule.blocked && !ended && line.has_room() => {
                let piece = piece?;
                ended = piece.is_empty();
                line.push(Instant::now(), piece, &rule, &mut dice);
            }
        }
    }
}

/// Timers count in whole milliseconds: what is due already must not wait for the next.
async fn until(due: Instant) {
    if Instant::now() < due {
        sleep_until(due).await;
    }
}

/// The next bytes; none at the end.
async fn read(from: &TcpStream) -> io::Result<Vec<u8>> {
    loop {
        from.readable().await?;
        let mut piece = Vec::with_capacity(CHUNK);
        match from.try_read_buf(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => {
                read?;
                piece.shrink_to_fit();
                return Ok(piece);
            }
        }
    }
}

async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(ms: u64) -> Rule {
        Rule { latency: Duration::from_millis(ms), ..Rule::default() }
    }

    #[test]
    fn what_follows_never_arrives_earlier() {
        let (mut line, mut dice, now) = (Line::default(), Dice(1), Instant::now());
        line.push(now, vec![1], &rule(100), &mut dice);
        let later = now + Duration::from_millis(10);
        line.push(later, vec![2], &rule(0), &mut dice);
        assert_eq!(line.due(), Some(now + Duration::from_millis(100)));
        assert_eq!(line.pop(), Some(vec![1]));
        assert_eq!(line.due(), Some(now + Duration::from_millis(100)), "behind the first");
        line.pop();
        assert_eq!((line.due(), line.bytes), (None, 0));
        line.push(later + Duration::from_secs(1), vec![3], &rule(0), &mut dice);
        assert_eq!(line.due(), Some(later + Duration::from_secs(1)));
    }

    #[test]
    fn a_line_is_bounded_in_bytes_and_pieces() {
        let (mut line, mut dice, now) = (Line::default(), Dice(1), Instant::now());
        line.push(now, vec![0; MAX_BYTES], &rule(1), &mut dice);
        assert!(!line.has_room());
        line.pop();
        for _ in 0..MAX_CHUNKS {
            assert!(line.has_room());
            line.push(now, vec![0], &rule(1), &mut dice);
        }
        assert!(!line.has_room());
    }

    #[test]
    fn the_same_seed_stalls_the_same_pieces() {
        let stalls = Stalls { per_mille: 50, shortest_ms: 200, longest_ms: 400 };
        let throws = |seed, to| -> Vec<Duration> {
            let mut dice = Dice::new(seed, "n1", to, 3);
            (0..2_000).map(|_| dice.stall(stalls)).collect()
        };
        assert_eq!(throws(7, "n2"), throws(7, "n2"));
        assert_ne!(throws(7, "n2"), throws(8, "n2"));
        assert_ne!(throws(7, "n2"), throws(7, "n3"));
        let stalled: Vec<u128> =
            throws(7, "n2").iter().map(Duration::as_millis).filter(|ms| *ms > 0).collect();
        assert!((50..200).contains(&stalled.len()), "about 100 of 2,000: {}", stalled.len());
        assert!(stalled.iter().all(|ms| (200..=400).contains(ms)), "{stalled:?}");
        assert_eq!(Dice(1).stall(Stalls::default()), Duration::ZERO);
    }
}
