//! A stand-in for a node: answers one request as told and keeps what it heard.

// Each test program uses a part of this.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Command, Output, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::Duration,
};

use serde_json::Value;

/// Answers requests in turn; hears their first line, their token and their body.
pub struct StandIn {
    pub address: String,
    heard: Receiver<Heard>,
}

#[derive(Debug, PartialEq)]
pub struct Heard {
    pub request: String,
    pub token: String,
    pub body: String,
}

impl StandIn {
    pub fn new(answers: Vec<(u16, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tell, heard) = sync_channel(answers.len());
        thread::spawn(move || {
            for (status, body) in answers {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream);
                tell.send(hear(&mut reader)).unwrap();
                let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
                let length = format!("Content-Length: {}\r\n\r\n", body.len());
                reader.get_mut().write_all((head + &length + &body).as_bytes()).unwrap();
            }
        });
        StandIn { address, heard }
    }

    pub fn json(answers: &[(u16, Value)]) -> Self {
        Self::new(answers.iter().map(|(status, body)| (*status, body.to_string())).collect())
    }

    pub fn run(&self, args: &[&str]) -> Output {
        postroad(&self.address).args(args).output().unwrap()
    }

    pub fn heard(&self) -> Heard {
        self.heard.recv_timeout(Duration::from_secs(10)).unwrap()
    }
}

fn hear(reader: &mut impl BufRead) -> Heard {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    let request = line();
    let (mut token, mut length) = (String::new(), 0);
    loop {
        let header = line();
        match header.split_once(": ") {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                token = value.into();
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap();
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Heard { request, token, body: String::from_utf8(body).unwrap() }
}

pub fn postroad(address: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroad"));
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("POSTROAD_ADMIN", address)
        .env("POSTROAD_ADMIN_TOKEN", "the-token")
        // Must be ignored: the token stays on this machine.
        .env("http_proxy", "http://127.0.0.1:9")
        .stdin(Stdio::null());
    command
}

pub fn error_line(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.lines().count(), 1, "one JSON line: {text}");
    let error: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(error["exit"].as_i64(), output.status.code().map(i64::from));
    assert!(!error["hint"].as_str().unwrap().is_empty(), "{error}");
    error
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
