//! A profile with a passphrase: what commands, an agent and a thief of the disk can do with it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use postroad_tests::{Node, Person, wait_for};
use serde_json::Value;

const OLD: &str = "correct horse battery staple";
const NEW: &str = "a rather different phrase";
const TEXT: &str = "what no thief is to read";

/// Whether keys can be held between commands here; says so when they cannot.
fn can_hold() -> bool {
    let can = postroad_client::Lock::can_hold();
    if !can {
        // Not by a macro: what those print of a test that passes is never seen.
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "SKIPPED: the kernel holds no keys for this user");
    }
    can
}

/// A file with a passphrase in it.
fn file(folder: &Path, text: &str) -> String {
    let path = folder.join(text.replace(' ', "-"));
    std::fs::write(&path, format!("{text}\n")).unwrap();
    path.display().to_string()
}

/// All files of a profile.
fn files(person: &Person) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(person.profile()).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

/// Which of these texts a thief of the disk finds in a profile.
fn found<'a>(person: &Person, texts: &[&'a str]) -> Vec<&'a str> {
    let all: Vec<u8> = files(person).iter().flat_map(|path| std::fs::read(path).unwrap()).collect();
    let has = |text: &&str| all.windows(text.len()).any(|window| window == text.as_bytes());
    texts.iter().copied().filter(has).collect()
}

fn at_rest(person: &Person, passphrase: &str) -> Value {
    person.ok(&["status", "--passphrase-file", passphrase])["at_rest"].clone()
}

fn refuses(person: &Person, args: &[&str], code: &str, exit: i32) {
    let ran = person.run(args);
    assert_eq!((ran.error["code"].as_str(), ran.code), (Some(code), exit), "{args:?} {ran:?}");
}

#[test]
fn a_thief_of_the_disk_reads_nothing_once_there_is_a_passphrase() {
    let node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    alice.send("bob", TEXT);
    let account = alice.ok(&["whoami"])["account"].as_str().unwrap().to_owned();
    let before = alice.ok(&["status"])["at_rest"].clone();
    assert_eq!((&before["protected"], &before["by"]), (&false.into(), &"none".into()));
    assert!(before["readable"][0].as_str().unwrap().contains("keys"), "{before}");
    let plain = ["SQLite format 3", TEXT, "bob", "CREATE TABLE", &account];
    assert!(found(&alice, &plain).contains(&TEXT));

    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (file(folder.path(), OLD), file(folder.path(), NEW));
    refuses(&alice, &["lock"], "no_passphrase", 6);
    let short = file(folder.path(), "short");
    refuses(&alice, &["lock", "--new-passphrase-file", &short], "usage", 2);
    let set = alice.ok(&["lock", "--new-passphrase-file", &old]);
    assert_eq!((&set["protected"], &set["locked"]), (&true.into(), &true.into()), "{set}");
    assert!(found(&alice, &plain).is_empty());

    for args in [
        &["status"][..],
        &["inbox"],
        &["send", "bob", "x"],
        &["whoami"],
        &["doctor"],
        &["settings"],
        &["agent", "start"],
        &["read", "bob"],
        &["watch"],
        &["contact", "ls"],
        &["join", &node.invite()],
    ] {
        refuses(&alice, args, "locked", 6);
    }
    assert_eq!(alice.run(&["status"]).error["hint"], "pouch unlock");
    refuses(&alice, &["status", "--passphrase-file", &new], "wrong_passphrase", 6);
    let now = at_rest(&alice, &old);
    assert_eq!((&now["protected"], &now["by"]), (&true.into(), &"passphrase".into()));
    assert_eq!(now["locked"], true, "what one command was given is not kept");
    alice.ok(&["send", "bob", "written under a passphrase", "--passphrase-file", &old]);
    assert_eq!(bob.receives(2), [TEXT, "written under a passphrase"]);
    assert!(found(&alice, &plain).is_empty());

    // Another one: the old one opens nothing any more, not even with the old key file's bytes.
    let key = std::fs::read(alice.profile().join("key")).unwrap();
    let change = ["lock", "--change", "--new-passphrase-file", &new, "--passphrase-file"];
    refuses(&alice, &[&change[..], &[&new]].concat(), "wrong_passphrase", 6);
    alice.ok(&[&change[..], &[&old]].concat());
    refuses(&alice, &["status", "--passphrase-file", &old], "wrong_passphrase", 6);
    let current = std::fs::read(alice.profile().join("key")).unwrap();
    std::fs::write(alice.profile().join("key"), key).unwrap();
    refuses(&alice, &["status", "--passphrase-file", &old], "corrupt", 1);
    let mut damaged = current.clone();
    damaged[40] ^= 1;
    std::fs::write(alice.profile().join("key"), damaged).unwrap();
    refuses(&alice, &["status", "--passphrase-file", &new], "key", 1);
    std::fs::write(alice.profile().join("key"), current).unwrap();

    alice.ok(&["lock", "--remove", "--passphrase-file", &new]);
    assert_eq!(alice.ok(&["status"])["at_rest"]["protected"], false);
    assert_eq!(alice.ok(&["read", "bob"]).as_array().unwrap().len(), 2);
    refuses(&alice, &["unlock"], "usage", 2);
}

#[test]
fn a_profile_is_unlocked_for_a_while_and_locks_by_itself() {
    if !can_hold() {
        return;
    }
    let node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    let folder = tempfile::tempdir().unwrap();
    let pass = file(folder.path(), OLD);
    alice.ok(&["lock", "--passphrase-file", &pass]);
    refuses(&alice, &["unlock"], "no_passphrase", 6);
    let unlocked = alice.ok(&["unlock", "--passphrase-file", &pass]);
    assert_eq!((&unlocked["locked"], &unlocked["lock_after_s"]), (&false.into(), &900.into()));
    assert_eq!(alice.ok(&["status"])["at_rest"]["locked"], false);
    assert_eq!(alice.ok(&["unlock"])["locked"], false, "it is already: nobody is asked");
    alice.ok(&["lock"]);
    refuses(&alice, &["inbox"], "locked", 6);

    alice.ok(&["unlock", "--passphrase-file", &pass]);
    refuses(&alice, &["settings", "lock-after", "on"], "usage", 2);
    let set = alice.ok(&["settings", "lock-after", "2s"]);
    assert_eq!(set["lock_after_s"], 2);
    wait_for("the profile to lock by itself", || {
        // Whoever asks without being a command does not keep it unlocked.
        let lock = postroad_client::Lock::of(&alice.profile());
        (!lock.is_open().unwrap()).then_some(())
    });
    refuses(&alice, &["inbox"], "locked", 6);
}

#[test]
fn an_agent_that_is_told_to_lock_drops_all_and_waits_to_be_unlocked() {
    if !can_hold() {
        return;
    }
    let node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    let folder = tempfile::tempdir().unwrap();
    let pass = file(folder.path(), OLD);
    let told = folder.path().join("told");
    let hook = format!("cat >> '{}'", told.display());
    bob.ok(&["lock", "--passphrase-file", &pass]);
    bob.ok(&["unlock", "--passphrase-file", &pass]);
    let pid = bob.ok(&["agent", "start", "--hook", &hook])["pid"].clone();
    let stop = Stop(&bob);
    let connected = || {
        wait_for("the agent to be connected", || {
            (bob.ok(&["agent", "status"])["online"] == true).then_some(())
        });
    };
    connected();
    refuses(&bob, &["lock", "--remove", "--passphrase-file", &pass], "in_use", 1);

    bob.ok(&["lock"]);
    let log = bob.profile().join("agent.log");
    wait_for("the agent to say that it is locked", || {
        std::fs::read_to_string(&log).unwrap().contains(" locked: ").then_some(())
    });
    refuses(&bob, &["agent", "status"], "locked", 6);
    let (id, _) = alice.send("bob", TEXT);
    assert_eq!(alice.state_of(&id), "at-node", "nobody takes it");
    assert!(!told.exists());

    bob.ok(&["unlock", "--passphrase-file", &pass]);
    connected();
    assert_eq!(bob.ok(&["agent", "status"])["pid"], pid, "the same one");
    wait_for("the hook", || {
        let told = std::fs::read_to_string(&told).unwrap_or_default();
        told.contains(TEXT).then_some(())
    });
    drop(stop);
    bob.ok(&["lock", "--remove", "--passphrase-file", &pass]);
    assert_eq!(bob.inbox(), [TEXT]);
}

/// Ends the agent of a person, whatever becomes of the test.
struct Stop<'a>(&'a Person);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.run(&["agent", "stop"]);
    }
}

#[test]
fn killed_while_the_passphrase_is_set_or_removed_a_profile_opens_with_the_old_or_the_new_one() {
    let node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    alice.send("bob", TEXT);
    let folder = tempfile::tempdir().unwrap();
    let pass = file(folder.path(), OLD);
    let mut seen = [0, 0];
    for round in 0..12_u64 {
        let is_set = alice.run(&["status"]).error["code"] == "locked";
        let verb: &[&str] = if is_set { &["lock", "--remove"] } else { &["lock"] };
        let mut child = alice.spawn(&[verb, &["--passphrase-file", &pass]].concat());
        let begun = std::time::Instant::now();
        // From when the new files may be there: a moment later with each round.
        let new = alice.profile().join("key.new");
        while !new.exists() && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        std::thread::sleep(std::time::Duration::from_millis(round * 2));
        child.kill().unwrap();
        child.wait().unwrap();
        let is_set = alice.run(&["status"]).error["code"] == "locked";
        seen[usize::from(is_set)] += 1;
        let read = alice.ok(&["read", "bob", "--passphrase-file", &pass]);
        assert_eq!(read[0]["text"], TEXT, "round {round} after {:?}", begun.elapsed());
    }
    assert!(seen[0] > 0, "{seen:?}");
}
