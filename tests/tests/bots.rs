//! The examples of the SDK as programs: what a bot promises whoever writes to it, and a kill.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use postroad_client::{Client, Query};
use postroad_tests::person::texts;
use postroad_tests::programs::program;
use postroad_tests::{Node, PATIENCE, Person, wait_for};

const README: &str = include_str!("../../README.md");

/// The arguments that the README gives an example, with what stands for something replaced.
fn documented(example: &str, replace: &[(&str, &str)]) -> Vec<String> {
    let marker = format!("--example {example} -- ");
    let line = README.lines().find_map(|line| line.split_once(&marker)).unwrap().1;
    let words = line.split(" # ").next().unwrap().split_whitespace();
    let value = |word: &str| {
        let found = replace.iter().find(|(name, _)| *name == word);
        found.map_or(word, |(_, value)| value).to_owned()
    };
    words.map(value).collect()
}

/// A bot that runs. Killed with the test at the latest.
struct Bot {
    process: Child,
    /// What it said first.
    link: String,
}

impl Bot {
    fn start(folder: &Path, args: &[String]) -> Self {
        let mut command = Command::new(program("examples/echo_bot"));
        command.args(args).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut link = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut link).unwrap();
        assert!(link.starts_with("postroad:"), "{link:?}");
        Self { process, link: link.trim().to_owned() }
    }

    /// `kill -9`.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Answers that a bot has stored in its profile, sent or not.
fn answered(profile: &mut Client) -> usize {
    let all = profile.messages(&Query::default()).unwrap();
    all.iter().filter(|message| message.outgoing).count()
}

#[test]
fn the_echo_bot_answers_each_text_once_whatever_kills_it() {
    let node = Node::start("");
    let folder = tempfile::tempdir().unwrap();
    let args = documented("echo_bot", &[("JOIN-LINK", &node.invite())]);
    let bot = Bot::start(folder.path(), &args);
    let alice = Person::join("alice", &node);
    alice.ok(&["contact", "add", &bot.link, "--name", "echo"]);
    alice.send("echo", "text 0");
    let mut answers = alice.receives(1);
    bot.kill();
    let sent: Vec<String> = (0..20).map(|n| format!("text {n}")).collect();
    for text in &sent[1..] {
        alice.send("echo", text);
    }
    // The profile is all it needs. Each time it is killed as soon as one more answer is stored: what
    // it would do only after that, it does not get to.
    let mut profile = Client::open(&folder.path().join(&args[0])).unwrap();
    let mut stored = answered(&mut profile);
    while stored < sent.len() {
        let bot = Bot::start(folder.path(), &args[..1]);
        let end = Instant::now() + PATIENCE;
        while answered(&mut profile) == stored {
            assert!(Instant::now() < end, "no answer after {stored}");
        }
        bot.kill();
        stored = answered(&mut profile);
    }
    let bot = Bot::start(folder.path(), &args[..1]);
    wait_for("all answers", || {
        answers.extend(alice.inbox());
        (answers.len() >= sent.len()).then_some(())
    });
    assert_eq!(answers, sent, "each once, in order");
    // One more answer comes after whatever else the bot had to say.
    alice.send("echo", "last");
    assert_eq!(alice.receives(1), ["last"]);
    let all = alice.ok(&["read", "echo", "-n", "0"]);
    assert_eq!(texts(&all).len(), 2 * (sent.len() + 1));
    bot.kill();
}

#[test]
fn the_echo_bot_takes_strangers_who_ask() {
    let node = Node::start("");
    let folder = tempfile::tempdir().unwrap();
    let bot = Bot::start(folder.path(), &documented("echo_bot", &[("JOIN-LINK", &node.invite())]));
    let carol = Person::join("carol", &node);
    carol.ok(&["contact", "add", &format!("echo@{}", node.id()), "--name", "echo"]);
    carol.send("echo", "may I?");
    assert_eq!(carol.receives(1), ["may I?"]);
    carol.send("echo", "and now");
    assert_eq!(carol.receives(1), ["and now"]);
    bot.kill();
}

#[test]
fn the_lines_of_the_notifier_arrive_in_order() {
    let mut node = Node::start("");
    let folder = tempfile::tempdir().unwrap();
    let bob = Person::join("bob", &node);
    let (invite, link) = (node.invite(), bob.link());
    let args = documented("notifier", &[("LINK", &link), ("JOIN-LINK", &invite)]);
    let start = |args: &[String]| {
        let mut command = Command::new(program("examples/notifier"));
        command.args(args).current_dir(folder.path()).stdin(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut notifier = start(&args);
    let mut input = notifier.stdin.take().unwrap();
    let lines: Vec<String> = (0..15).map(|n| format!("line {n}")).collect();
    for line in &lines[..5] {
        writeln!(input, "{line}").unwrap();
    }
    // A line goes out while the next is awaited.
    assert_eq!(bob.receives(5), lines[..5]);
    node.kill();
    for line in &lines[5..] {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    node.restart();
    assert!(notifier.wait().unwrap().success(), "it waits until the node has them");
    assert_eq!(bob.receives(10), lines[5..]);

    let mut second = start(&args[..2]);
    writeln!(second.stdin.take().unwrap(), "once more").unwrap();
    assert!(second.wait().unwrap().success());
    assert_eq!(bob.receives(1), ["once more"]);
    let nobody = start(&args[..1]).wait().unwrap();
    assert_eq!(nobody.code(), Some(1), "it says how it is to be called");
}
