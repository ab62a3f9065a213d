//! What brings an account back: `backup phrase`, `restore`.

use std::io::{IsTerminal, Read};
use std::path::Path;

use postroad_cli::{CliError, Printer, rfc3339_ms};
use postroad_client::{AccountKey, Client, Error, Others};
use postroad_proto::link::NodeLink;
use serde::Serialize;
use zeroize::Zeroizing;

use super::account::WhoamiRow;
use super::device::host_name;
use crate::args::{ProfileArgs, Restore};
use crate::error::explain;
use crate::profile::open_any;

/// Bytes of a phrase file at most.
const MAX_FILE: u64 = 4096;

#[derive(Serialize)]
struct PhraseRow<'a> {
    phrase: &'a str,
}

#[derive(Serialize)]
struct TestedRow {
    fits: bool,
    tested_at: Option<String>,
}

/// Shows the account's phrase, or asks for it.
pub(crate) fn phrase(
    client: &mut Client,
    is_test: bool,
    printer: &Printer,
) -> Result<(), CliError> {
    if is_test {
        return test(client, printer);
    }
    let phrase = client.phrase().map_err(explain)?;
    printer.object(&PhraseRow { phrase: &phrase }, || in_rows(&phrase))?;
    printer.hint("write these words on paper, and see that you did: pouch backup phrase --test");
    Ok(())
}

fn test(client: &mut Client, printer: &Printer) -> Result<(), CliError> {
    // Asked beforehand, so that nobody types them for nothing.
    client.phrase().map_err(explain)?;
    let text = read_phrase(None, "the 24 words, in order: ")?;
    let fits = client.test_phrase(&text).map_err(explain)?;
    let tested = client.status().map_err(explain)?.recovery.phrase_tested.filter(|_| fits);
    let row = TestedRow { fits, tested_at: tested.map(rfc3339_ms) };
    printer.object(&row, || if fits { "these are the words" } else { "" }.to_owned())?;
    if fits {
        return Ok(());
    }
    Err(CliError::failed(
        "other_phrase",
        "these words are a recovery phrase, but not this account's",
        "pouch backup phrase shows the right ones",
    ))
}

pub(crate) async fn restore(
    profile: &ProfileArgs,
    args: &Restore,
    printer: &Printer,
) -> Result<(), CliError> {
    let home: NodeLink = args.node.parse().map_err(|error| explain(Error::Link(error)))?;
    let text = read_phrase(args.phrase_file.as_deref(), "the 24 words, in order: ")?;
    let key = AccountKey::from_phrase(&text).map_err(|error| explain(error.into()))?;
    let others = if args.cut_off { Others::CutOff } else { Others::Keep };
    if args.cut_off {
        printer.confirm("take all other devices out of the account, for good?")?;
    }
    let name = args.name.clone().unwrap_or_else(host_name);
    let mut client = open_any(profile, printer).await?;
    printer.progress("asking the node for the account");
    let who = client.restore(&key, &home, &name, others).await.map_err(explain)?;
    let row = WhoamiRow::from(who);
    printer.object(&row, || row.human())?;
    printer
        .hint("contacts and settings are back; messages are on your other devices and in backups");
    Ok(())
}

/// The words from a file, from standard input, or as they are typed.
fn read_phrase(file: Option<&Path>, question: &str) -> Result<Zeroizing<String>, CliError> {
    let mut text = Zeroizing::new(String::new());
    let read = match file {
        Some(path) if path != Path::new("-") => {
            let opened = std::fs::File::open(path);
            opened.and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
        }
        _ if std::io::stdin().is_terminal() => {
            eprint!("{question}");
            std::io::stdin().read_line(&mut text)
        }
        _ => std::io::stdin().take(MAX_FILE).read_to_string(&mut text),
    };
    match read {
        Ok(_) => Ok(text),
        Err(error) => {
            Err(CliError::io("the words cannot be read", &error, "name a file with --phrase-file"))
        }
    }
}

/// Four words to a line, numbered.
fn in_rows(phrase: &str) -> String {
    let mut text = String::new();
    for (number, word) in (1..).zip(phrase.split(' ')) {
        let end = if number % 4 == 0 { "\n" } else { "" };
        text += &format!("{number:>2} {word:<12}{end}");
    }
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
