//! posthoused: see `posthoused --help`.

use mimalloc::MiMalloc;

/// Memory is taken by one thread and given back by another all the time, which costs the system's
/// allocator a quarter of all the CPU of a busy node.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> std::process::ExitCode {
    posthoused::cli::main()
}
