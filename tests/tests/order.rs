//! What the kernel sees: no answer leaves before the sync that covers it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::process::{Command, Stdio};

use postroad_client::{Client, Query, State};
use postroad_tests::{Node, Person, programs, wait_for};

const MESSAGES: usize = 1000;
/// Bytes of the smallest group that holds a message: its sealed body alone has 256. The marks that
/// the journal writes now and then are smaller and promise nothing.
const SMALLEST_GROUP: usize = 256;

/// One call that a trace shows, in the order of their ends (answers: of their beginnings).
#[derive(Debug, PartialEq)]
enum Call {
    /// Bytes went into the journal.
    Write,
    /// A sync returned.
    Sync,
    /// Bytes went to a client.
    Answer,
}

#[test]
fn no_answer_leaves_before_the_sync_that_covers_it() {
    if !programs::is_installed("strace") {
        return;
    }
    let mut node = Node::start("[custody]\ntoken_rate = 0");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    alice.send("bob", "keys are exchanged now");
    let trace = node.dir().join("trace");
    let mut strace = Command::new("strace")
        .args(["-f", "-yy", "-e", "trace=pwrite64,write,writev,fdatasync,fsync,sendto,sendmsg"])
        .arg("-o")
        .arg(&trace)
        .args(["-p", &node.pid().to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("strace to attach", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("TracerPid:")).unwrap();
        (!line.trim_end().ends_with("\t0")).then_some(())
    });
    send_a_thousand(&alice);
    assert!(node.terminate().success());
    strace.wait().unwrap();

    let calls = calls(&std::fs::read_to_string(&trace).unwrap());
    let count = |kind: Call| calls.iter().filter(|call| **call == kind).count();
    let (writes, syncs, answers) = (count(Call::Write), count(Call::Sync), count(Call::Answer));
    println!("{MESSAGES} sends: {writes} journal writes, {syncs} syncs, {answers} answers");
    assert!(writes >= MESSAGES && syncs >= MESSAGES && answers >= MESSAGES);
    let mut unsynced = false;
    for call in &calls {
        match call {
            Call::Write => unsynced = true,
            Call::Sync => unsynced = false,
            Call::Answer => assert!(!unsynced, "an answer left before its sync"),
        }
    }
}

/// One session that sends a thousand messages, each after the answer to the one before: so no
/// later group's writes lie between a sync and the answers that it covers.
fn send_a_thousand(alice: &Person) {
    let mut client = Client::open(&alice.profile()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for n in 0..MESSAGES {
        client.send_text("bob", &format!("text {n}")).unwrap();
        runtime.block_on(client.sync()).unwrap();
    }
    let sent = client.messages(&Query::default()).unwrap();
    assert!(sent.iter().all(|m| m.state == State::AtNode), "all were accepted");
}

/// The calls of a trace that matter here. A call that strace shows in two parts counts where it
/// ended, so that a sync still under way covers nothing; an answer counts where it began.
fn calls(trace: &str) -> Vec<Call> {
    let mut under_way: HashMap<&str, &str> = HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let begun = rest.ends_with("<unfinished ...>");
        let resumed = rest.starts_with("<... ");
        let text = if resumed { under_way.remove(thread).unwrap_or(rest) } else { rest };
        if begun {
            under_way.insert(thread, rest);
        }
        match kind(text) {
            Some(Call::Answer) if !resumed => calls.push(Call::Answer),
            Some(Call::Sync) if !begun => calls.push(Call::Sync),
            // Written bytes may be taken as there from the beginning of the call.
            Some(Call::Write) if !resumed => calls.push(Call::Write),
            _ => {}
        }
    }
    calls
}

fn kind(text: &str) -> Option<Call> {
    let journal = text.contains("/journal/");
    if text.starts_with("fdatasync(") || text.starts_with("fsync(") {
        return journal.then_some(Call::Sync);
    }
    if text.starts_with("pwrite64(") {
        return (journal && length(text)? >= SMALLEST_GROUP).then_some(Call::Write);
    }
    text.contains("<TCP:").then_some(Call::Answer)
}

/// How much a `pwrite64(FILE, "BYTES"..., LENGTH, OFFSET` wants to write.
fn length(text: &str) -> Option<usize> {
    let unfinished = text.trim_end_matches("<unfinished ...>");
    let arguments = text.rsplit_once(") = ").map_or(unfinished, |(arguments, _)| arguments);
    arguments.rsplit(", ").nth(1)?.trim().parse().ok()
}
