//! What processes used, as the kernel counts it.

use std::collections::HashMap;

/// What a process and all that it started used.
#[derive(Default, Clone, Copy, Debug)]
pub struct Usage {
    pub cpu_us: u64,
    pub rss_kib: u64,
    pub write_bytes: u64,
}
fn tree(pid: u32) -> Vec<u32> {
    let mut kids: HashMap<u32, Vec<u32>> = HashMap::new();
    for e in std::fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(p) = e.file_name().to_string_lossy().parse::<u32>() {
            if let Ok(s) = std::fs::read_to_string(format!("/proc/{p}/stat")) {
                let r = &s[s.rfind(')').unwrap() + 2..];
                if let Some(pp) = r.split(' ').nth(1).and_then(|x| x.parse().ok()) {
                    kids.entry(pp).or_default().push(p);
                }
            }
        }
    }
    let mut v = vec![pid];
    let mut i = 0;
    while i < v.len() {
        if let Some(k) = kids.get(&v[i]) {
            v.extend(k);
        }
        i += 1;
    }
    v
}
/// What the process of this id used.
pub fn usage(pid: u32) -> Usage {
    let mut u = Usage::default();
    if pid == 0 {
        return u;
    }
    for p in tree(pid) {
        let Ok(s) = std::fs::read_to_string(format!("/proc/{p}/stat")) else { continue };
        let f: Vec<&str> = s[s.rfind(')').unwrap() + 2..].split(' ').collect();
        u.cpu_us += (11..15).map(|i| f[i].parse::<u64>().unwrap_or(0)).sum::<u64>() * 10_000;
        if let Ok(s) = std::fs::read_to_string(format!("/proc/{p}/status")) {
            u.rss_kib += s
                .lines()
                .find(|l| l.starts_with("VmRSS"))
                .and_then(|l| l.split_whitespace().nth(1))
                .and_then(|x| x.parse::<u64>().ok())
                .unwrap_or(0);
        }
        if let Ok(s) = std::fs::read_to_string(format!("/proc/{p}/io")) {
            u.write_bytes += s
                .lines()
                .find(|l| l.starts_with("write_bytes"))
                .and_then(|l| l.split_whitespace().nth(1))
                .and_then(|x| x.parse::<u64>().ok())
                .unwrap_or(0);
        }
    }
    u
}
/// CPU that this process used.
pub fn self_cpu_us() -> u64 {
    usage(std::process::id()).cpu_us
}
/// CPU time all processes of the machine used (shows what others took).
pub fn machine_cpu_us() -> u64 {
    let s = std::fs::read_to_string("/proc/stat").unwrap();
    let f: Vec<u64> = s
        .lines()
        .next()
        .unwrap()
        .split_whitespace()
        .skip(1)
        .map(|x| x.parse().unwrap_or(0))
        .collect();
    (f[0] + f[1] + f[2] + f[5] + f[6] + f[7]) * 10_000
}
/// Memory of all TCP buffers.
pub fn tcp_mem_kib() -> u64 {
    let s = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    s.lines()
        .find(|l| l.starts_with("TCP:"))
        .and_then(|l| l.split_whitespace().last())
        .and_then(|x| x.parse::<u64>().ok())
        .unwrap_or(0)
        * 4
}
/// Bytes that a directory takes.
pub fn disk(dir: &str) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fn go(p: &std::path::Path) -> u64 {
        let Ok(m) = std::fs::symlink_metadata(p) else { return 0 };
        let mut n = m.blocks() * 512;
        if m.is_dir() {
            if let Ok(d) = std::fs::read_dir(p) {
                for e in d.flatten() {
                    n += go(&e.path());
                }
            }
        }
        n
    }
    if dir.is_empty() { 0 } else { go(std::path::Path::new(dir)) }
}
/// A percentile; sorts the values.
pub fn pct(v: &mut Vec<u32>, p: f64) -> u32 {
    if v.is_empty() {
        return 0;
    }
    v.sort_unstable();
    v[((v.len() - 1) as f64 * p) as usize]
}

/// Two digits behind the point.
pub fn r2(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}
