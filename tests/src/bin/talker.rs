//! Somebody who writes to a contact as fast as their home takes it, and takes what comes: for tests
//! that kill it at any moment and start it again. What it has written counts from its profile, so
//! that it goes on where it was.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use postroad_client::{Client, Message, Query};

/// Texts stored ahead of those that the home has.
const AHEAD: u64 = 8;

/// Writes numbered texts to a contact until it is killed.
#[derive(Debug, Parser)]
struct Args {
    /// The profile's directory
    profile: PathBuf,
    /// Whom to write to
    contact: String,
    /// How many texts in all
    count: usize,
    /// What each text begins with: those that begin so are this one's
    #[arg(long, default_value = "text")]
    prefix: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(talk(&args))
}

async fn talk(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut client = Client::open(&args.profile)?;
    let account = client.contact(&args.contact)?.account;
    let all = Query { contact: Some(account), requests: true, ..Query::default() };
    let is_ours = |message: &&Message| {
        let text = message.text.as_deref().unwrap_or_default();
        message.outgoing && text.starts_with(&format!("{} ", args.prefix))
    };
    let mut written = client.messages(&all)?.iter().filter(is_ours).count();
    loop {
        client.step(Duration::from_millis(50)).await?;
        if written >= args.count || client.status()?.queued > AHEAD {
            continue;
        }
        client.send_text(&account.to_string(), &format!("{} {written}", args.prefix))?;
        written += 1;
    }
}
