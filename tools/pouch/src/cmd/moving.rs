//! `move`.

use postroad_cli::{CliError, Printer, safe};
use postroad_client::{Client, Error};
use postroad_proto::error::ErrorCode;
use postroad_proto::record::Handle;
use serde::Serialize;

use super::account::{WhoamiRow, join_link, refused_join};
use crate::args::Move;
use crate::error::explain;

#[derive(Serialize)]
struct MovedRow {
    #[serde(flatten)]
    who: WhoamiRow,
    /// Homes that the account has left and that are to be told or emptied yet.
    left: Vec<String>,
}

pub(crate) async fn run(
    client: &mut Client,
    args: &Move,
    printer: &Printer,
) -> Result<(), CliError> {
    let link = join_link(&args.link)?;
    let handle = wanted(client, args)?;
    printer.progress("going to the new node, and emptying the mailbox at the old one");
    let moved = client.move_to(&link, handle.as_ref()).await;
    let moved = moved.map_err(|error| match &error {
        Error::Refused { code: ErrorCode::Taken, .. } => {
            let hint = "nothing was changed; pouch move LINK --name OTHER, or --no-handle";
            CliError { hint: hint.to_owned(), ..explain(error) }
        }
        _ => refused_join(&link, error),
    })?;
    let got = moved.who.handle.clone().unwrap_or_default();
    if let Some(handle) = handle.filter(|handle| !got.starts_with(&format!("{handle}@"))) {
        let known = if got.is_empty() {
            "without a handle".to_owned()
        } else {
            format!("as {}", safe(&got))
        };
        printer.hint(&format!(
            "the account was there before, and is known {known} instead of {handle}"
        ));
    }
    let row = MovedRow { who: WhoamiRow::from(moved.who), left: moved.left };
    printer.object(&row, || row.who.human())?;
    for home in &row.left {
        let text = format!(
            "{} is to be told yet, or has mail for this device yet: pouch goes on with each connection",
            safe(home)
        );
        printer.hint(&text);
    }
    printer.hint("your other devices and your contacts follow by themselves; the old node says for 90 days where you are");
    Ok(())
}

/// The handle to ask for.
fn wanted(client: &mut Client, args: &Move) -> Result<Option<Handle>, CliError> {
    if args.no_handle {
        return Ok(None);
    }
    let text = match &args.name {
        Some(name) => Some(name.clone()),
        None => {
            let handle = client.whoami().map_err(explain)?.handle;
            handle.and_then(|full| full.split('@').next().map(str::to_owned))
        }
    };
    let handle = text.as_deref().map(str::parse::<Handle>).transpose();
    handle.map_err(|error| CliError::usage(error.to_string(), "choose another --name"))
}
