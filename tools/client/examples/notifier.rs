//! Sends each line of its standard input to a contact as a text.
//!
//! `notifier PROFILE CONTACT-LINK [JOIN-LINK]`: the last link makes the account if the profile has
//! none. Ends when the node has taken everything, however long that takes. A line that was read is
//! stored before the next one; after a kill, the next start sends what was stored.

use std::error::Error;
use std::path::Path;
use std::sync::mpsc::{TryRecvError, sync_channel};
use std::time::Duration;

use postroad_client::{Client, State};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [profile, contact, join @ ..] = &args[..] else {
        return Err("usage: notifier PROFILE CONTACT-LINK [JOIN-LINK]".into());
    };
    let mut client = Client::open(Path::new(profile))?;
    if let (false, Some(link)) = (client.is_joined()?, join.first()) {
        client.join(&link.parse()?, None).await?;
    }
    let contact = client.add_link(&contact.parse()?, None)?.account.to_string();
    let mut rows = Vec::new();
    // Waiting for a line must not keep the connection from its work.
    let (tell, lines) = sync_channel(16);
    std::thread::spawn(move || std::io::stdin().lines().try_for_each(|line| tell.send(line)));
    loop {
        match lines.try_recv() {
            Ok(line) => rows.push(client.send_text(&contact, &line?)?.row),
            Err(TryRecvError::Empty) => client.step(Duration::from_millis(100)).await?,
            Err(TryRecvError::Disconnected) => break,
        }
    }
    while client.status()?.queued > 0 {
        client.step(Duration::from_secs(1)).await?;
    }
    for row in rows {
        if client.state_of(row)?.is_some_and(State::is_lost) {
            return Err("a line was refused; pouch read shows which, and why".into());
        }
    }
    Ok(())
}
