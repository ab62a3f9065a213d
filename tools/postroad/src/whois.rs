//! `whois`: what an id or a name stands for.

use postroad_cli::{CliError, Printer, fields};
use serde::{Deserialize, Serialize};

use crate::{
    admin::{Admin, segment},
    args::WhoisArgs,
    values::{Extra, inline},
};

/// What people look for first; the rest follows in the order of the alphabet.
const FIRST: [&str; 7] = ["handle", "name", "account", "node", "home", "home_name", "via"];

/// `/v1/whois/…`: what else there is depends on the kind.
#[derive(Debug, Deserialize, Serialize)]
struct Found {
    kind: String,
    #[serde(flatten)]
    extra: Extra,
}

/// `postroad whois`.
pub(crate) fn run(admin: &Admin, args: &WhoisArgs, printer: &Printer) -> Result<(), CliError> {
    let found: Found = admin.get(&format!("/v1/whois/{}", segment(&args.target)))?;
    printer.object(&found, || {
        let place = |name: &str| FIRST.iter().position(|first| *first == name);
        let mut more: Vec<_> = found.extra.iter().collect();
        more.sort_by_key(|(name, _)| place(name).unwrap_or(FIRST.len()));
        let mut pairs = vec![("kind", found.kind.clone())];
        pairs.extend(more.into_iter().map(|(name, value)| (name.as_str(), inline(value))));
        fields(&pairs)
    })
}
