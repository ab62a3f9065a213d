//! The programs under test, as they were built beside the test itself.

use std::io::Write;
use std::path::PathBuf;

/// The path of a program of the workspace; of an example as `examples/NAME`.
///
/// # Panics
/// When it was not built: `tests/run` builds them first.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder =
        test.ancestors().skip(1).find(|folder| folder.join(name).is_file()).unwrap_or_else(|| {
            panic!("{name} is not built; run: cargo build --workspace --bins --examples")
        });
    folder.join(name)
}

/// Whether a program of the system is there; says loudly when a test is skipped for it.
pub fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    if !found {
        // Not by a macro: what those print of a test that passes is never seen.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {name} is not installed");
    }
    found
}
