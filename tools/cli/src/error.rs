//! Errors that say what happened, why, and what to type next; and the exit codes they map to.

use std::io;

use serde::{Serialize, Serializer};

use crate::{print::json_line, safe, safe_lines};

/// The exit codes of every Postroad program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It worked.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// The command line was not understood.
    Usage = 2,
    /// The node cannot be reached.
    Unreachable = 3,
    /// What was named does not exist.
    NotFound = 4,
    /// It did not happen in the time allowed.
    TimedOut = 5,
    /// The other side refused.
    Denied = 6,
    /// Some of it worked.
    PartlyFailed = 7,
    /// Interrupted from the keyboard.
    Interrupted = 130,
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl Serialize for Exit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.code())
    }
}

/// Why a command failed, for people and for scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CliError {
    /// A stable word for scripts, in `snake_case`.
    pub code: &'static str,
    /// What happened and why.
    pub message: String,
    /// What to type or to do next.
    pub hint: String,
    /// The exit code.
    pub exit: Exit,
}

/// The code of the one error that is never reported: nobody is left to read it.
const BROKEN_PIPE: &str = "broken_pipe";

impl CliError {
    /// An error with everything it needs.
    pub fn new(
        exit: Exit,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        CliError { code, message: message.into(), hint: hint.into(), exit }
    }

    /// A plain failure, exit 1.
    pub fn failed(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Failed, code, message, hint)
    }

    /// A wrong command line, exit 2.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message, hint)
    }

    /// A failed operation on a file or stream; `what` is a sentence such as "cannot read x.toml".
    pub fn io(what: impl std::fmt::Display, error: &io::Error, hint: impl Into<String>) -> Self {
        Self::failed("io", format!("{what}: {error}"), hint)
    }

    /// A failed write to standard output.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Ok, BROKEN_PIPE, "the reader went away", "");
        }
        Self::io("cannot write the output", error, "check the disk or the program it is piped to")
    }

    /// Whether the reader of our output closed it, which is how `| head` ends a program.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        self.code == BROKEN_PIPE
    }

    /// The text for standard error: one JSON line, or lines for people.
    #[must_use]
    pub fn render(&self, json: bool) -> String {
        if json {
            return json_line(self);
        }
        let mut text = format!("error: {}", safe_lines(&self.message));
        if !self.hint.is_empty() {
            text.push_str("\nhint: ");
            text.push_str(&safe_lines(&self.hint));
        }
        text
    }
}

impl std::fmt::Display for CliError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", safe(&self.message))
    }
}

impl std::error::Error for CliError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_codes_are_the_documented_numbers() {
        let codes = [
            Exit::Ok,
            Exit::Failed,
            Exit::Usage,
            Exit::Unreachable,
            Exit::NotFound,
            Exit::TimedOut,
            Exit::Denied,
            Exit::PartlyFailed,
            Exit::Interrupted,
        ]
        .map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 130]);
    }

    #[test]
    fn an_error_reads_well_and_is_one_json_line() {
        let error = CliError::new(
            Exit::NotFound,
            "no_contact",
            "nobody here is called \u{1b}[31mbob\n",
            "pouch contact ls",
        );
        let text = error.render(false);
        assert!(text.starts_with("error: nobody here is called ␛[31mbob"), "{text}");
        assert!(text.ends_with("hint: pouch contact ls"), "{text}");
        let json = error.render(true);
        assert!(!json.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["exit"], 4);
        assert_eq!(value["code"], "no_contact");
        assert_eq!(value["message"], "nobody here is called \u{1b}[31mbob\n");
    }

    #[test]
    fn a_closed_pipe_is_told_apart_from_a_full_disk() {
        assert!(CliError::output(&io::ErrorKind::BrokenPipe.into()).is_broken_pipe());
        let full = CliError::output(&io::ErrorKind::StorageFull.into());
        assert!(!full.is_broken_pipe());
        assert_eq!(full.exit, Exit::Failed);
    }
}
