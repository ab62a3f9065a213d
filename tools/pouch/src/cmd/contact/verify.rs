//! `contact verify`: the same words on both sides.

use postroad_cli::{CliError, Exit, Printer, qr, safe};
use postroad_client::{Client, Error, Safety};
use postroad_proto::link::VerifyLink;
use serde::Serialize;

use crate::error::explain;
use crate::profile::sync;

/// Words in a row.
const ROW: usize = 4;

/// What was asked for.
pub(super) struct Verify<'a> {
    pub(super) contact: &'a str,
    pub(super) qr: bool,
    pub(super) code: Option<&'a str>,
    pub(super) undo: bool,
}

#[derive(Serialize)]
struct SafetyRow {
    contact: String,
    account: String,
    words: Vec<String>,
    code: String,
    verified: bool,
}

pub(super) async fn run(
    client: &mut Client,
    verify: &Verify<'_>,
    printer: &Printer,
) -> Result<(), CliError> {
    sync(client, printer).await?;
    let contact = client.contact(verify.contact).map_err(explain)?;
    let account = contact.account.to_string();
    let safety = client.safety(&account).map_err(explain)?;
    let verified = match verify.code {
        Some(code) => {
            compare(code, &safety, &contact.name)?;
            true
        }
        None if verify.undo => false,
        // Whoever says yes beforehand has compared.
        None if !safety.verified && printer.says_yes() => true,
        None => safety.verified,
    };
    if verified != safety.verified {
        client.set_verified(&account, verified).map_err(explain)?;
        sync(client, printer).await?;
    }
    let code = safety.code.to_string();
    let (contact, words) = (contact.name, safety.words);
    let row = SafetyRow { contact, account, words, code, verified };
    let picture = if verify.qr && !printer.is_json() { qr(&row.code)? } else { String::new() };
    printer.object(&row, || human(&row, &picture))?;
    if !row.verified {
        let name = safe(&row.contact).into_owned();
        printer.hint(&format!("the same on the other side? pouch contact verify {name:?} --yes"));
    }
    Ok(())
}

/// The code that the other side shows must be that of the two who are here.
fn compare(code: &str, safety: &Safety, name: &str) -> Result<(), CliError> {
    let shown: VerifyLink = code.parse().map_err(|error| explain(Error::Link(error)))?;
    if shown == safety.expected {
        return Ok(());
    }
    if shown == safety.code {
        let message = "that is the code of this side";
        return Err(CliError::usage(message, "read in the one that the other side shows"));
    }
    Err(CliError::new(
        Exit::Failed,
        "not_the_same",
        format!(
            "THE CODE DOES NOT MATCH: whoever shows it is not the {name:?} that you write to, or \
             knows you as somebody else. Somebody may be in between"
        ),
        "nothing was changed. Write nothing secret there; meet, and add each other by link again: \
         pouch whoami --qr",
    ))
}

fn human(row: &SafetyRow, picture: &str) -> String {
    let name = safe(&row.contact);
    let mut text = format!("Safety words with {name}, the same on both sides:\n\n");
    for (n, words) in row.words.chunks(ROW).enumerate() {
        text.push_str("  ");
        for (k, word) in words.iter().enumerate() {
            text.push_str(&format!("{:>2} {word:<10}", n * ROW + k + 1));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text.push_str(&format!(
        "\nCompare them face to face or by phone. If one is another, somebody is in between.\n\
         code:     {}\nverified: {}\n",
        row.code,
        if row.verified { "yes" } else { "no" }
    ));
    text + picture
}
