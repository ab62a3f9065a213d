//! posthoused with a disk that can be made to fail, for tests alone.

fn main() -> std::process::ExitCode {
    posthoused::cli::main()
}
