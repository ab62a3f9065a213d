//! The paths that a node spends most of its time on, one at a time, for a counter of instructions.
//!
//! `tests/bench/instructions` runs it under callgrind, which counts while it is inside [`counted`]
//! only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../proto/benches/common/mod.rs"]
mod common;
#[path = "../../store/benches/shelf/mod.rs"]
mod shelf;
#[path = "../benches/stage/mod.rs"]
mod stage;

use common::{BATCH, carry, node_record, push, send, shake_hands};
use postroad_proto::frame::Frame;
use postroad_store::{RealFiles, Store as _};
use shelf::{Shelf, Unsynced};
use stage::nodes::NOW;
use stage::{GROUP, Stage, receipts};

fn main() {
    let path = std::env::args().nth(1).unwrap_or_default();
    let messages = match path.as_str() {
        "custody" => custody(),
        "journal" => journal(),
        "channel" => channel(),
        _ => {
            eprintln!("expected custody, journal or channel, got {path:?}");
            std::process::exit(2);
        }
    };
    println!("{messages}");
}

/// Whatever runs in here is counted. Not inlined, for it is known by its name.
#[inline(never)]
fn counted(step: &mut dyn FnMut()) {
    step();
}

/// Counts that many steps, after as many that are not: what grows while it is new has grown by then.
fn steps(count: usize, mut step: impl FnMut(fn(&mut dyn FnMut()))) -> usize {
    for _ in 0..count {
        step(|uncounted| uncounted());
    }
    for _ in 0..count {
        step(counted);
    }
    count
}

/// Messages from one user to another through the core; what it does not do is the store's part.
fn custody() -> usize {
    let mut stage = Stage::new();
    let count = steps(100, |run| {
        let (mut sends, mut changes) = (stage.sends(), None);
        run(&mut || {
            for send in sends.drain(..) {
                stage.core.handle(NOW, send);
            }
            changes = stage.core.seal(NOW);
        });
        stage.keep(changes.as_ref().expect("there is mail"));
        let mut outputs = Vec::new();
        run(&mut || {
            stage.core.committed();
            outputs = stage.core.take_outputs();
        });
        assert_eq!(receipts(&outputs), GROUP);
        stage.fetch();
    });
    count * GROUP
}

/// Commits of as many envelopes. The kernel's part of writing and syncing is not seen here.
fn journal() -> usize {
    let dir = tempfile::tempdir().unwrap();
    let files = RealFiles::new(dir.path().join("journal")).unwrap();
    let mut shelf = Shelf::new(dir, Unsynced(files), false);
    // Nobody fetches it, and it is enough to fill the cache of bodies: how often a small hash table
    // has to be tidied would depend on its seed.
    let count = steps(400, |run| {
        let changes = shelf.mail(GROUP as u64);
        let bytes = postroad_store::encoded_size(&changes);
        run(&mut || {
            shelf.journal.room(bytes).unwrap();
            shelf.commit(&changes);
        });
        shelf.settle();
    });
    count * GROUP
}

/// Messages into the node and out of it: encoded, encrypted, decrypted, decoded, each way.
fn channel() -> usize {
    let (mut client, mut node) = shake_hands(&node_record());
    let sends: Vec<Frame> = (70_000..).take(BATCH).map(send).collect();
    let pushes: Vec<Frame> = (70_000..).take(BATCH).map(push).collect();
    let mut wire = Vec::new();
    let count = steps(50, |run| {
        run(&mut || {
            assert_eq!(carry(&sends, &mut client, &mut node, &mut wire), BATCH);
            assert_eq!(carry(&pushes, &mut node, &mut client, &mut wire), BATCH);
        });
    });
    count * BATCH
}
