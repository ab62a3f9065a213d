//! `account delete`, `account keep`.

use postroad_cli::{CliError, Printer, now_ms, rfc3339_ms};
use postroad_client::Client;
use serde::Serialize;

use crate::args::Account;
use crate::error::explain;

#[derive(Serialize)]
struct EndRow {
    account: String,
    /// None when it stays.
    delete_at: Option<String>,
}

pub(crate) async fn run(
    client: &mut Client,
    verb: &Account,
    printer: &Printer,
) -> Result<(), CliError> {
    let account = client.whoami().map_err(explain)?.account.to_string();
    let args = match verb {
        Account::Delete(args) => args,
        Account::Keep => {
            client.keep_account().await.map_err(explain)?;
            let row = EndRow { account, delete_at: None };
            return printer.object(&row, || "the account stays".to_owned());
        }
    };
    let after = u64::try_from(args.after.as_millis()).unwrap_or(u64::MAX);
    let when = match after {
        0 => "now".to_owned(),
        after => format!("on {}", rfc3339_ms(now_ms().saturating_add(after))),
    };
    printer.confirm(&format!(
        "delete the account {when}, at its node and on your devices, with all messages that are there?"
    ))?;
    printer.progress("telling the node and the contacts");
    let at = client.delete_account(args.after).await.map_err(explain)?;
    let row = EndRow { account, delete_at: Some(rfc3339_ms(at)) };
    if after == 0 {
        return printer.object(&row, || "the account is deleted".to_owned());
    }
    printer.object(&row, || format!("the account is deleted at {}", rfc3339_ms(at)))?;
    printer.hint("until then: pouch account keep");
    Ok(())
}
