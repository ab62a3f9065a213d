//! Secrets that are typed: nothing of them shows on the terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

use crate::{CliError, Exit};

/// Longest secret, bytes.
const MAX: usize = 4096;

/// Asks for a secret on the terminal, whatever standard input and output are. None where there is no
/// terminal to ask on.
///
/// # Errors
/// Exit 130 when the user interrupts.
pub fn ask_secret(question: &str) -> Result<Option<Zeroizing<String>>, CliError> {
    let Ok(terminal) = OpenOptions::new().read(true).write(true).open("/dev/tty") else {
        return Ok(None);
    };
    let failed = |error: io::Error| CliError::io("cannot ask on the terminal", &error, "try again");
    let quiet = Quiet::new(&terminal).map_err(failed)?;
    write!(&terminal, "{question}: ").map_err(failed)?;
    let typed = typed(&terminal);
    drop(quiet);
    writeln!(&terminal).map_err(failed)?;
    let Some(typed) = typed.map_err(failed)? else {
        let hint = "nothing was changed";
        return Err(CliError::new(Exit::Interrupted, "interrupted", "interrupted", hint));
    };
    let text = std::str::from_utf8(&typed);
    let text = text.map_err(|_| CliError::usage("what was typed is no text", "type it again"))?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

/// A terminal that shows nothing and passes every key on at once, until this is dropped.
struct Quiet<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Quiet<'a> {
    fn new(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        // An interruption is a key as well here, or the terminal would be left quiet.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no modes.
        let _ = tcsetattr(self.terminal, OptionalActions::Drain, &self.before);
    }
}

/// What is typed up to the end of a line. None when the user interrupts.
fn typed(mut keys: impl Read) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    // With all its room from the start, so that no shorter copy is left behind.
    let mut typed = Zeroizing::new(Vec::with_capacity(MAX));
    let mut key = Zeroizing::new([0]);
    loop {
        if keys.read(key.as_mut_slice())? == 0 {
            return Ok(Some(typed));
        }
        match key[0] {
            b'\r' | b'\n' => return Ok(Some(typed)),
            // Ctrl-C, Ctrl-\, and Ctrl-D with nothing before it.
            3 | 28 => return Ok(None),
            4 if typed.is_empty() => return Ok(None),
            4 => return Ok(Some(typed)),
            // Backspace takes a whole character.
            8 | 127 => while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            // Ctrl-U takes the line.
            21 => typed.clear(),
            byte if typed.len() < MAX => typed.push(byte),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(keys: &str) -> Option<String> {
        let typed = typed(keys.as_bytes()).unwrap()?;
        Some(String::from_utf8(typed.to_vec()).unwrap())
    }

    #[test]
    fn keys_are_taken_as_a_terminal_would() {
        for (keys, text) in [
            ("word\n", Some("word")),
            ("word\rmore", Some("word")),
            ("word", Some("word")),
            ("wür\u{7f}\u{7f}ord\n", Some("word")),
            ("\u{7f}word\n", Some("word")),
            ("other\u{15}word\n", Some("word")),
            ("word\u{4}", Some("word")),
            ("\u{4}", None),
            ("wor\u{3}d\n", None),
        ] {
            assert_eq!(after(keys).as_deref(), text, "{keys:?}");
        }
        assert_eq!(after(&"x".repeat(2 * MAX)).unwrap().len(), MAX);
    }
}
