//! posthoused: see `posthoused --help`.

fn main() -> std::process::ExitCode {
    posthoused::cli::main()
}
