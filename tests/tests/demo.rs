//! The demo is the first thing that people run: it works, is quick, and cleans up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use postroad_tests::programs::program;
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn the_demo_runs_to_its_end_and_leaves_only_the_map() {
    let folder = TempDir::new().unwrap();
    let (runtime, dir) = (folder.path().join("runtime"), folder.path().join("net"));
    std::fs::create_dir(&runtime).unwrap();
    let output = Command::new(program("postroad-testnet"))
        .args(["--json", "demo", "--dir"])
        .arg(&dir)
        // The map goes there, and would go to /tmp otherwise.
        .env("XDG_RUNTIME_DIR", &runtime)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["ok"], true, "{told}");
    assert!(told["messages"].as_u64() > Some(3), "{told}");
    let took = Duration::from_millis(told["took_ms"].as_u64().unwrap());
    println!("the demo took {took:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
    let map = Path::new(told["map"].as_str().unwrap());
    assert!(map.starts_with(&runtime), "{told}");
    assert!(std::fs::read_to_string(map).unwrap().contains("<svg"));
    assert!(!dir.exists(), "what it made is gone");
    assert_eq!(std::fs::read_dir(&runtime).unwrap().count(), 1, "but for the map");
}
