//! Where a passphrase comes from: a file, the environment, or the terminal, without echo.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use postroad_cli::{CliError, Printer};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// It is no flag: everybody on the machine sees those.
const VARIABLE: &str = "POSTROAD_PASSPHRASE";
/// A shorter one is remarked on, characters.
const SHORT: usize = 12;

/// The passphrase. A `new` one is asked for twice.
pub(super) async fn get(
    file: Option<&Path>,
    new: bool,
    printer: &Printer,
) -> Result<Zeroizing<String>, CliError> {
    let passphrase = match (file, std::env::var(VARIABLE)) {
        (Some(path), _) => first_line(read(path)?),
        (None, Ok(text)) => Zeroizing::new(text),
        (None, Err(_)) => {
            let is_asked =
                !printer.is_json() && io::stdin().is_terminal() && io::stderr().is_terminal();
            if !is_asked {
                let hint = format!(
                    "--passphrase-file FILE, or {VARIABLE} in the environment; {}",
                    if new {
                        "--to age1… encrypts to a key"
                    } else {
                        "--identity FILE has a key"
                    }
                );
                return Err(CliError::usage("nobody can be asked for a passphrase here", hint));
            }
            let passphrase = ask("passphrase: ").await?;
            if new && *ask("the same again: ").await? != *passphrase {
                let message = "the two are not the same; nothing was written";
                return Err(CliError::failed("not_the_same", message, "the same command again"));
            }
            passphrase
        }
    };
    if new && passphrase.chars().count() < SHORT {
        printer.warn(
            "warning: a short passphrase; whoever finds the file can try many: take five words or more",
        );
    }
    Ok(passphrase)
}

/// A file with a secret in it.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, CliError> {
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| {
        CliError::io(format!("cannot read {}", path.display()), &error, "name a file of yours")
    })
}

fn first_line(text: Zeroizing<String>) -> Zeroizing<String> {
    Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
}

async fn ask(question: &str) -> Result<Zeroizing<String>, CliError> {
    let failed = |error: &io::Error| CliError::io("cannot ask", error, "--passphrase-file FILE");
    let hidden = Hidden::begin().map_err(|error| failed(&error))?;
    let mut stderr = io::stderr();
    // A terminal that cannot show the question can still answer it.
    let _ = stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush());
    // Aside, so that an interruption is noticed and the terminal mended.
    let line = tokio::task::spawn_blocking(|| {
        let mut line = Zeroizing::new(String::new());
        io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let line = line.await.map_err(io::Error::other).flatten();
    drop(hidden);
    let _ = stderr.write_all(b"\n");
    Ok(first_line(line.map_err(|error| failed(&error))?))
}

/// A terminal that does not show what is typed, until this is dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Nothing useful can be done when that fails.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
