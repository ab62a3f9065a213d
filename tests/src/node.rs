//! A node as a process: started, killed, started again on the same data and addresses.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use postroad_proto::SigningKey;
use postroad_proto::link::NodeLink;
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
    /// Flags beside those that every node is given.
    flags: Vec<String>,
    /// Where it listens for other nodes: port 0 before the first start.
    p2p: String,
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
        let mut node = Self {
            dir: dir.to_owned(),
            _temporary: None,
            program: program("posthoused"),
            environment: Vec::new(),
            flags: Vec::new(),
            p2p: "127.0.0.1:0".into(),
            process: None,
            ready: Value::Null,
        };
        node.set_config(config);
        node
    }

    /// Another program in place of posthoused, from the next start on.
    pub fn set_program(&mut self, path: PathBuf) {
        self.program = path;
    }

    /// A variable for its environment, from the next start on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Flags for it, from the next start on, in place of those set before.
    pub fn set_flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    }

    /// Another configuration (TOML), from the next start on.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn set_config(&mut self, config: &str) {
        fs::write(self.dir.join("posthoused.toml"), config).unwrap();
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
                // While it was down, another test's connection may have begun at its port.
                let is_taken = self
                    .log()
                    .trim_end()
                    .lines()
                    .rev()
                    .take(2)
                    .any(|line| line.contains("Address already in use"));
                assert!(is_taken, "the node ended with {status}:\n{}", self.log());
                self.spawn(&ready_file);
            }
            serde_json::from_slice(&fs::read(&ready_file).ok()?).ok()
        });
        if self.p2p.ends_with(":0") {
            let announced = self.ready["p2p"][0].as_str().unwrap_or_default();
            self.p2p = socket_address(announced).unwrap_or_else(|| panic!("{}", self.ready));
        }
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
            .args(["--listen", &client, "--admin", &admin, "--p2p-listen", &self.p2p])
            .args(&self.flags)
            .arg("--ready-file")
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

    /// Lets it do nothing, until it goes on: its connections stay.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// See [`Self::pause`].
    ///
    /// # Panics
    /// When it does not run.
    pub fn go_on(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
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

    /// `host:port` where it listens for other nodes; port 0 before the first start.
    pub fn p2p(&self) -> &str {
        &self.p2p
    }

    /// Its node id.
    pub fn id(&self) -> String {
        self.ready["node"].as_str().unwrap_or_default().to_owned()
    }

    /// Its node link.
    pub fn link(&self) -> String {
        self.ready["link"].as_str().unwrap_or_default().to_owned()
    }

    /// Its node link with another network's name.
    ///
    /// # Panics
    /// When it does not run, or that is no name.
    pub fn link_of_network(&self, network: &str) -> String {
        let link: NodeLink = self.link().parse().unwrap();
        NodeLink { network: network.parse().unwrap(), ..link }.to_string()
    }

    /// The key that its id is of, as it lies in its directory.
    ///
    /// # Panics
    /// When it is not there: the node was never started.
    pub fn signing_key(&self) -> SigningKey {
        let text = fs::read_to_string(self.dir.join("node.key")).unwrap();
        let keys: Value = serde_json::from_str(&text).unwrap();
        SigningKey::from_bytes(&serde_json::from_value(keys["signing"].clone()).unwrap())
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
        self.try_postroad(args).unwrap_or_else(|error| panic!("postroad {args:?}: {error}"))
    }

    /// Runs `postroad --json` against it.
    ///
    /// # Errors
    /// What it says when it fails.
    ///
    /// # Panics
    /// When the program cannot be run.
    pub fn try_postroad(&self, args: &[&str]) -> Result<Value, String> {
        let output = self.command(args).output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null))
    }

    /// `postroad --json` against it, not run yet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("postroad"));
        command.arg("--json").args(args);
        command.env("POSTROAD_ADMIN", self.admin());
        command.env("POSTROAD_ADMIN_TOKEN_FILE", self.dir.join("admin.token"));
        command
    }

    /// What happened between it and other nodes since it started, oldest first.
    ///
    /// # Panics
    /// When it does not say.
    pub fn events(&self) -> Vec<Value> {
        let output = self.command(&["events"]).output().unwrap();
        assert!(output.status.success(), "postroad events: {output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The texts of its events of one kind, oldest first.
    ///
    /// # Panics
    /// When it does not say.
    pub fn events_of(&self, kind: &str) -> Vec<String> {
        let events = self.events();
        let found = events.iter().filter(|event| event["kind"] == kind);
        found.map(|event| event["text"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits for an event of this kind whose text has `part` in it, and returns the text.
    ///
    /// # Panics
    /// When there is none in time.
    pub fn wait_for_event(&self, kind: &str, part: &str) -> String {
        wait_for(&format!("an event {kind}: {part}"), || {
            self.events_of(kind).into_iter().find(|text| text.contains(part))
        })
    }

    /// What it has of another node's record; `Null` when it knows none.
    ///
    /// # Panics
    /// When it does not say.
    pub fn route(&self, node: &str) -> Value {
        let routes = self.postroad(&["routes"]);
        let found = routes.as_array().unwrap().iter().find(|route| route["node"] == node);
        found.cloned().unwrap_or_default()
    }

    /// A fresh invite for one person.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn invite(&self) -> String {
        self.postroad(&["invite", "create"])["link"].as_str().unwrap().to_owned()
    }
}

/// `host:port` of a multiaddress such as `/ip4/127.0.0.1/tcp/7452`.
fn socket_address(multiaddress: &str) -> Option<String> {
    let mut parts = multiaddress.split('/').skip(2);
    let (host, _, port) = (parts.next()?, parts.next()?, parts.next()?);
    Some(format!("{host}:{port}"))
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
