//! Answers every text with the same text, and takes everybody who asks to write.
//!
//! `echo_bot PROFILE [JOIN-LINK [HANDLE]]`: the link makes the account if the profile has none.
//! Prints the link by which others add the bot. Killed at any moment and started again, it answers
//! each text once: an answer and the mark that there is one are stored together.

use std::path::Path;

use postroad_client::{Client, Error, Query};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let profile = args.first().ok_or("usage: echo_bot PROFILE [JOIN-LINK [HANDLE]]")?;
    let mut bot = Client::open(Path::new(profile))?;
    if let (false, Some(link)) = (bot.is_joined()?, args.get(1)) {
        let handle = args.get(2).map(|name| name.parse()).transpose()?;
        bot.join(&link.parse()?, handle.as_ref()).await?;
    }
    println!("{}", bot.whoami()?.link);
    let mut seen = bot.newest_event()?;
    loop {
        for asking in bot.requests()? {
            bot.accept(&asking.account.to_string())?;
        }
        for message in bot.messages(&Query { unshown: true, ..Query::default() })? {
            match message.text.as_ref().map(|text| bot.answer(&message, text)) {
                // What can never be answered is not to be tried for ever.
                None | Some(Err(Error::TooLarge { .. })) => bot.mark_shown(&[message])?,
                Some(answered) => drop(answered?),
            }
        }
        (seen, _) = bot.next_event(seen).await?;
    }
}
