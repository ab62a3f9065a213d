//! The flags that every program takes, before or after its subcommand.

use clap::{Args, ValueEnum};

use crate::Printer;

/// How data is written to standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for people.
    #[default]
    Table,
    /// The table with every column and nothing cut.
    Wide,
    /// One JSON document.
    Json,
    /// One JSON object per line.
    Jsonl,
}

impl Format {
    /// Whether a program reads the output, so that errors are JSON as well.
    #[must_use]
    pub fn is_json(self) -> bool {
        matches!(self, Format::Json | Format::Jsonl)
    }
}

/// Set on each flag: clap's setting for a whole struct would go on to the flags that follow it.
const HEADING: &str = "Everywhere";

/// Flags shared by all programs; flatten it into the program's own arguments.
#[derive(Args, Clone, Debug, Default)]
pub struct GlobalArgs {
    /// How to write data to standard output [default: table]
    #[arg(short, long, global = true, help_heading = HEADING, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Short for -o json; errors become one JSON line on standard error
    #[arg(long, global = true, help_heading = HEADING)]
    pub json: bool,
    /// No hints and no progress, only data and errors
    #[arg(short, long, global = true, help_heading = HEADING)]
    pub quiet: bool,
    /// Say more on standard error; twice for even more
    #[arg(short, long, global = true, help_heading = HEADING, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// No progress on standard error
    #[arg(long, global = true, help_heading = HEADING)]
    pub no_progress: bool,
    /// Do not ask before something is deleted or stopped
    #[arg(short, long, global = true, help_heading = HEADING)]
    pub yes: bool,
}

impl GlobalArgs {
    /// The chosen format. An explicit `-o` is more specific than `--json` and wins.
    #[must_use]
    pub fn format(&self) -> Format {
        self.output.unwrap_or(if self.json { Format::Json } else { Format::Table })
    }

    /// The printer that follows these flags.
    #[must_use]
    pub fn printer(&self) -> Printer {
        Printer::new(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_short_for_output_json_and_output_wins() {
        let mut args = GlobalArgs::default();
        assert_eq!(args.format(), Format::Table);
        args.json = true;
        assert_eq!(args.format(), Format::Json);
        args.output = Some(Format::Jsonl);
        assert_eq!(args.format(), Format::Jsonl);
    }
}
