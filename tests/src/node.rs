//! A node as a process: started, killed, started again on the same data and addresses.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::programs::program;
use crate::wait_for;

/// A posthoused with a data directory of its own.
pub struct Node {
    dir: PathBuf,
    /// Removed with the node, unless the directory was given.
    _temporary: Option<TempDir>,
    program: PathBuf,
    environment: Vec<(String, String)>,
    process: Option<Child>,
    ready: Value,
}

impl Node {
    /// Starts a node with this configuration (TOML).
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn start(config: &str) -> Self {
        let temporary = TempDir::new().unwrap();
        let dir = temporary.path().join("node");
        let mut node = Self::prepare(&dir, config);
        node._temporary = Some(temporary);
        node.restart();
        node
    }

    /// A node on `dir` that is not started yet.
    ///
    /// # Panics
    /// When the directory cannot be made.
    pub fn prepare(dir: &Path, config: &str) -> Self {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("posthoused.toml"), config).unwrap();
        Self {
            dir: dir.to_owned(),
            _temporary: None,
            program: program("posthoused"),
            environment: Vec::new(),
            process: None,
            ready: Value::Null,
        }
    }

    /// Another program in place of posthoused, from the next start on.
    pub fn set_program(&mut self, path: PathBuf) {
        self.program = path;
    }

    /// A variable for its environment, from the next start on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it (again): on its data and, if it ran before, its addresses.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let ready_file = self.dir.join("ready.json");
        let _ = fs::remove_file(&ready_file);
        self.spawn(&ready_file);
        self.ready = wait_for("the node to get ready", || {
            if let Some(status) = self.process.as_mut().unwrap().try_wait().unwrap() {
                panic!("the node ended with {status}:\n{}", self.log());
            }
            serde_json::from_slice(&fs::read(&ready_file).ok()?).ok()
        });
    }

    /// Starts it without waiting.
    ///
    /// # Panics
    /// When the program cannot be run.
    pub fn spawn(&mut self, ready_file: &Path) {
        let (client, admin) = (self.client(), self.admin());
        let log = File::options().create(true).append(true).open(self.log_file()).unwrap();
        let child = Command::new(&self.program)
            .args(["run", "--data-dir"])
            .arg(&self.dir)
            .args(["--listen", &client, "--admin", &admin, "--ready-file"])
            .arg(ready_file)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(child);
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// SIGTERM, and its exit status.
    ///
    /// # Panics
    /// When it does not end.
    pub fn terminate(&mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(self.process.as_ref().expect("it runs"));
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.wait_for_end()
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let status =
            wait_for("the node to end", || self.process.as_mut().unwrap().try_wait().unwrap());
        self.process = None;
        status
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// Its data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `host:port` for clients; port 0 before the first start.
    pub fn client(&self) -> String {
        self.ready["client"][0].as_str().unwrap_or("127.0.0.1:0").to_owned()
    }

    /// `host:port` of the operator's interface.
    pub fn admin(&self) -> String {
        self.ready["admin"].as_str().unwrap_or("127.0.0.1:0").to_owned()
    }

    /// Its node link.
    pub fn link(&self) -> String {
        self.ready["link"].as_str().unwrap_or_default().to_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.dir.join("posthoused.log")
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Runs `postroad --json` against it.
    ///
    /// # Panics
    /// When it fails.
    pub fn postroad(&self, args: &[&str]) -> Value {
        let output = Command::new(program("postroad"))
            .arg("--json")
            .args(args)
            .env("POSTROAD_ADMIN", self.admin())
            .env("POSTROAD_ADMIN_TOKEN_FILE", self.dir.join("admin.token"))
            .output()
            .unwrap();
        assert!(output.status.success(), "postroad {args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// A fresh invite for one person.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn invite(&self) -> String {
        self.postroad(&["invite", "create"])["link"].as_str().unwrap().to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the node in {}\n{}", self.dir.display(), self.log());
        }
    }
}
