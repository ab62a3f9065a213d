//! The one way to the terminal: data on standard output, everything else on standard error.

use std::io::{self, BufRead, IsTerminal, Write};

use serde::Serialize;
use terminal_size::terminal_size_of;

use crate::{CliError, Exit, Format, GlobalArgs, Row, safe::is_hazard, safe_lines, table};

/// Colours, used sparingly and only on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// All is well.
    Green,
    /// Worth a look.
    Yellow,
    /// Someone must act.
    Red,
    /// Less important than the rest.
    Dim,
}

/// Prints data, hints and questions as the global flags ask.
#[derive(Clone, Debug)]
pub struct Printer {
    format: Format,
    quiet: bool,
    verbose: u8,
    progress: bool,
    yes: bool,
    colour: bool,
    /// Columns of the terminal that data goes to, if it goes to one.
    columns: Option<usize>,
}

impl Printer {
    pub(crate) fn new(args: &GlobalArgs) -> Self {
        let format = args.format();
        // https://no-color.org: set and not empty means none.
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Printer {
            format,
            quiet: args.quiet,
            verbose: args.verbose,
            progress: !args.no_progress && !args.quiet,
            yes: args.yes,
            colour: !refused && !format.is_json() && io::stdout().is_terminal(),
            columns: terminal_size_of(io::stdout()).map(|(columns, _)| columns.0.into()),
        }
    }

    /// The chosen format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether JSON was asked for.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.format.is_json()
    }

    /// How often `-v` was given.
    #[must_use]
    pub fn verbosity(&self) -> u8 {
        self.verbose
    }

    /// A list. JSON is one array, JSONL one object per line; for people a table, or `empty` on
    /// standard error when there is nothing.
    pub fn rows<R: Row>(&self, rows: &[R], empty: &str) -> Result<(), CliError> {
        self.list(rows, empty, || table::render(rows, self.format == Format::Wide, self.columns))
    }

    /// The same for what people read in another form than a table, which `human` makes. What
    /// strangers wrote must have gone through [`crate::safe`] there.
    pub fn list<T: Serialize>(
        &self,
        rows: &[T],
        empty: &str,
        human: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        match self.format {
            Format::Json => self.out(&format!("{}\n", json_line(rows))),
            Format::Jsonl => {
                let lines: Vec<String> = rows.iter().map(|row| json_line(row) + "\n").collect();
                self.out(&lines.concat())
            }
            Format::Table | Format::Wide if rows.is_empty() => {
                self.hint(empty);
                Ok(())
            }
            Format::Table | Format::Wide => self.out(&human()),
        }
    }

    /// One object, or one event of a stream: a JSON line, or the text that `human` makes. What
    /// strangers wrote must have gone through [`crate::safe`] there. Flushed at once.
    pub fn object<T: Serialize + ?Sized>(
        &self,
        value: &T,
        human: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        let mut text = if self.is_json() { json_line(value) } else { human() };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        self.out(&text)
    }

    /// Text on standard output as it is, whatever the format: a file, a script, an exposition.
    pub fn out(&self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| CliError::output(&error))
    }

    /// What to type next, on standard error; silent with `-q` and where a program reads us.
    pub fn hint(&self, text: &str) {
        if !self.quiet && !self.is_json() && !text.is_empty() {
            err(text);
        }
    }

    /// Something the user must know although it worked; silent only with `-q`.
    pub fn warn(&self, text: &str) {
        if !self.quiet {
            err(text);
        }
    }

    /// A step that began, on standard error; shown on a terminal only.
    pub fn progress(&self, text: &str) {
        if self.progress && io::stderr().is_terminal() {
            err(text);
        }
    }

    /// A detail for `-v`.
    pub fn detail(&self, text: &str) {
        if self.verbose > 0 && !self.quiet {
            err(text);
        }
    }

    /// The text in a colour, when standard output is a terminal that wants colours.
    #[must_use]
    pub fn paint(&self, colour: Colour, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
            Colour::Dim => 2,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Whether the user has said yes to whatever may be asked.
    pub fn says_yes(&self) -> bool {
        self.yes
    }

    /// Asks before something destructive. `--yes` answers; without a terminal it is refused.
    pub fn confirm(&self, question: &str) -> Result<(), CliError> {
        if self.yes {
            return Ok(());
        }
        if self.is_json() || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(CliError::new(
                Exit::Usage,
                "needs_yes",
                format!("{question} Nobody can be asked here, so nothing was done"),
                "add --yes to go ahead",
            ));
        }
        let mut stderr = io::stderr();
        // A terminal that cannot show the question reads as no answer below.
        let _ = write!(stderr, "{} [y/N] ", safe_lines(question)).and_then(|()| stderr.flush());
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES") {
            return Ok(());
        }
        Err(CliError::failed("cancelled", "cancelled, nothing was done", ""))
    }
}

/// A line on standard error, from where there is no printer.
pub fn complain(text: &str) {
    err(text);
}

/// A line on standard error. Nothing useful can be done when that fails.
fn err(text: &str) {
    let _ = writeln!(io::stderr(), "{}", safe_lines(text));
}

/// A value as one line of JSON. Characters that could harm a terminal are escaped, which every
/// JSON reader undoes.
pub fn json_line<T: Serialize + ?Sized>(value: &T) -> String {
    let plain = match serde_json::to_string(value) {
        Ok(plain) => plain,
        // Only a map with keys that are no strings gets here; say so instead of dying.
        Err(error) => serde_json::json!({ "unprintable": error.to_string() }).to_string(),
    };
    if !plain.chars().any(is_hazard) {
        return plain;
    }
    let mut out = String::with_capacity(plain.len() + 16);
    for c in plain.chars() {
        // serde_json escapes C0; all hazards left are of the basic plane: one \u each.
        if is_hazard(c) { out.push_str(&format!("\\u{:04x}", c as u32)) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_harmless_line_that_reads_back_the_same() {
        let text = "a\u{1b}[2J\n\u{9b}\u{202e}\u{2028}\u{7f}\u{feff}é你👩\u{200d}🚀";
        let line = json_line(&text);
        assert!(!line.chars().any(is_hazard), "{line:?}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }

    #[test]
    fn without_a_terminal_a_question_is_refused() {
        let error = GlobalArgs { json: true, ..GlobalArgs::default() }
            .printer()
            .confirm("Delete alice?")
            .unwrap_err();
        assert_eq!((error.code, error.exit), ("needs_yes", Exit::Usage));
        GlobalArgs { yes: true, ..GlobalArgs::default() }
            .printer()
            .confirm("Delete alice?")
            .unwrap();
    }
}
