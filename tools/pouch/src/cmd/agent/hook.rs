//! What the agent runs when something comes in.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use postroad_cli::{Printer, markup, safe};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::args::AgentArgs;
use crate::passphrase;

/// Hooks at once, and how long one may take before it is ended.
const AT_ONCE: usize = 4;
const LIMIT: Duration = Duration::from_secs(30);
/// Events that wait for their hook at a time; the others stay in the database until there is room.
const WAITING: usize = 256;
/// How long hooks that run may still take when the agent ends.
const FAREWELL: Duration = Duration::from_secs(3);
/// Characters of a text that a notification shows.
const SHOWN: usize = 200;

/// Something to tell.
pub(super) struct News {
    pub(super) event: &'static str,
    pub(super) chat: String,
    pub(super) id: String,
    /// For people, harmless.
    pub(super) text: String,
    /// For programs: an object as `watch` prints it.
    pub(super) line: String,
}

/// Runs hooks, and knows which events have not been told yet.
pub(super) struct Hooks {
    command: Option<String>,
    notify: bool,
    turns: Arc<Semaphore>,
    open: BTreeSet<i64>,
    /// The event that was told; none if the agent ends before its turn came.
    running: JoinSet<Option<i64>>,
}

impl Hooks {
    pub(super) fn new(args: &AgentArgs, printer: &Printer) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let has_program =
            || std::env::split_paths(&path).any(|dir| dir.join("notify-send").is_file());
        let notify = args.notify && has_program();
        if args.notify && !notify {
            printer.warn("warning: there is no notify-send, so nothing is shown on the desktop");
        }
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let (open, running) = (BTreeSet::new(), JoinSet::new());
        Self { command: args.hook.clone(), notify, turns, open, running }
    }

    /// The first event that has not been told yet.
    pub(super) fn first_open(&mut self) -> Option<i64> {
        while let Some(done) = self.running.try_join_next() {
            done_with(&mut self.open, done);
        }
        self.open.first().copied()
    }

    /// Whether one more event can be told.
    pub(super) fn has_room(&self) -> bool {
        self.running.len() < WAITING
    }

    /// Tells it as soon as others have been told.
    pub(super) fn tell(&mut self, number: i64, news: News) {
        if self.command.is_none() && !self.notify {
            return;
        }
        self.open.insert(number);
        let (turns, command, notify) = (self.turns.clone(), self.command.clone(), self.notify);
        self.running.spawn(async move {
            let _turn = turns.acquire().await.ok()?;
            if let Some(command) = command {
                run(&mut shell(&command, &news), &news.line).await;
            }
            if notify {
                run(&mut notification(&news), "").await;
            }
            Some(number)
        });
    }

    /// Begins no more hooks, and waits a little for those that run. What was not told is told by the
    /// next agent.
    pub(super) async fn finish(&mut self) {
        self.turns.close();
        let ended = async {
            while let Some(done) = self.running.join_next().await {
                done_with(&mut self.open, done);
            }
        };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            self.running.shutdown().await;
        }
    }
}

fn done_with(open: &mut BTreeSet<i64>, done: Result<Option<i64>, tokio::task::JoinError>) {
    if let Ok(Some(number)) = done {
        open.remove(&number);
    }
}

/// Nothing that somebody else wrote is in the command line: it would be a command.
fn shell(command: &str, news: &News) -> Command {
    let mut shell = Command::new("sh");
    // What opens the profile is the agent's alone.
    shell.env_remove(passphrase::VARIABLE);
    shell.arg("-c").arg(command);
    // Names and ids are harmless in the environment, but for what cannot be in it at all.
    let chat = news.chat.replace('\0', "");
    shell.env("POSTROAD_EVENT", news.event).env("POSTROAD_CHAT", chat);
    shell.env("POSTROAD_ID", &news.id);
    shell
}

fn notification(news: &News) -> Command {
    let short: String = news.text.chars().take(SHOWN).collect();
    let mut command = Command::new("notify-send");
    // The body is markup, the title is not.
    command.args(["--app-name=Postroad", "--"]).arg(&*safe(&news.chat)).arg(markup(&short));
    command
}

/// Runs it with `input`, and ends it and whatever it has started if it takes too long.
async fn run(command: &mut Command, input: &str) {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return complain(&format!("cannot be run: {error}")),
    };
    // Declared after the child, so that it goes before it: while nobody has waited for the child, its
    // number is nobody else's.
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let stdin = child.stdin.take();
    let work = async {
        if let Some(mut stdin) = stdin {
            // One that does not read is free not to.
            let _ = stdin.write_all(format!("{input}\n").as_bytes()).await;
        }
        child.wait().await
    };
    let ended = tokio::time::timeout(LIMIT, work).await;
    if ended.is_ok() {
        // It has ended by itself; what it left running on purpose stays.
        group.0 = None;
    }
    match ended {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => complain(&format!("ended with {status}")),
        Ok(Err(error)) => complain(&error.to_string()),
        Err(_) => complain(&format!("took longer than {LIMIT:?} and was ended")),
    }
}

/// A hook and whatever it has started. Ended with this, also when the agent ends before the hook.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn complain(what: &str) {
    let at = postroad_cli::rfc3339_ms(postroad_cli::now_ms());
    postroad_cli::complain(&format!("{at} the hook {what}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(text: &str) -> News {
        let (chat, id) = ("bo\0b$(x)".to_owned(), "id".to_owned());
        News { event: "message", chat, id, text: text.to_owned(), line: "{}".to_owned() }
    }

    fn arguments(command: &Command) -> Vec<String> {
        let args = command.as_std().get_args();
        args.map(|arg| arg.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_others_wrote_is_no_command_and_no_markup() {
        let shell = shell("cat", &news("$(touch x)"));
        assert_eq!(arguments(&shell), ["-c", "cat"]);
        let args = arguments(&notification(&news(&format!("<b>&{}", "x".repeat(500)))));
        assert_eq!(args[..2], ["--app-name=Postroad", "--"]);
        assert!(args[3].starts_with("&lt;b&gt;&amp;xxx") && args[3].len() < 220, "{}", args[3]);
    }

    #[tokio::test]
    async fn an_event_is_open_until_its_hook_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out");
        let command = Some(format!("cat >> '{}'", file.display()));
        let args = AgentArgs { hook: command, notify: false };
        let printer = postroad_cli::GlobalArgs::default().printer();
        let mut hooks = Hooks::new(&args, &printer);
        for number in [4, 5] {
            hooks.tell(number, news("hi"));
        }
        assert_eq!(hooks.first_open(), Some(4));
        while hooks.first_open().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(std::fs::read_to_string(file).unwrap(), "{}\n{}\n");
    }

    #[tokio::test]
    async fn an_agent_that_ends_waits_for_no_queue_and_forgets_none_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let hook = format!("exec 3> '{}'; sleep 60 & wait", pipe.display());
        let args = AgentArgs { hook: Some(hook), notify: false };
        let printer = postroad_cli::GlobalArgs::default().printer();
        let mut hooks = Hooks::new(&args, &printer);
        for number in 1..=20 {
            assert!(hooks.has_room());
            hooks.tell(number, news("hi"));
        }
        // Ends when nobody has the pipe any more: neither a hook nor what it has started.
        let open = std::thread::spawn(move || std::fs::read(pipe));
        tokio::task::yield_now().await;
        let begun = std::time::Instant::now();
        hooks.finish().await;
        open.join().unwrap().unwrap();
        assert!(begun.elapsed() < FAREWELL * 2);
        assert_eq!(hooks.first_open(), Some(1), "all are told by the next agent");
    }
}
