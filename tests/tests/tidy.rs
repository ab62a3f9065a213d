//! Tidiness that the compiler does not see.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Past this a file is nearly always two rooms.
const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file below `dir` with this ending, build results and hidden folders left out.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(files(&path, ending));
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found
}

/// Files of programs and libraries that mention `text`, relative to the root.
fn sources_with(text: &str) -> Vec<String> {
    let root = root();
    let mut names: Vec<String> = files(&root, ".rs")
        .into_iter()
        .filter(|path| path.components().any(|part| part.as_os_str() == "src"))
        .filter(|path| !path.starts_with(root.join("tests")))
        .filter(|path| fs::read_to_string(path).unwrap().contains(text))
        .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
        .collect();
    names.sort();
    names
}

#[test]
fn each_big_library_is_named_in_its_one_room() {
    assert_eq!(sources_with("serde_cbor::"), ["proto/src/codec.rs"]);
    assert_eq!(sources_with("snow::"), ["proto/src/noise.rs", "proto/src/noise/direct.rs"]);
    assert_eq!(sources_with("use age::"), ["tools/client/src/backup/lock.rs"]);
    assert_eq!(sources_with("sled::"), ["node/store/src/index/disk.rs"]);
    assert_eq!(sources_with("argon2::"), ["tools/client/src/at_rest/key_file.rs"]);
    assert_eq!(sources_with("linux_keyutils::"), ["tools/client/src/at_rest/keyring.rs"]);
    let outside_net = |name: &String| !name.starts_with("node/src/net/");
    let names = sources_with("libp2p::");
    assert!(!names.is_empty() && !names.iter().any(outside_net), "{names:?}");
    let outside_screen = |name: &String| !name.starts_with("tools/pouch/src/screen/");
    let names = sources_with("ratatui::");
    assert!(!names.is_empty() && !names.iter().any(outside_screen), "{names:?}");
    let pure = |name: &String| name.starts_with("proto/") || name.starts_with("node/core/");
    for library in ["tokio::", "libp2p::", "sled::", "std::net::", "SystemTime", "Instant::now"] {
        let names = sources_with(library);
        assert!(!names.iter().any(pure), "{library} in {names:?}");
    }
}

#[test]
fn no_source_file_is_a_warehouse() {
    for path in files(&root(), ".rs") {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        let is_test = path.components().any(|part| part.as_os_str() == "tests");
        assert!(is_test || lines <= MAX_LINES, "{}: {lines} lines", path.display());
    }
}

#[test]
fn versions_of_libraries_are_written_out() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let lines = table.lines().take_while(|line| !line.starts_with('['));
    for line in lines.filter(|line| line.contains('"') && !line.contains("path =")) {
        let version = line.split('"').nth(1).unwrap();
        assert_eq!(version.split('.').count(), 3, "{line}");
    }
}

#[test]
fn scripts_can_be_run_and_documents_link_to_what_is_there() {
    let root = root();
    for script in [
        "tests/run",
        "tests/bench/run",
        "tests/bench/instructions",
        "tests/bench/peers/run",
        "tests/kill-loop",
        "testnet/demo",
        ".ci/run",
    ] {
        let mode = fs::metadata(root.join(script)).unwrap().permissions().mode();
        assert!(mode & 0o111 != 0, "{script} is not executable");
    }
    for document in files(&root, ".md") {
        let text = fs::read_to_string(&document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let path = document.parent().unwrap().join(file);
            assert!(path.exists(), "{} links to {target}", document.display());
        }
    }
}
