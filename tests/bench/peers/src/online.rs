//! W2: pairs who are online.

use std::io::Result;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Semaphore;

use crate::Args;
use crate::conn::{Cfg, Conn, Ev};
use crate::usage::{machine_cpu_us, pct, r2, self_cpu_us, usage};

struct Shared {
    epoch: Instant,
    recv: AtomicU64,
    sent: AtomicU64,
    acked: AtomicU64,
    errs: AtomicU64,
    measuring: AtomicBool,
    stop: AtomicBool,
    lat: Mutex<Vec<u32>>,
}

/// W2: pairs of online users, a window of messages in flight in each direction; a message leaves the window when its recipient has it.
pub async fn w2(cfg: Cfg, a: &Args) -> serde_json::Value {
    let n = a.n("users", 200) as u32;
    let win = a.n("window", 16) as usize;
    let secs = a.n("secs", 15);
    let pid = a.n("pid", 0) as u32;
    let sh = Arc::new(Shared {
        epoch: Instant::now(),
        recv: 0.into(),
        sent: 0.into(),
        acked: 0.into(),
        errs: 0.into(),
        measuring: false.into(),
        stop: false.into(),
        lat: Mutex::new(vec![]),
    });
    let mut conns = vec![];
    for i in 0..n {
        conns.push(Conn::login(&cfg, i, true, true, &mut vec![]).await.expect("login"));
    }
    let sems: Vec<_> = (0..n).map(|_| Arc::new(Semaphore::new(win))).collect();
    for (i, mut c) in conns.into_iter().enumerate() {
        let (me, peer) = (sems[i].clone(), sems[i ^ 1].clone());
        let sh = sh.clone();
        let to = i as u32 ^ 1;
        tokio::spawn(async move {
            let mut lat: Vec<u32> = vec![];
            let mut seq = 0u64;
            let mut flushed = false;
            let r: Result<()> = async { loop {
                let stop = sh.stop.load(Relaxed);
                if stop && !flushed { flushed = true; sh.lat.lock().unwrap().append(&mut lat); c.req_ack(); c.flush().await?; }
                tokio::select! {
                    p = me.acquire_many(1), if !stop => {
                        p.unwrap().forget(); let mut k = 1;
                        while k < win { match me.try_acquire() { Ok(p) => { p.forget(); k += 1 }, Err(_) => break } }
                        let now = sh.epoch.elapsed().as_nanos() as u64;
                        for _ in 0..k { c.send(to, now, (i as u64) << 32 | seq, win as u32); seq += 1; }
                        sh.sent.fetch_add(k as u64, Relaxed);
                    }
                    r = c.fill() => { r?;
                        let now = sh.epoch.elapsed().as_nanos() as u64; let m = sh.measuring.load(Relaxed);
                        while let Some(e) = c.next()? { match e {
                            Ev::Msg { ts, .. } => { sh.recv.fetch_add(1, Relaxed); peer.add_permits(1); if m { lat.push(((now - ts) / 1000) as u32); } }
                            Ev::Acked(k) => { sh.acked.fetch_add(k as u64, Relaxed); }
                            Ev::MsgError => { sh.errs.fetch_add(1, Relaxed); }
                            _ => {} } }
                    }
                    _ = tokio::time::sleep(Duration::from_millis(500)) => {}
                }
                c.flush().await?;
            } }.await;
            if let Err(e) = r {
                if !sh.stop.load(Relaxed) {
                    eprintln!("user {i}: {e}");
                    sh.errs.fetch_add(1, Relaxed);
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(a.n("warm", 3))).await;
    sh.measuring.store(true, Relaxed);
    let (u0, n0, c0, m0, t0) =
        (usage(pid), sh.recv.load(Relaxed), self_cpu_us(), machine_cpu_us(), Instant::now());
    tokio::time::sleep(Duration::from_secs(secs)).await;
    let (u1, n1, c1, m1, el) = (
        usage(pid),
        sh.recv.load(Relaxed),
        self_cpu_us(),
        machine_cpu_us(),
        t0.elapsed().as_secs_f64(),
    );
    sh.measuring.store(false, Relaxed);
    sh.stop.store(true, Relaxed);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let d = (n1 - n0).max(1);
    let mut l = std::mem::take(&mut *sh.lat.lock().unwrap());
    json!({"users":n,"window":win,"secs":r2(el),"msgs":d,"msgs_s":r2(d as f64/el),"p50_ms":pct(&mut l,0.5) as f64/1e3,"p99_ms":pct(&mut l,0.99) as f64/1e3,
        "server_cpu_us_msg":r2((u1.cpu_us-u0.cpu_us) as f64/d as f64),"server_cores":r2((u1.cpu_us-u0.cpu_us) as f64/1e6/el),
        "client_cpu_us_msg":r2((c1-c0) as f64/d as f64),"client_cores":r2((c1-c0) as f64/1e6/el),"machine_cores":r2((m1-m0) as f64/1e6/el),
        "write_bytes_msg":r2((u1.write_bytes-u0.write_bytes) as f64/d as f64),"rss_kib":u1.rss_kib,
        "sent":sh.sent.load(Relaxed),"received":sh.recv.load(Relaxed),"acked":sh.acked.load(Relaxed),"errors":sh.errs.load(Relaxed)})
}
