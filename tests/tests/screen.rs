//! The full screen in a real terminal: tmux is one that can be asked what it shows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Command, Output, Stdio};

use postroad_tests::programs::{is_installed, program};
use postroad_tests::{Network, Node, Person, wait_for};
use tempfile::TempDir;

/// A terminal with a shell in it.
struct Terminal {
    dir: TempDir,
}

impl Terminal {
    fn new() -> Self {
        Self::of(80)
    }

    /// One that is so many columns wide.
    fn of(columns: u16) -> Self {
        let terminal = Self { dir: TempDir::new().unwrap() };
        let columns = columns.to_string();
        let started = terminal.tmux(&["new-session", "-d", "-x", &columns, "-y", "24", "sh"]);
        assert!(started.status.success(), "{started:?}");
        // So that it takes what programs hand over to be copied.
        terminal.tmux(&["set-option", "-s", "set-clipboard", "on"]);
        terminal.line("PS1='ready> '; clear");
        terminal.wait("ready>");
        terminal
    }

    /// A server of its own, which nobody's configuration changes.
    fn tmux(&self, args: &[&str]) -> Output {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.dir.path().join("tmux")).args(["-f", "/dev/null", "-u"]);
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX").env_remove("NO_COLOR");
        command.stdin(Stdio::null()).args(args).output().unwrap()
    }

    /// Types a text.
    fn write(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    /// Presses a key, by tmux's name for it.
    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn line(&self, text: &str) {
        self.write(text);
        self.press("Enter");
    }

    fn shown(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p"]).stdout).unwrap()
    }

    /// Waits until this is on the screen, and returns all that is.
    fn wait(&self, part: &str) -> String {
        self.wait_until(&format!("{part:?}"), |shown| shown.contains(part))
    }

    fn wait_until(&self, what: &str, mut holds: impl FnMut(&str) -> bool) -> String {
        let mut last = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(&format!("the screen to show {what}"), || {
                last = self.shown();
                holds(&last).then(|| last.clone())
            })
        }));
        found.unwrap_or_else(|_| panic!("waited in vain for {what} on the screen:\n{last}"))
    }

    /// Starts the screen of this person.
    fn start(&self, person: &Person) {
        let pouch = program("pouch");
        self.line(&format!("{} --data-dir {}", pouch.display(), person.dir().display()));
    }

    /// Asks what runs in the terminal's shell to end (SIGTERM).
    fn end(&self) {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"]).stdout;
        let shell = String::from_utf8(shell).unwrap();
        let children = format!("/proc/{0}/task/{0}/children", shell.trim());
        let child = std::fs::read_to_string(children).unwrap();
        let child = child.trim().parse().ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(child, rustix::process::Signal::TERM).unwrap();
    }

    /// Whether the shell has its terminal back as it was: its own screen, its keys and echo.
    fn is_given_back(&self) {
        self.wait("ready>");
        let modes = "#{alternate_on} #{bracket_paste_flag} #{cursor_flag}";
        wait_for("the terminal's modes", || {
            let modes = self.tmux(&["display-message", "-p", modes]).stdout;
            let modes = String::from_utf8(modes).unwrap();
            // Older ones do not know all of these.
            (modes.starts_with('0') && modes.trim_end().ends_with('1')).then_some(())
        });
        self.line("clear; stty -a | tr ' ;' '\\n\\n' | grep -x -e icanon -e echo -e isig");
        self.wait_until("a terminal that echoes", |shown| {
            ["icanon", "echo", "isig"].iter().all(|mode| shown.lines().any(|line| line == *mode))
        });
        self.line("clear");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn people_write_to_each_other_on_the_full_screen() {
    if !is_installed("tmux") {
        return;
    }
    let mut node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    let terminal = Terminal::new();
    terminal.start(&alice);
    terminal.wait("= connected to");
    terminal.press("Enter");
    terminal.wait("nothing was written yet");
    terminal.write("hello from the screen");
    terminal.press("Enter");
    assert_eq!(bob.receives(1), ["hello from the screen"]);
    let shown = terminal.wait("● read");
    assert!(shown.contains("hello from the screen"), "{shown}");

    let chat = bob.ok(&["chats"])[0]["chat"].as_str().unwrap().to_owned();
    let (id, _) = bob.send(&chat, "hello from bob");
    terminal.wait("hello from bob");
    bob.wait_until(&id, "read");

    // Another command on the same profile has the screen's connection send for it.
    alice.send("bob", "from a command");
    terminal.wait("from a command");
    assert_eq!(bob.receives(1), ["from a command"]);

    // Up selects alice's last message.
    terminal.press("Up");
    terminal.press("y");
    wait_for("the text to be copied", || {
        let copied = terminal.tmux(&["show-buffer"]).stdout;
        (copied == b"from a command").then_some(())
    });
    terminal.press("w");
    let why = terminal.wait("by bob, device");
    assert!(why.contains("delivered") && !why.contains("NOT VERIFIABLE"), "{why}");
    terminal.press("Escape");
    terminal.wait_until("no dialog", |shown| !shown.contains("by bob, device"));
    terminal.press("Tab");

    node.kill();
    terminal.wait("! offline: ");
    terminal.write("written offline");
    terminal.press("Enter");
    terminal.wait("· queued");
    terminal.wait("1 waiting here");
    node.restart();
    terminal.wait("= connected to");
    assert_eq!(bob.receives(1), ["written offline"]);
    terminal.wait_until("no queued message", |shown| !shown.contains("queued"));

    terminal.write("a draft");
    terminal.press("C-q");
    terminal.is_given_back();
    terminal.start(&alice);
    terminal.wait("✎");
    terminal.press("Enter");
    terminal.wait("› a draft");
    // Also when somebody else ends it.
    terminal.end();
    terminal.wait("interrupted");
    terminal.is_given_back();
}

#[test]
fn people_see_who_is_there_and_writing_across_nodes() {
    if !is_installed("tmux") {
        return;
    }
    let network = Network::start(2);
    let (alice, bob) = network.alice_and_bob();
    alice.send("bob", "hi");
    assert_eq!(bob.receives(1), ["hi"]);
    let chat = bob.ok(&["chats"])[0]["chat"].as_str().unwrap().to_owned();
    bob.send(&chat, "hello");
    assert_eq!(alice.receives(1), ["hello"]);

    let (at_alice, at_bob) = (Terminal::new(), Terminal::new());
    at_alice.start(&alice);
    at_alice.wait("= connected to");
    at_alice.press("Enter");
    // Another process has Bob's connection, and hears what his screen shows.
    let watch = bob.watch(&["--signs"]);
    watch.wait_for("online", |line| line["event"] == "online");
    at_bob.start(&bob);
    at_bob.wait("by another command");
    at_bob.press("Enter");
    at_alice.wait("bob · is here");
    at_bob.wait("is here");
    at_alice.write("@bob, are you");
    at_bob.wait("is writing");
    watch.wait_for("writing", |line| line["event"] == "signs" && line["writing"] == true);
    at_alice.write(" coming?");
    at_alice.press("Enter");
    let shown = at_bob.wait("(names you)");
    assert!(shown.contains("@bob, are you coming?"), "{shown}");
    at_bob.wait_until("nobody writing", |shown| !shown.contains("is writing"));
    let read = bob.ok(&["read", &chat]);
    let last = read.as_array().unwrap().last().unwrap();
    assert_eq!(last["mentions"], serde_json::json!([{ "who": "me", "start": 0, "length": 4 }]));

    // Who goes says so: the other process has the connection, and stays.
    at_bob.press("C-q");
    at_alice.wait_until("nobody there", |shown| !shown.contains("is here"));
}

#[test]
fn somebody_new_joins_on_the_full_screen() {
    if !is_installed("tmux") {
        return;
    }
    let node = Node::start("");
    let carol = Person::new("carol");
    let terminal = Terminal::new();
    terminal.start(&carol);
    terminal.wait("no account yet");
    terminal.write("postroad:join#nonsense");
    terminal.press("Enter");
    terminal.write("carol");
    terminal.press("Enter");
    terminal.wait("copy the whole link");
    terminal.press("Up");
    terminal.press("C-u");
    terminal.write(&node.invite());
    terminal.press("Enter");
    terminal.press("Enter");
    let shown = terminal.wait("= connected to");
    assert!(shown.contains("carol@"), "{shown}");
    terminal.press("C-q");
    terminal.is_given_back();
    assert!(carol.ok(&["whoami"])["handle"].as_str().unwrap().starts_with("carol@"));
}

#[test]
fn a_narrow_terminal_shows_lists_that_can_be_read() {
    if !is_installed("tmux") {
        return;
    }
    let node = Node::start("");
    let (alice, bob) = (Person::join("alice", &node), Person::join("bob", &node));
    alice.add(&bob);
    alice.send("bob", "a text that is longer than what there is room for on a line");
    let terminal = Terminal::of(40);
    let pouch = format!("{} --data-dir {}", program("pouch").display(), alice.dir().display());
    terminal.line(&format!("clear; {pouch} contact ls"));
    let shown = terminal.wait("verified:");
    assert!(
        shown.lines().any(|line| line.starts_with("name:") && line.ends_with("bob")),
        "{shown}"
    );
    let at_80 = Terminal::new();
    at_80.line(&format!("clear; {pouch} chats"));
    let shown = at_80.wait("UNREAD");
    assert!(
        shown.lines().any(|line| line.starts_with("bob ") && line.contains("a text")),
        "{shown}"
    );
}

#[test]
fn a_passphrase_is_typed_unseen_and_a_lock_ends_the_screen() {
    if !is_installed("tmux") || !postroad_client::Lock::can_hold() {
        return;
    }
    let node = Node::start("");
    let alice = Person::join("alice", &node);
    let terminal = Terminal::new();
    let pouch = format!("{} --data-dir {}", program("pouch").display(), alice.dir().display());
    terminal.line(&format!("clear; {pouch} lock"));
    terminal.wait("new passphrase:");
    terminal.line("correct horse battery");
    terminal.wait("once more:");
    terminal.line("correct horse battery");
    let shown = terminal.wait("locked: pouch unlock opens it again");
    assert!(!shown.contains("correct"), "{shown}");
    terminal.is_given_back();
    terminal.line(&format!("clear; {pouch} unlock"));
    terminal.wait("passphrase:");
    terminal.press("C-c");
    terminal.wait("interrupted");
    terminal.is_given_back();
    terminal.line(&format!("clear; {pouch} unlock"));
    terminal.wait("passphrase:");
    terminal.line("correct horse battery");
    terminal.wait("unlocked, until no command is run for 15m");

    terminal.start(&alice);
    terminal.wait("= connected to");
    assert_eq!(alice.ok(&["lock"])["locked"], true);
    terminal.wait("error: this profile is locked");
    terminal.is_given_back();
    // And it does not open again.
    terminal.start(&alice);
    terminal.wait("hint: pouch unlock");
}

#[test]
fn without_a_terminal_there_is_the_help_and_no_screen() {
    let output = Command::new(program("pouch")).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: pouch"));
}
