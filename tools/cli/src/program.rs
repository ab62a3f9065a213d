//! `main` of every program: parse, run, report.

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::{Parser, error::ErrorKind};

use crate::{CliError, Exit, GlobalArgs};

/// A command line that carries the global flags.
pub trait Program: Parser {
    /// The flattened global flags.
    fn global(&self) -> &GlobalArgs;
}

/// Parses the command line, runs `main` and reports its error as the flags ask.
pub fn run<P: Program>(main: impl FnOnce(P) -> Result<(), CliError>) -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let program = match P::try_parse_from(&args) {
        Ok(program) => program,
        Err(error) => return refuse(&error, wants_json(&args)),
    };
    let json = program.global().format().is_json();
    match main(program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is_broken_pipe() {
                // With standard error gone there is nobody to tell; the exit code remains.
                let _ = writeln!(io::stderr(), "{}", error.render(json));
            }
            ExitCode::from(error.exit.code())
        }
    }
}

/// Ends a program whose command line was a question (`--help`) or a mistake.
fn refuse(error: &clap::Error, json: bool) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A reader that closed the pipe has seen enough of the help.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if json {
        let _ = writeln!(io::stderr(), "{}", usage_error(error).render(true));
    } else {
        let _ = error.print();
    }
    ExitCode::from(Exit::Usage.code())
}

/// clap's text as one of our errors: its first paragraph is the message, its tips are the hint.
fn usage_error(error: &clap::Error) -> CliError {
    let text = error.render().to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return CliError::usage("a subcommand is missing", "add --help to see what there is");
    }
    let paragraph = text.lines().take_while(|line| !line.trim().is_empty());
    let message = paragraph.map(str::trim).collect::<Vec<_>>().join(" ");
    let tips: Vec<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("tip: ")).collect();
    let hint = if tips.is_empty() {
        "add --help to see what is understood".to_owned()
    } else {
        tips.join("; ")
    };
    CliError::usage(message.strip_prefix("error: ").unwrap_or(&message), hint)
}

/// Whether JSON was asked for on a command line that clap could not read.
fn wants_json(args: &[OsString]) -> bool {
    let mut args = args.iter().skip(1).map(|arg| arg.to_string_lossy());
    while let Some(arg) = args.next() {
        match arg.as_ref() {
            "--" => return false,
            "--json" | "-ojson" | "-ojsonl" | "-o=json" | "-o=jsonl" => return true,
            "--output=json" | "--output=jsonl" => return true,
            "-o" | "--output" if matches!(args.next().as_deref(), Some("json" | "jsonl")) => {
                return true;
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use clap::Subcommand;

    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "thing", version)]
    struct Thing {
        #[command(flatten)]
        global: GlobalArgs,
        #[command(subcommand)]
        verb: Verb,
    }

    #[derive(Debug, Subcommand)]
    enum Verb {
        Status,
    }

    fn parse(args: &[&str]) -> Result<Thing, clap::Error> {
        Thing::try_parse_from(std::iter::once("thing").chain(args.iter().copied()))
    }

    fn asks_json(args: &[&str]) -> bool {
        let args: Vec<OsString> =
            std::iter::once("thing").chain(args.iter().copied()).map(OsString::from).collect();
        wants_json(&args)
    }

    #[test]
    fn global_flags_go_before_and_after_the_subcommand() {
        assert!(parse(&["--json", "status"]).unwrap().global.format().is_json());
        assert!(parse(&["status", "-o", "jsonl", "-vv", "-y"]).unwrap().global.format().is_json());
        assert!(!parse(&["status"]).unwrap().global.format().is_json());
    }

    #[test]
    fn a_mistake_becomes_an_error_with_a_hint() {
        let error = usage_error(&parse(&["statsu"]).unwrap_err());
        assert_eq!((error.code, error.exit), ("usage", Exit::Usage));
        assert!(error.message.contains("unrecognized subcommand 'statsu'"), "{error:?}");
        assert!(error.hint.contains("status"), "{error:?}");
        let error = usage_error(&parse(&["--wrong"]).unwrap_err());
        assert!(!error.message.starts_with("error:") && !error.hint.is_empty(), "{error:?}");
        let error = usage_error(&parse(&[]).unwrap_err());
        assert!(error.message.contains("subcommand"), "{error:?}");
    }

    #[test]
    fn json_is_noticed_on_a_broken_command_line_too() {
        for args in [&["--json", "x"][..], &["x", "-o", "json"], &["--output=jsonl"], &["-ojson"]] {
            assert!(asks_json(args), "{args:?}");
        }
        for args in [&["x"][..], &["x", "--", "--json"], &["-o", "table"]] {
            assert!(!asks_json(args), "{args:?}");
        }
    }
}
