//! Where a passphrase comes from: a file, the environment, or the terminal, without echo.

use std::path::Path;

use postroad_cli::{CliError, Printer, ask_secret};
use zeroize::Zeroizing;

/// It is no flag: everybody on the machine sees those.
const VARIABLE: &str = "POSTROAD_BACKUP_PASSPHRASE";
/// A shorter one is remarked on, characters.
const SHORT: usize = 12;

/// The passphrase. A `new` one is asked for twice.
pub(super) fn get(
    file: Option<&Path>,
    new: bool,
    printer: &Printer,
) -> Result<Zeroizing<String>, CliError> {
    let passphrase = match (file, std::env::var(VARIABLE)) {
        (Some(path), _) => first_line(read(path)?),
        (None, Ok(text)) => Zeroizing::new(text),
        (None, Err(_)) => {
            let Some(passphrase) = ask("passphrase", printer)? else {
                let hint = format!(
                    "--backup-passphrase-file FILE, or {VARIABLE} in the environment; {}",
                    if new {
                        "--to age1… encrypts to a key"
                    } else {
                        "--identity FILE has a key"
                    }
                );
                return Err(CliError::usage("nobody can be asked for a passphrase here", hint));
            };
            if new && ask("once more", printer)?.as_ref() != Some(&passphrase) {
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

/// Asks for it, unless a program reads what comes.
fn ask(question: &str, printer: &Printer) -> Result<Option<Zeroizing<String>>, CliError> {
    if printer.is_json() { Ok(None) } else { ask_secret(question) }
}
