//! A conversation leaves the messenger: every message, in a form that outlives it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use postroad_tests::programs::program;
use postroad_tests::{Node, Person};
use serde_json::Value;

const HOSTILE: &str = "</title><script>alert(1)</script>\u{202e}\u{1b}[2J\0 onload=\"x\"";

/// A command that does not ask for JSON; what it printed.
fn plain(person: &Person, args: &[&str]) -> std::process::Output {
    let mut command = Command::new(program("pouch"));
    command.arg("--data-dir").arg(person.dir()).args(args).stdin(Stdio::null());
    command.output().unwrap()
}

fn export(person: &Person, args: &[&str]) -> Vec<u8> {
    let output = plain(person, &[&["export"], args].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn rows(lines: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(lines).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Two people, and a conversation with something of everything. Bob has read none of the last.
fn talked(node: &Node) -> (Person, Person) {
    let (alice, bob) = (Person::join("alice", node), Person::join("bob", node));
    alice.add(&bob);
    let (first, _) = alice.send("bob", "shall we meet?");
    assert_eq!(bob.inbox(), ["shall we meet?"]);
    bob.ok(&["send", "alice", "--reply", &first, "yes, at noon"]);
    alice.inbox();
    bob.ok(&["react", &first, "👍"]);
    let (typo, _) = alice.send("bob", "good, untli then");
    alice.ok(&["edit", &typo, "good, until then"]);
    let (wrong, _) = alice.send("bob", "not for you");
    alice.ok(&["--yes", "delete", &wrong]);
    // No argument can hold a NUL.
    assert_eq!(alice.run_with(&["send", "bob", "-"], HOSTILE).code, 0);
    bob.ok(&["status"]);
    alice.ok(&["status"]);
    (alice, bob)
}

#[test]
fn a_conversation_is_exported_in_both_forms_and_nothing_counts_as_read() {
    let node = Node::start("");
    let (alice, bob) = talked(&node);
    let folder = tempfile::tempdir().unwrap();

    // The same rows as read shows, and to a file as well as to a pipe.
    let exported = rows(&export(&bob, &["alice"]));
    assert!(!exported.is_empty());
    let file = folder.path().join("alice.jsonl").display().to_string();
    let said = bob.ok(&["export", "alice", "-O", &file]);
    assert_eq!((&said["chat"], &said["messages"]), (&"alice".into(), &exported.len().into()));
    assert_eq!(rows(&fs::read(&file).unwrap()), exported);

    let page = folder.path().join("alice.html").display().to_string();
    export(&bob, &["alice", "--format", "html", "-O", &page]);
    let to_pipe = String::from_utf8(export(&bob, &["alice", "--format", "html"])).unwrap();
    let html = fs::read_to_string(&page).unwrap();
    let main = |page: &str| page.split("<footer>").next().unwrap().to_owned();
    assert_eq!(main(&html), main(&to_pipe));
    for part in ["good, until then", " · edited", "[deleted]", "<blockquote>", "👍", "</html>"] {
        assert!(html.contains(part), "{part} in {html}");
    }
    let lower = html.to_lowercase();
    assert!(lower.contains("&lt;/title&gt;&lt;script&gt;") && !lower.contains("<script"), "{html}");
    assert!(!html.contains(['\u{202e}', '\u{1b}', '\0']), "{html}");
    for name in [&file, &page] {
        assert_eq!(fs::metadata(name).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(names(folder.path()), ["alice.html", "alice.jsonl"], "nothing else is left");

    // Nothing was marked: what was new still is, and its sender was not told otherwise.
    let new = bob.inbox();
    assert_eq!(new, ["good, until then", HOSTILE]);
    assert_eq!(bob.ok(&["read", "alice", "-n", "0"]).as_array().unwrap().len(), exported.len());
    let mine = String::from_utf8(export(&alice, &["bob", "--format", "html"])).unwrap();
    assert!(mine.contains(" · read") && mine.contains("class=\"own\""), "{mine}");
}

#[test]
fn what_is_there_is_not_replaced_and_what_cannot_be_written_leaves_nothing() {
    let node = Node::start("");
    let (_alice, bob) = talked(&node);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alice.jsonl").display().to_string();
    fs::write(&file, "mine").unwrap();
    let refused = bob.run(&["export", "alice", "-O", &file]);
    assert_eq!((refused.code, &refused.error["code"]), (2, &"needs_yes".into()));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    bob.ok(&["--yes", "export", "alice", "-O", &file]);
    assert!(!rows(&fs::read(&file).unwrap()).is_empty());

    let nowhere = folder.path().join("no/such/place").display().to_string();
    for (out, code) in [(&*nowhere, "io"), ("/dev/null", "usage")] {
        let failed = bob.run(&["--yes", "export", "alice", "-O", out]);
        assert_eq!(failed.error["code"], code, "{}", failed.stderr);
        assert!(!failed.error["hint"].as_str().unwrap().is_empty());
    }
    let nobody = bob.run(&["export", "mallory", "-O", &nowhere]);
    assert_eq!(nobody.code, 4, "{}", nobody.stderr);
    assert_eq!(names(folder.path()), ["alice.jsonl"]);
}
