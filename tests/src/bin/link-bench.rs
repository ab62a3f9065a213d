//! What it takes to link a device to an account with a long history: time, bytes on the new device's line
//! and peak memory of all three, once in one go and once with the line cut twice in the middle. Both times the new
//! device has all of it in the end, once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use postroad_client::{Client, Query};
use postroad_proto::codec;
use postroad_proto::content::{Text, kind};
use postroad_proto::ids::AccountId;
use postroad_proto::link::DeviceLink;
use postroad_tests::cut::Cut;
use postroad_tests::link::Shown;
use postroad_tests::{Node, Person};
use rusqlite::{Connection, params};
use serde_json::json;

/// Measure how a device is linked.
#[derive(Parser)]
struct Args {
    /// Messages of history
    #[arg(long, default_value_t = 100_000)]
    messages: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// How often progress and memory are looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How long the line stays cut.
const AWAY: Duration = Duration::from_millis(500);
/// How long linking may take in all.
const LAST: Duration = Duration::from_secs(1800);

/// What one linking took.
struct Taken {
    seconds: f64,
    /// On the new device's line, both ways.
    bytes: u64,
    /// Peak of the new device's process, the old one's and the node's, KiB.
    memory: [u64; 3],
}

/// Puts a history into a profile, as if it had been exchanged long ago: half of it each way.
fn fill(profile: &Path, with: &AccountId, count: u64) {
    let mut db = Connection::open(profile.join("pouch.db")).unwrap();
    let chat: Vec<u8> = db
        .query_row("SELECT chat FROM contact WHERE account = ?1", [with.0], |row| row.get(0))
        .unwrap();
    let own: Vec<u8> = db.query_row("SELECT account FROM identity", [], |row| row.get(0)).unwrap();
    let tx = db.transaction().unwrap();
    let mut insert = tx
        .prepare(
            "INSERT INTO message (id, chat, outgoing, account, device, kind, content, text, sent_at,
             received_at, deadline, state, shown) VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?8, 1, 6, 1)",
        )
        .unwrap();
    for n in 0..count {
        let text = format!(
            "{n}: a letter of about eighty characters, as people write them to each other, {n}"
        );
        let content = codec::encode(&Text::plain(text.clone())).unwrap();
        let mut id = [0xbb; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        let outgoing = n % 2 == 0;
        let by = if outgoing { own.as_slice() } else { &with.0 };
        let at = i64::try_from(1_000_000 + n).unwrap();
        insert
            .execute(params![id, chat, outgoing, by, kind::TEXT as i64, content, text, at])
            .unwrap();
    }
    drop(insert);
    tx.commit().unwrap();
}

/// The most that a process had resident, KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// Links a device over a line that is cut when so many bytes have passed.
fn link(node: &Node, person: &Person, name: &str, cuts: &[u64], messages: usize) -> Taken {
    let shown = Shown::new(person);
    let line = Cut::before(&node.client());
    let mut link: DeviceLink = shown.link.parse().unwrap();
    link.home.addresses = vec![line.address().to_owned()];
    let device = Person::new(name);
    let begun = Instant::now();
    let mut joining = device.spawn(&["device", "join", &link.to_string(), "--name", name]);
    let mut memory = [0; 3];
    let mut cuts = cuts.iter();
    let mut next = cuts.next();
    let status = loop {
        let pids = [joining.id(), shown.pid(), node.pid()];
        for (most, pid) in memory.iter_mut().zip(pids) {
            *most = peak(pid).max(*most);
        }
        if let Some(status) = joining.try_wait().unwrap() {
            break status;
        }
        if next.is_some_and(|at| line.passed() >= *at) {
            line.cut();
            thread::sleep(AWAY);
            line.mend();
            next = cuts.next();
        }
        assert!(begun.elapsed() < LAST, "{name} is not linked");
        thread::sleep(LOOK);
    };
    let seconds = begun.elapsed().as_secs_f64();
    assert!(status.success() && next.is_none(), "{name}: {status}");
    shown.device();
    let all = Client::open(&device.profile()).unwrap().messages(&Query::default()).unwrap();
    let own = Client::open(&person.profile()).unwrap().messages(&Query::default()).unwrap();
    let ids = |all: &[postroad_client::Message]| {
        let mut ids: Vec<_> = all.iter().map(|m| (m.id, m.text.clone(), m.outgoing)).collect();
        ids.sort();
        ids
    };
    assert_eq!(all.len(), messages, "{name}");
    assert!(ids(&all) == ids(&own), "{name} has something else");
    Taken { seconds, bytes: line.passed(), memory }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    alice.send("bob", "begin");
    assert_eq!(bob.receives(1), ["begin"]);
    let with = Client::open(&alice.profile()).unwrap().contact("bob").unwrap().account;
    fill(&alice.profile(), &with, args.messages);
    let messages = usize::try_from(args.messages).unwrap() + 1;
    let whole = link(&node, &alice, "laptop", &[], messages);
    let cuts = [whole.bytes / 3, 2 * whole.bytes / 3];
    let cut = link(&node, &alice, "tablet", &cuts, messages);
    for (how, taken) in [("in one go", &whole), ("cut twice", &cut)] {
        let [new, old, home] = taken.memory;
        if args.json {
            let row = json!({
                "messages": args.messages, "how": how, "seconds": taken.seconds, "bytes": taken.bytes,
                "new_kib": new, "old_kib": old, "node_kib": home,
            });
            println!("{row}");
        } else {
            println!(
                "{} messages {how}: {:.1} s, {} bytes ({} a message); peak memory: new device {new} KiB, old one {old} KiB, node {home} KiB",
                args.messages,
                taken.seconds,
                taken.bytes,
                taken.bytes / args.messages.max(1)
            );
        }
    }
    ExitCode::SUCCESS
}
