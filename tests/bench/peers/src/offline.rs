//! W3: mail for users who are away.

use std::collections::HashMap;
use std::io::Result;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Args;
use crate::conn::{Cfg, Conn, Ev, Proto};
use crate::sessions::many;
use crate::usage::{disk, machine_cpu_us, pct, r2, self_cpu_us, usage};

const W3_BASE: u32 = 1000; // senders are users 1000..1050, recipients 0..1000
/// W3, first half: to offline recipients, as fast as the server accepts (64 unaccepted at most per sender).
pub async fn w3_send(cfg: Cfg, a: &Args) -> serde_json::Value {
    let (rc, total, ns) =
        (a.n("users", 1000) as u32, a.n("msgs", 100_000), a.n("senders", 50) as u32);
    let pid = a.n("pid", 0) as u32;
    let dir = a.s("dir", "");
    let win = a.n("window", 64) as u32;
    let per = total / ns as u64;
    let mut conns = vec![];
    for i in 0..ns {
        conns.push(Conn::login(&cfg, W3_BASE + i, true, true, &mut vec![]).await.expect("login"));
    }
    let d0 = disk(&dir);
    let (u0, c0, m0, t0) = (usage(pid), self_cpu_us(), machine_cpu_us(), Instant::now());
    let lat = Arc::new(Mutex::new(vec![]));
    let errs = Arc::new(AtomicU64::new(0));
    let mut hs = vec![];
    for (s, mut c) in conns.into_iter().enumerate() {
        let lat = lat.clone();
        let errs = errs.clone();
        hs.push(tokio::spawn(async move {
            let (mut sent, mut acked) = (0u64, 0u64);
            let mut q = std::collections::VecDeque::new();
            let mut l = vec![];
            let r: Result<()> = async {
                while acked < per {
                    let mut any = false;
                    while sent < per && sent - acked < win as u64 {
                        let to = (s as u64 * (rc as u64 / ns as u64) + sent) % rc as u64;
                        c.send(to as u32, 0, (s as u64) << 32 | sent, 16);
                        sent += 1;
                        any = true;
                        q.push_back(Instant::now());
                    }
                    if any && sent == per {
                        c.req_ack();
                    }
                    c.flush().await?;
                    tokio::time::timeout(Duration::from_secs(60), c.fill()).await.map_err(
                        |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "no ack for 60 s"),
                    )??;
                    while let Some(e) = c.next()? {
                        match e {
                            Ev::Acked(k) => {
                                for _ in 0..k {
                                    if let Some(t) = q.pop_front() {
                                        l.push(t.elapsed().as_micros() as u32);
                                    }
                                }
                                acked += k as u64;
                            }
                            Ev::MsgError => {
                                errs.fetch_add(1, Relaxed);
                                if cfg.proto != Proto::Xmpp {
                                    acked += 1;
                                }
                            }
                            _ => {}
                        }
                    }
                }
                Ok(())
            }
            .await;
            lat.lock().unwrap().append(&mut l);
            if let Err(e) = r {
                eprintln!("sender {s}: {e} after {acked} acked of {sent}");
            }
            (c, acked)
        }));
    }
    let mut keep = vec![];
    let mut acked = 0;
    for h in hs {
        let (c, k) = h.await.unwrap();
        acked += k;
        keep.push(c);
    }
    let (u1, c1, m1, el) =
        (usage(pid), self_cpu_us(), machine_cpu_us(), t0.elapsed().as_secs_f64());
    if let Some(f) = a.get("kill") {
        // crash test: kill -9 the very moment the last message is accepted
        let pid = rustix::process::Pid::from_raw(f.parse().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let d1 = disk(&dir);
    let mut l = lat.lock().unwrap().clone();
    json!({"accepted":acked,"send_errors":errs.load(Relaxed),"accept_s":r2(el),"stored_msgs_s":r2(acked as f64/el),"ack_p50_ms":pct(&mut l,0.5) as f64/1e3,"ack_p99_ms":pct(&mut l,0.99) as f64/1e3,
        "store_cpu_us_msg":r2((u1.cpu_us-u0.cpu_us) as f64/acked.max(1) as f64),"client_cpu_us_msg":r2((c1-c0) as f64/acked.max(1) as f64),"machine_cores":r2((m1-m0) as f64/1e6/el),
        "disk_bytes_msg":r2((d1 as f64-d0 as f64)/acked.max(1) as f64),"write_bytes_msg":r2((u1.write_bytes-u0.write_bytes) as f64/acked.max(1) as f64),"rss_kib":u1.rss_kib})
}
/// W3, second half: the recipients come online, `par` at a time, and take what waits for them.
pub async fn w3_drain(cfg: Cfg, a: &Args) -> serde_json::Value {
    let (rc, total, ns) =
        (a.n("users", 1000) as u32, a.n("msgs", 100_000), a.n("senders", 50) as u64);
    let pid = a.n("pid", 0) as u32;
    let par = a.n("par", 100) as usize;
    let want = (total / rc as u64) as usize;
    let idle = a.n("idle", 10);
    let seen: Arc<Mutex<HashMap<u64, (u32, u32)>>> = Default::default();
    let last = Arc::new(Mutex::new(Instant::now()));
    let (u0, c0, m0, t0) = (usage(pid), self_cpu_us(), machine_cpu_us(), Instant::now());
    let (ok, errs) = many(rc, par, |i| {
        let c = cfg.clone();
        let seen = seen.clone();
        let last = last.clone();
        async move {
            let mut got = vec![];
            let r = async {
                let mut c = Conn::login(&c, i, false, false, &mut got).await?;
                while got.len() < want {
                    match tokio::time::timeout(Duration::from_secs(idle), c.fill()).await {
                        Err(_) => break,
                        Ok(r) => r?,
                    }
                    while let Some(e) = c.next()? {
                        if let Ev::Msg { ts, id } = e {
                            got.push((ts, id));
                        }
                    }
                    c.flush().await?;
                }
                if got.len() >= want {
                    *last.lock().unwrap() = Instant::now();
                }
                c.close().await;
                Ok(())
            }
            .await;
            let mut s = seen.lock().unwrap();
            for (_, id) in got {
                let e = s.entry(id).or_insert((0, i));
                e.0 += 1;
                if e.1 != i {
                    e.0 += 1_000_000;
                }
            }
            r
        }
    })
    .await;
    let el = last.lock().unwrap().duration_since(t0).as_secs_f64();
    let all = t0.elapsed().as_secs_f64();
    let (u1, c1, m1) = (usage(pid), self_cpu_us(), machine_cpu_us());
    let s = seen.lock().unwrap();
    let per = total / ns;
    let lost = (0..ns)
        .flat_map(|x| (0..per).map(move |y| x << 32 | y))
        .filter(|k| !s.contains_key(k))
        .count();
    let dup: u64 = s.values().map(|v| (v.0 % 1_000_000 - 1) as u64).sum();
    let wrong = s.values().filter(|v| v.0 >= 1_000_000).count();
    let el = if lost > 0 { all } else { el };
    json!({"logins_ok":ok,"errors":errs,"drained":s.len(),"lost":lost,"duplicates":dup,"recipients_with_any":s.values().map(|v| v.1).collect::<std::collections::HashSet<_>>().len(),"misdelivered":wrong,"drain_s":r2(el),"drained_msgs_s":r2(s.len() as f64/el),
        "drain_cpu_us_msg":r2((u1.cpu_us-u0.cpu_us) as f64/s.len().max(1) as f64),"drain_client_cpu_us_msg":r2((c1-c0) as f64/s.len().max(1) as f64),"drain_machine_cores":r2((m1-m0) as f64/1e6/all),"disk_bytes_after":disk(&a.s("dir","")) })
}
