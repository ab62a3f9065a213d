//! What the kernel sees: no answer leaves before the sync that covers it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use postroad_client::{Client, State};
use postroad_tests::{Network, Node, PATIENCE, Person, programs, wait_for};

const MESSAGES: usize = 1000;
/// Messages to another node.
const CROSSING: usize = 300;
/// Bytes of the smallest group that holds a message: its sealed body alone has 256. The marks that
/// the journal writes now and then are smaller and promise nothing.
const SMALLEST_GROUP: usize = 256;
/// Bytes of the smallest answer of one node to another that names a receipt: a signed root takes
/// more. Credit, pings and windows are smaller and promise nothing.
const SMALLEST_REPLY: usize = 200;
/// What else two nodes say that is as large: every half minute they compare their tables, each with
/// a question and an answer. Nothing shows what is inside.
const COMPARISONS: usize = 4;

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
    let strace = Strace::attach(&node);
    send(&alice, MESSAGES);
    assert!(node.terminate().success());
    // Whatever goes to a client counts.
    let early = early_answers(&strace.calls(0), MESSAGES);
    assert_eq!(early, 0, "an answer left before its sync");
}

#[test]
fn no_node_answers_for_mail_before_the_sync_that_covers_it() {
    if !programs::is_installed("strace") {
        return;
    }
    let mut network = Network::start_with(2, "[custody]\ntoken_rate = 0");
    let (alice, bob) = network.alice_and_bob();
    alice.send("bob", "keys are exchanged now");
    assert_eq!(bob.receives(1).len(), 1);
    let strace = Strace::attach(&network.nodes[1]);
    send(&alice, CROSSING);
    assert!(network.nodes[1].terminate().success());
    let early = early_answers(&strace.calls(SMALLEST_REPLY), CROSSING);
    assert!(early <= COMPARISONS, "{early} answers left before their syncs");
}

/// A trace of a node that is under way.
struct Strace {
    process: Child,
    output: PathBuf,
}

impl Strace {
    fn attach(node: &Node) -> Self {
        let output = node.dir().join("trace");
        let process = Command::new("strace")
            .args(["-f", "-yy", "-e", "trace=pwrite64,write,writev,fdatasync,fsync,sendto,sendmsg"])
            .arg("-o")
            .arg(&output)
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
        Self { process, output }
    }

    /// What it saw until the node's end, answers from this size on.
    fn calls(mut self, smallest_answer: usize) -> Vec<Call> {
        self.process.wait().unwrap();
        calls(&std::fs::read_to_string(&self.output).unwrap(), smallest_answer)
    }
}

/// How many answers left between a write and its sync, of a node that took `count` messages.
fn early_answers(calls: &[Call], count: usize) -> usize {
    let of = |kind: Call| calls.iter().filter(|call| **call == kind).count();
    let (writes, syncs, answers) = (of(Call::Write), of(Call::Sync), of(Call::Answer));
    println!("{count} sends: {writes} journal writes, {syncs} syncs, {answers} answers");
    assert!(writes >= count && syncs >= count && answers >= count);
    let (mut unsynced, mut early) = (false, 0);
    for call in calls {
        match call {
            Call::Write => unsynced = true,
            Call::Sync => unsynced = false,
            Call::Answer => early += usize::from(unsynced),
        }
    }
    early
}

/// One session that sends messages, each after the last node's answer to the one before: so no
/// later group's writes lie between a sync and the answers that it covers.
fn send(alice: &Person, count: usize) {
    let mut client = Client::open(&alice.profile()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for n in 0..count {
        let sent = client.send_text("bob", &format!("text {n}")).unwrap();
        let reached = runtime.block_on(async {
            client.sync().await.unwrap();
            client.wait_for(sent.row, State::AtNode, PATIENCE).await.unwrap()
        });
        assert_eq!(reached, State::AtNode);
    }
}

/// The calls of a trace that matter here. A call that strace shows in two parts counts where it
/// ended, so that a sync still under way covers nothing; an answer counts where it began.
fn calls(trace: &str, smallest_answer: usize) -> Vec<Call> {
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
        match kind(text, smallest_answer) {
            Some(Call::Answer) if !resumed => calls.push(Call::Answer),
            Some(Call::Sync) if !begun => calls.push(Call::Sync),
            // Written bytes may be taken as there from the beginning of the call.
            Some(Call::Write) if !resumed => calls.push(Call::Write),
            _ => {}
        }
    }
    calls
}

fn kind(text: &str, smallest_answer: usize) -> Option<Call> {
    let journal = text.contains("/journal/");
    if text.starts_with("fdatasync(") || text.starts_with("fsync(") {
        return journal.then_some(Call::Sync);
    }
    if text.starts_with("pwrite64(") {
        return (journal && length(text)? >= SMALLEST_GROUP).then_some(Call::Write);
    }
    let is_answer = text.contains("<TCP:") && sent(text).is_none_or(|sent| sent >= smallest_answer);
    is_answer.then_some(Call::Answer)
}

/// How much a `sendto(SOCKET, "BYTES"..., LENGTH, …` wants to send; calls of other shapes do not say.
fn sent(text: &str) -> Option<usize> {
    let (_, after) = text.rsplit_once('"')?;
    after.trim_start_matches("...").split([',', ')']).nth(1)?.trim().parse().ok()
}

/// How much a `pwrite64(FILE, "BYTES"..., LENGTH, OFFSET` wants to write.
fn length(text: &str) -> Option<usize> {
    let unfinished = text.trim_end_matches("<unfinished ...>");
    let arguments = text.rsplit_once(") = ").map_or(unfinished, |(arguments, _)| arguments);
    arguments.rsplit(", ").nth(1)?.trim().parse().ok()
}
