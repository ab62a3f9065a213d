//! Every command that the README shows runs as it stands there, and every program explains itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use postroad_tests::programs::program;
use postroad_tests::wait_for;
use serde_json::Value;
use tempfile::TempDir;

const README: &str = include_str!("../../README.md");

/// The commands below a heading: indented lines, comments left out.
fn commands(heading: &str) -> Vec<Vec<String>> {
    let section = README.split("\n## ").find(|text| text.starts_with(heading)).expect(heading);
    section
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| line.split(" # ").next().unwrap().trim())
        .filter(|line| line.starts_with("po"))
        .map(|line| line.split_whitespace().map(|word| word.trim_matches('"').to_owned()).collect())
        .collect()
}

/// Somebody's home directory, with the programs as they are called there.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(program(&words[0]));
        command
            .args(&words[1..])
            .env_clear()
            .env("HOME", self.0.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            // Other ports than the default ones, which may be taken on this machine.
            .env("POSTROAD_LISTEN", "127.0.0.1:0")
            .env("POSTROAD_ADMIN_LISTEN", "127.0.0.1:0")
            .env("POSTROAD_P2P_LISTEN", "127.0.0.1:0")
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[String]) -> Output {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        output
    }

    /// With something on standard input.
    fn run_with(&self, words: &[String], input: &str) -> Output {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that asks for nothing does not read it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        output
    }

    fn json(&self, line: &str) -> Value {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        serde_json::from_slice(&self.run(&words).stdout).unwrap()
    }

    /// Starts a node, and waits until it answers.
    fn start(&self, words: &[String]) -> Running {
        let pointer = self.data().join("posthoused/admin.json");
        let _ = std::fs::remove_file(&pointer);
        let child = self.command(words).stderr(Stdio::null()).spawn().unwrap();
        wait_for("the node to start", || {
            let text = std::fs::read_to_string(&pointer).ok()?;
            let found: Value = serde_json::from_str(&text).ok()?;
            let words = ["postroad", "--admin", found["admin"].as_str()?, "status"];
            let words = words.map(str::to_owned);
            self.command(&words).output().unwrap().status.success().then_some(())
        });
        Running(child)
    }

    fn data(&self) -> std::path::PathBuf {
        self.0.path().join(".local/share/postroad")
    }
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_readme_works_as_it_stands() {
    let operator = Home::new();
    let mut node = None;
    let mut shown = 0;
    for words in commands("Run a node") {
        shown += 1;
        if words.len() == 1 {
            node = Some(operator.start(&words));
            continue;
        }
        operator.run(&words);
    }
    assert!(node.is_some() && shown >= 4, "{shown} commands");

    let (alice, bob) = (Home::new(), Home::new());
    let invite = || operator.json("postroad --json invite create")["link"].clone();
    bob.json(&format!("pouch --json join {} --name bob", invite().as_str().unwrap()));
    let bobs = bob.json("pouch --json whoami")["link"].clone();
    let mut message = Value::Null;
    let chat = commands("Chat");
    assert!(chat.len() >= 5);
    for words in chat {
        let link = if words[1] == "join" { invite() } else { bobs.clone() };
        let fill = |word: &String| match word.as_str() {
            "LINK" => link.as_str().unwrap().to_owned(),
            "MESSAGE" => message.as_str().unwrap().to_owned(),
            word => word.to_owned(),
        };
        let words: Vec<String> = words.iter().map(fill).collect();
        alice.run(&words);
        if words[1] == "send" {
            message = alice.json("pouch --json read bob")[0]["id"].clone();
        }
    }
    assert_eq!(bob.json("pouch --json inbox")[0]["text"], "hello");
    second_device(&alice);
    comes_back(&operator, &alice);
    backups(&alice);
    at_rest(&alice);
    moves(&bob);
}

/// Makes a backup as the README says, and reads it.
fn backups(alice: &Home) {
    let shown = commands("Backups");
    assert_eq!(shown.len(), 3);
    for words in shown {
        let mut command = alice.command(&words);
        let output =
            command.env("POSTROAD_BACKUP_PASSPHRASE", "as good as five words").output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
}

/// Sets a passphrase and takes it away again as the README says.
fn at_rest(alice: &Home) {
    if !postroad_client::Lock::can_hold() {
        return;
    }
    let shown = commands("At rest");
    assert_eq!(shown.len(), 5);
    let file = alice.0.path().join("passphrase");
    std::fs::write(&file, "correct horse battery staple").unwrap();
    for words in shown {
        let mut command = alice.command(&words);
        // In place of whoever types it.
        command.env("POSTROAD_PASSPHRASE", "correct horse battery staple");
        if words.last().is_some_and(|word| word == "--change") {
            command.arg("--new-passphrase-file").arg(&file);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
    assert_eq!(alice.json("pouch --json settings")["lock_after_s"], 8 * 3600);
}

/// Links another device as the README says.
fn second_device(alice: &Home) {
    let laptop = Home::new();
    let mut shown = None;
    for words in commands("Several devices") {
        match shown.take() {
            None => {
                assert_eq!(words[1..], ["device", "link"]);
                let mut child = alice.command(&words).stdout(Stdio::piped()).spawn().unwrap();
                let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
                shown = Some((lines.next().unwrap().unwrap(), lines, Running(child)));
            }
            Some((link, lines, mut running)) => {
                let fill = |word: &String| if word == "LINK" { link.clone() } else { word.clone() };
                laptop.run(&words.iter().map(fill).collect::<Vec<_>>());
                assert!(lines.last().unwrap().unwrap().contains("has all"));
                assert!(running.0.wait().unwrap().success());
            }
        }
    }
    assert_eq!(laptop.json("pouch --json read bob")[0]["text"], "hello");
    assert_eq!(alice.json("pouch --json device ls").as_array().unwrap().len(), 2);
}

/// Goes to another node as the README says.
fn moves(bob: &Home) {
    let other = Home::new();
    let _node = other.start(&["posthoused", "run", "--name", "new.example"].map(str::to_owned));
    let invite = other.json("postroad --json invite create")["link"].as_str().unwrap().to_owned();
    let shown = commands("Another home");
    assert!(!shown.is_empty());
    for words in shown {
        let fill = |word: &String| if word == "LINK" { invite.clone() } else { word.clone() };
        let words: Vec<String> = words.iter().map(fill).collect();
        bob.run(&words);
    }
    let handle = bob.json("pouch --json whoami")["handle"].clone();
    assert_eq!(handle, "bob@new.example");
    leaves(bob);
}

/// Has the account deleted, and not after all, as the README says.
fn leaves(bob: &Home) {
    let ends = || bob.json("pouch --json status")["ends_at"].clone();
    let shown = commands("Leaving");
    assert_eq!(shown.len(), 2);
    for mut words in shown {
        words.insert(1, "--yes".to_owned());
        bob.run(&words);
        assert_eq!(ends().is_string(), words.contains(&"delete".to_owned()));
    }
}

/// Writes down the recovery phrase and restores from it as the README says.
fn comes_back(operator: &Home, alice: &Home) {
    let status = operator.json("postroad --json status");
    let link = status["node"]["link"].as_str().unwrap().to_owned();
    let phrase = alice.json("pouch --json backup phrase")["phrase"].as_str().unwrap().to_owned();
    for words in commands("When everything is lost") {
        let fill = |word: &String| if word == "NODE-LINK" { link.clone() } else { word.clone() };
        let mut words: Vec<String> = words.iter().map(fill).collect();
        match words[1].as_str() {
            // Without a terminal the words come from a file, and nobody can be asked.
            "restore" => {
                words.extend(["--phrase-file", "-", "--yes"].map(str::to_owned));
                let fresh = Home::new();
                fresh.run_with(&words, &phrase);
                assert_eq!(fresh.json("pouch --json contact ls")[0]["name"], "bob");
            }
            _ => drop(alice.run_with(&words, &phrase)),
        }
    }
}

#[test]
fn the_readme_joins_a_network_as_it_stands() {
    let (other, operator) = (Home::new(), Home::new());
    let alone = ["posthoused", "run", "--name", "other.example"].map(str::to_owned);
    let _other = other.start(&alone);
    let status = other.json("postroad --json status");
    let link = status["node"]["link"].as_str().unwrap().to_owned();
    let definition = format!("network = \"postroad\"\nbootstrap = [\"{link}\"]\n");
    std::fs::write(operator.0.path().join("network.toml"), definition).unwrap();
    let mut node = None;
    let shown = commands("Join a network");
    assert!(shown.len() >= 9);
    for words in shown {
        let fill = |word: &String| match word.as_str() {
            "LINK" => link.clone(),
            "FILE" => "network.toml".to_owned(),
            "NODE" => "other.example".to_owned(),
            word => word.to_owned(),
        };
        let words: Vec<String> = words.iter().map(fill).collect();
        if words[0] == "posthoused" {
            drop(node.take());
            node = Some(operator.start(&words));
            wait_for("the nodes to meet", || {
                let peers = operator.json("postroad --json peers");
                (peers[0]["name"] == "other.example").then_some(())
            });
            continue;
        }
        operator.run(&words);
    }
    let map = std::fs::read_to_string(operator.0.path().join("map.svg")).unwrap();
    assert!(map.contains("other.example"));
}

/// The subcommands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    list.take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

fn explain(program: &Path, path: &[String]) -> usize {
    let output = Command::new(program).args(path).arg("--help").output().unwrap();
    assert!(output.status.success(), "{path:?}: {output:?}");
    let help = String::from_utf8(output.stdout).unwrap();
    let mut count = 1;
    for name in subcommands(&help) {
        count += explain(program, &[path, &[name]].concat());
    }
    count
}

#[test]
fn every_command_explains_itself() {
    let counts = ["posthoused", "postroad", "pouch", "postroad-testnet"].map(|name| {
        let path = program(name);
        for args in [&["--version"][..], &["completions", "bash"]] {
            let output = Command::new(&path).args(args).output().unwrap();
            assert!(output.status.success() && !output.stdout.is_empty(), "{name} {args:?}");
        }
        let usage = Command::new(&path).arg("frobnicate").output().unwrap();
        assert_eq!(usage.status.code(), Some(2), "{name}");
        explain(&path, &[])
    });
    assert!(counts.iter().all(|count| *count > 8), "{counts:?}");
}

#[test]
fn the_testnet_does_what_it_says() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("net").display().to_string();
    let run = |args: &[&str]| {
        let mut words = vec!["--json"];
        words.extend(args);
        words.extend(["--dir", &dir]);
        let output = Command::new(program("postroad-testnet")).args(&words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or(Value::Null)
    };
    let up = run(&["up"]);
    let name = up["nodes"][0]["name"].as_str().unwrap().to_owned();
    let old = up["nodes"][0]["pid"].as_u64().unwrap();
    run(&["kill", &name]);
    run(&["restart", &name]);
    let nodes = run(&["ls"]);
    assert!(nodes.to_string().contains(&name), "{nodes}");
    let new = nodes[0]["pid"].as_u64().unwrap();
    assert_ne!(new, old);
    // The wire comes back, too, while the nodes have their ports.
    let state = std::fs::read_to_string(folder.path().join("net/testnet.json")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    let wire = rustix::process::Pid::from_raw(state["wire"]["pid"].as_i64().unwrap() as i32);
    rustix::process::kill_process(wire.unwrap(), rustix::process::Signal::KILL).unwrap();
    wait_for("the wire to end", || {
        std::fs::read_link(format!("/proc/{}/exe", state["wire"]["pid"])).is_err().then_some(())
    });
    run(&["heal"]);
    // A process that ended has no program any more, even while nobody has asked how it ended.
    let runs = |pid: u64| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok();
    assert!(runs(new) && !runs(old));
    run(&["down"]);
    assert!(!runs(new));
}
