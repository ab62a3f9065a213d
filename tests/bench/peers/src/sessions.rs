//! Accounts, and W1: sessions that do nothing.

use std::io::Result;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Semaphore;

use crate::Args;
use crate::conn::{Cfg, Conn};
use crate::usage::{machine_cpu_us, pct, r2, self_cpu_us, tcp_mem_kib, usage};

/// Runs `f` for each number below `n`, `par` at once: how many went well, and why the first others did not.
pub async fn many<F, Fut>(n: u32, par: usize, f: F) -> (u32, Vec<String>)
where
    F: Fn(u32) -> Fut,
    Fut: std::future::Future<Output = Result<()>> + Send + 'static,
{
    let sem = Arc::new(Semaphore::new(par));
    let mut hs = vec![];
    for i in 0..n {
        let p = sem.clone().acquire_owned().await.unwrap();
        let fu = f(i);
        hs.push(tokio::spawn(async move {
            let r = fu.await;
            drop(p);
            r
        }));
    }
    let mut errs = vec![];
    let mut ok = 0;
    for h in hs {
        match h.await.unwrap() {
            Ok(()) => ok += 1,
            Err(e) => {
                if errs.len() < 3 {
                    errs.push(e.to_string())
                }
            }
        }
    }
    (ok, errs)
}

/// Makes accounts.
pub async fn register(cfg: Cfg, n: u32) -> serde_json::Value {
    let t = Instant::now();
    let (ok, errs) = many(n, 32, |i| {
        let c = cfg.clone();
        async move { Conn::register(&c, i).await }
    })
    .await;
    json!({"cmd":"register","ok":ok,"errors":errs,"secs":t.elapsed().as_secs_f64()})
}
/// MQTT: makes sessions that outlive their connection.
pub async fn subscribe(cfg: Cfg, n: u32) -> serde_json::Value {
    let (ok, errs) = many(n, 32, |i| {
        let c = cfg.clone();
        async move {
            Conn::login(&c, i, true, true, &mut vec![]).await?.close().await;
            Ok(())
        }
    })
    .await;
    json!({"cmd":"subscribe","ok":ok,"errors":errs})
}
/// NATS: a stream, and a durable consumer for each user.
pub async fn nats_setup(cfg: Cfg, n: u32) -> serde_json::Value {
    let mut c = Conn::login(&cfg, 0, false, true, &mut vec![]).await.unwrap();
    let r = c.api("$JS.API.STREAM.CREATE.BOX", r#"{"name":"BOX","subjects":["box.*"],"retention":"workqueue","storage":"file","num_replicas":1,"max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"discard":"old","duplicate_window":0}"#).await.unwrap();
    let mut bad = if r.contains("\"error\"") { vec![r] } else { vec![] };
    for i in 0..n {
        let r = c.api(&format!("$JS.API.CONSUMER.DURABLE.CREATE.BOX.d{i}"), &format!(r#"{{"stream_name":"BOX","config":{{"durable_name":"d{i}","deliver_subject":"dl.{i}","deliver_policy":"all","ack_policy":"explicit","ack_wait":60000000000,"max_ack_pending":1000,"filter_subject":"box.{i}"}}}}"#)).await.unwrap();
        if r.contains("\"error\"") && bad.len() < 3 {
            bad.push(r);
        }
    }
    json!({"cmd":"nats-setup","errors":bad})
}

/// W1: N idle sessions.
pub async fn w1(cfg: Cfg, a: &Args) -> serde_json::Value {
    let n = a.n("users", 5000) as u32;
    let pid = a.n("pid", 0) as u32;
    let par = a.n("par", 64) as usize;
    // one login first, so that lazily loaded code does not count
    if let Ok(c) = Conn::login(&cfg, 0, true, true, &mut vec![]).await {
        c.close().await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (u0, k0, t0, c0, m0) =
        (usage(pid), tcp_mem_kib(), Instant::now(), self_cpu_us(), machine_cpu_us());
    let lost = Arc::new(AtomicU64::new(0));
    let lat = Arc::new(Mutex::new(vec![]));
    let (ok, errs) = many(n, par, |i| {
        let c = cfg.clone();
        let lost = lost.clone();
        let lat = lat.clone();
        async move {
            let t = Instant::now();
            let mut c = Conn::login(&c, i, true, true, &mut vec![]).await?;
            lat.lock().unwrap().push(t.elapsed().as_micros() as u32);
            tokio::spawn(async move {
                loop {
                    if c.fill().await.is_err() {
                        lost.fetch_add(1, Relaxed);
                        return;
                    }
                    loop {
                        match c.next() {
                            Ok(Some(_)) => {}
                            Ok(None) => break,
                            Err(_) => {
                                lost.fetch_add(1, Relaxed);
                                return;
                            }
                        }
                    }
                    if c.flush().await.is_err() {
                        return;
                    }
                }
            });
            Ok(())
        }
    })
    .await;
    let secs = t0.elapsed().as_secs_f64();
    let (u1, c1, m1) = (usage(pid), self_cpu_us(), machine_cpu_us());
    tokio::time::sleep(Duration::from_secs(a.n("settle", 5))).await;
    let u2 = usage(pid);
    let k2 = tcp_mem_kib();
    let mut l = lat.lock().unwrap().clone();
    json!({"users":n,"ok":ok,"errors":errs,"dropped":lost.load(Relaxed),"secs":r2(secs),"logins_s":r2(ok as f64/secs),
        "login_cpu_us":(u1.cpu_us-u0.cpu_us)/ok.max(1) as u64,"login_p50_ms":pct(&mut l,0.5) as f64/1e3,"login_p99_ms":pct(&mut l,0.99) as f64/1e3,
        "rss_before_kib":u0.rss_kib,"rss_after_kib":u2.rss_kib,"rss_kib_per_conn":r2((u2.rss_kib as f64-u0.rss_kib as f64)/ok.max(1) as f64),
        "kernel_tcp_kib":k2 as i64-k0 as i64,"idle_cpu_ms_per_s":r2((u2.cpu_us-u1.cpu_us) as f64/1e3/a.n("settle",5) as f64),
        "client_cpu_s":r2((c1-c0) as f64/1e6),"machine_cpu_s":r2((m1-m0) as f64/1e6)})
}
