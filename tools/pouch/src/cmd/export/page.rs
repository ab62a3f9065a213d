//! A conversation as one HTML page that needs nothing else: no script, no picture, no network.
//!
//! All that others wrote goes through [`markup`] or [`markup_lines`], and into elements that keep its
//! direction of writing to itself. The policy in the head would stop whatever came through.

use postroad_cli::{markup, markup_lines, now_ms, rfc3339_ms};
use postroad_client::{ContactView, Message, Quoted};

use crate::view::{MessageRow, shown_handle};

const STYLE: &str = include_str!("page.css");

/// Characters of a quoted text that are shown.
const QUOTED: usize = 300;

/// How our own messages are signed.
const ME: &str = "me";

/// The beginning.
pub(super) fn head(contact: &ContactView) -> String {
    let name = markup(&contact.name);
    let handle = match shown_handle(Some(&contact.handle), contact.handle_proven) {
        _ if contact.handle.is_empty() => String::new(),
        handle => format!("<bdi>{}</bdi> · ", markup(&handle)),
    };
    let blocked = if contact.blocked { " · blocked" } else { "" };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1><bdi>{name}</bdi></h1>\n\
         <p class=\"about\">{handle}{}{blocked}</p>\n</header>\n<main>\n",
        contact.account
    )
}

/// The end, without which the page is not whole.
pub(super) fn foot(messages: u64) -> String {
    let count = match messages {
        0 => "No messages".to_owned(),
        1 => "1 message".to_owned(),
        count => format!("{count} messages"),
    };
    let now = rfc3339_ms(now_ms());
    format!(
        "</main>\n<footer>\n<p class=\"about\">{count}. Written by pouch at {}; times are UTC, those \
         of messages by their senders\u{2019} clocks.</p>\n</footer>\n</body>\n</html>\n",
        time(&now, "")
    )
}

/// Where the page has come to.
#[derive(Default)]
pub(super) struct Page {
    day: String,
}

impl Page {
    /// A message, below the heading of its day when that is a new one: the day when it came here,
    /// because the sender's clock may say anything.
    pub(super) fn message(&mut self, message: &Message) -> String {
        let mut text = String::new();
        let came = rfc3339_ms(message.received_at.unwrap_or(message.sent_at));
        let day = came.get(..10).unwrap_or_default();
        if day != self.day {
            text.push_str(&format!("<h2><time datetime=\"{day}\">{day}</time></h2>\n"));
            self.day = day.to_owned();
        }
        let missing = (message.missing_before, "missing");
        for (count, how) in [(message.lost_before, "lost for good"), missing] {
            if count > 0 {
                let s = if count == 1 { "" } else { "s" };
                text.push_str(&format!("<p class=\"gap\">{count} message{s} {how} here</p>\n"));
            }
        }
        let class = if message.outgoing { " class=\"own\"" } else { "" };
        text.push_str(&format!("<article{class} data-message=\"{}\">\n", message.id));
        text.push_str(&self.who(message));
        if let Some(quoted) = &message.reply {
            text.push_str(&quote(quoted, &message.chat));
        }
        text.push_str(&body(message));
        text.push_str(&reactions(message));
        text + "</article>\n"
    }

    /// Who, when, how far, and what became of it.
    fn who(&self, message: &Message) -> String {
        let sent = time(&rfc3339_ms(message.sent_at), &self.day);
        let mut text =
            format!("<p class=\"who\">{} {sent}", writer(message.outgoing, &message.chat));
        if message.outgoing {
            text.push_str(&format!(" · {}", message.state));
            if !message.reason.is_empty() {
                text.push_str(&format!(": <bdi>{}</bdi>", markup(&message.reason)));
            }
        }
        for (holds, word) in [(message.forwarded, "forwarded"), (message.edited, "edited")] {
            if holds {
                text.push_str(&format!(" · {word}"));
            }
        }
        text + "</p>\n"
    }
}

fn writer(outgoing: bool, chat: &str) -> String {
    let name = if outgoing { ME } else { chat };
    format!("<b><bdi>{}</bdi></b>", markup(name))
}

/// A time of RFC 3339 for machines, and to the minute for people; of another day than `day` with its
/// date.
fn time(at: &str, day: &str) -> String {
    let (date, clock) = (at.get(..10).unwrap_or_default(), at.get(11..16).unwrap_or_default());
    let date = if date == day { String::new() } else { format!("{date} ") };
    format!("<time datetime=\"{at}\">{date}{clock}</time>")
}

fn quote(quoted: &Quoted, chat: &str) -> String {
    let who = writer(quoted.outgoing, chat);
    let text = match &quoted.text {
        Some(text) => {
            let short: String = text.chars().take(QUOTED).collect();
            let more = if short.len() < text.len() { "\u{2026}" } else { "" };
            format!("<div class=\"text\" dir=\"auto\">{}{more}</div>", markup_lines(&short))
        }
        None => "<p class=\"note\">[a message that is not here]</p>".to_owned(),
    };
    format!("<blockquote>\n<p class=\"who\">{who}</p>\n{text}\n</blockquote>\n")
}

/// The text, or what stands in its place; a text that looks the same is set otherwise.
fn body(message: &Message) -> String {
    match &message.text {
        Some(text) => {
            format!("<div class=\"text\" dir=\"auto\">{}</div>\n", markup_lines(text))
        }
        None => {
            format!("<p class=\"note\">{}</p>\n", markup(&MessageRow::from(message).body()))
        }
    }
}

fn reactions(message: &Message) -> String {
    if message.reactions.is_empty() {
        return String::new();
    }
    let all = message.reactions.iter().map(|reaction| {
        let who = writer(reaction.outgoing, &message.chat);
        format!("<bdi>{}</bdi> {who}", markup(&reaction.emoji))
    });
    format!("<p class=\"reactions\">{}</p>\n", all.collect::<Vec<_>>().join(" · "))
}

#[cfg(test)]
mod tests;
