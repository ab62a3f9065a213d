//! What every Postroad command line shares: the global flags, output formats, exit codes, errors
//! with hints, and text that is harmless on a terminal.
//!
//! A program derives `clap::Parser`, flattens [`GlobalArgs`], implements [`Program`], and its
//! `main` is one call of [`run`]. Everything it prints goes through the [`Printer`] that
//! [`GlobalArgs::printer`] hands out, so that `--json`, `-q` and a closed pipe mean the same
//! everywhere.

mod args;
mod error;
mod generate;
mod markup;
mod paths;
mod print;
mod program;
mod qr;
mod safe;
mod secret;
mod size;
mod table;
mod time;
mod width;

pub use args::{Format, GlobalArgs};
pub use error::{CliError, Exit};
pub use generate::{CompletionsArgs, ManArgs};
pub use markup::{markup, markup_lines};
pub use paths::{data_home, data_root};
pub use print::{Colour, Printer, complain, json_line};
pub use program::{Program, run};
pub use qr::qr;
pub use safe::{safe, safe_lines};
pub use secret::ask_secret;
pub use size::{human_bytes, parse_size};
pub use table::{Column, Row, fields};
pub use time::{
    ago, human_duration, local_day_and_time, now_ms, parse_duration, parse_rfc3339_ms, rfc3339_ms,
    rfc3339_secs,
};
