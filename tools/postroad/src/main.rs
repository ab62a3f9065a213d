//! postroad, the operator's tool and inspector.

use std::process::ExitCode;

fn main() -> ExitCode {
    postroad_cli::run(postroad_admin::run)
}
