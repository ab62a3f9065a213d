//! posthoused with a disk that can be made to fail, and that can be made to deceive its users, for
//! tests alone.

fn main() -> std::process::ExitCode {
    posthoused::cli::main()
}
