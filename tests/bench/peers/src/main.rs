//! The same load for other servers: XMPP, MQTT 3.1.1 and NATS JetStream, written by hand so that the
//! generator costs about the same for all. One thread. `run` starts the servers and calls this; see README.md.

mod conn;
mod offline;
mod online;
mod sessions;
mod tls;
mod usage;

use std::collections::HashMap;

use conn::{Cfg, Proto};

/// `--name value` pairs.
pub struct Args {
    m: HashMap<String, String>,
}
impl Args {
    pub fn get(&self, k: &str) -> Option<&String> {
        self.m.get(k)
    }

    pub fn s(&self, k: &str, d: &str) -> String {
        self.m.get(k).cloned().unwrap_or(d.into())
    }
    pub fn n(&self, k: &str, d: u64) -> u64 {
        self.m.get(k).map(|x| x.parse().expect("number")).unwrap_or(d)
    }
}

fn main() {
    let mut it = std::env::args().skip(1);
    let cmd = it.next().expect("a command: see README.md");
    let mut m = HashMap::new();
    while let Some(k) = it.next() {
        m.insert(k.trim_start_matches("--").to_string(), it.next().expect("value"));
    }
    let a = Args { m };
    if cmd == "port" {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        return;
    }
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cfg = Cfg {
        proto: match a.s("proto", "xmpp").as_str() {
            "xmpp" => Proto::Xmpp,
            "mqtt" => Proto::Mqtt,
            "nats" => Proto::Nats,
            x => panic!("proto {x}"),
        },
        addr: a.s("addr", "127.0.0.1:5222").parse().unwrap(),
        tls: (a.n("tls", 0) == 1).then(tls::config),
        sm: a.n("sm", 1) == 1,
        src_ips: 8,
    };
    let out = rt.block_on(async {
        match cmd.as_str() {
            "register" => sessions::register(cfg, a.n("users", 10000) as u32).await,
            "nats-setup" => sessions::nats_setup(cfg, a.n("users", 1000) as u32).await,
            "subscribe" => sessions::subscribe(cfg, a.n("users", 1000) as u32).await,
            "w1" => sessions::w1(cfg, &a).await,
            "w2" => online::w2(cfg, &a).await,
            "w3-send" => offline::w3_send(cfg, &a).await,
            "w3-drain" => offline::w3_drain(cfg, &a).await,
            x => panic!("no command {x}"),
        }
    });
    println!("{out}");
}
