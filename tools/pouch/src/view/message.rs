//! Messages as commands print them.

use std::time::Duration;

use postroad_cli::{human_duration, rfc3339_ms, safe, safe_lines};
use postroad_client::{Mention, Message, Quoted, Reaction};
use serde::Serialize;

/// How our own messages are signed in a conversation.
const ME: &str = "me";

/// A message in `inbox`, `read` and `watch`.
#[derive(Debug, Serialize)]
pub(crate) struct MessageRow {
    id: String,
    chat: String,
    from: String,
    kind: String,
    text: Option<String>,
    sent_at: String,
    received_at: Option<String>,
    state: String,
    missing_before: u64,
    /// Only there when it is so, as are those that follow.
    #[serde(skip_serializing_if = "is_zero")]
    lost_before: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<QuotedRow>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forwarded: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    edited: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reactions: Vec<ReactionRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mentions: Vec<MentionRow>,
    /// Seconds that it is kept after it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    vanish_after: Option<u64>,
    /// Of a farewell: when the sender's account ends; without it, it does not after all.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    /// Only there when it is so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) blocked: bool,
}

/// What a message answers.
#[derive(Debug, Serialize)]
struct QuotedRow {
    id: String,
    from: String,
    text: Option<String>,
}

/// A reaction to a message.
#[derive(Debug, Serialize)]
struct ReactionRow {
    from: String,
    emoji: String,
}

/// A part of a text that names one of the two.
#[derive(Debug, Serialize)]
struct MentionRow {
    who: String,
    /// Bytes of the text.
    start: u64,
    length: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Who wrote something in a conversation.
fn writer(outgoing: bool, chat: &str) -> String {
    if outgoing { ME.to_owned() } else { chat.to_owned() }
}

impl QuotedRow {
    /// Characters of a quoted text that are shown.
    const SHOWN: usize = 60;

    fn line(&self) -> String {
        let Some(text) = &self.text else {
            return format!("{}: [a message that is not here]", safe(&self.from));
        };
        let line = text.lines().next().unwrap_or_default();
        let short: String = line.chars().take(Self::SHOWN).collect();
        let more = if short.len() < text.len() { "\u{2026}" } else { "" };
        format!("{}: {}{more}", safe(&self.from), safe(&short))
    }
}

impl From<&Message> for MessageRow {
    fn from(message: &Message) -> Self {
        let quoted = |quoted: &Quoted| QuotedRow {
            id: quoted.id.to_string(),
            from: writer(quoted.outgoing, &message.chat),
            text: quoted.text.clone(),
        };
        let reaction = |reaction: &Reaction| ReactionRow {
            from: writer(reaction.outgoing, &message.chat),
            emoji: reaction.emoji.clone(),
        };
        let mention = |mention: &Mention| MentionRow {
            who: writer(mention.account != message.contact, &message.chat),
            start: mention.start,
            length: mention.length,
        };
        Self {
            id: message.id.to_string(),
            chat: message.chat.clone(),
            from: writer(message.outgoing, &message.chat),
            kind: message.kind_name(),
            text: message.text.clone(),
            sent_at: rfc3339_ms(message.sent_at),
            received_at: message.received_at.map(rfc3339_ms),
            state: message.state.to_string(),
            missing_before: message.missing_before,
            lost_before: message.lost_before,
            reason: message.reason.clone(),
            reply: message.reply.as_ref().map(quoted),
            forwarded: message.forwarded,
            edited: message.edited,
            deleted: message.deleted,
            reactions: message.reactions.iter().map(reaction).collect(),
            mentions: message.mentions.iter().map(mention).collect(),
            vanish_after: message.vanish_after,
            ends_at: message.ends_at.map(rfc3339_ms),
            blocked: false,
        }
    }
}

impl MessageRow {
    /// The message as people read it: who, when and how far on one line, the text below.
    pub(crate) fn human(&self, is_wide: bool) -> String {
        let mut text = String::new();
        for (count, how) in [(self.lost_before, "lost for good"), (self.missing_before, "missing")]
        {
            if count > 0 {
                let s = if count == 1 { "" } else { "s" };
                text.push_str(&format!("-- {count} message{s} {how} here --\n"));
            }
        }
        let with = if self.from == ME { format!(" to {}", self.chat) } else { String::new() };
        text.push_str(&format!("{}{}  {}", safe(&self.from), safe(&with), self.sent_at));
        if self.from == ME || is_wide {
            text.push_str(&format!("  {}", self.state));
        }
        if is_wide {
            text.push_str(&format!("  {}", self.id));
        }
        let marks = [
            (self.forwarded, "forwarded"),
            (self.edited, "edited"),
            (self.names_me(), "names you"),
        ];
        for (holds, word) in marks {
            if holds {
                text.push_str(&format!("  ({word})"));
            }
        }
        if let Some(quoted) = &self.reply {
            text.push_str(&format!("\n  > {}", quoted.line()));
        }
        for line in self.body().split('\n') {
            text.push_str("\n  ");
            text.push_str(line);
        }
        for reaction in &self.reactions {
            text.push_str(&format!("\n  {} {}", safe(&reaction.emoji), safe(&reaction.from)));
        }
        text.push('\n');
        text
    }

    /// Whether somebody else's text names the user.
    fn names_me(&self) -> bool {
        self.from != ME && self.mentions.iter().any(|mention| mention.who == ME)
    }

    /// Its text, or what stands for one, harmless.
    pub(crate) fn body(&self) -> String {
        match &self.text {
            Some(text) => safe_lines(text).into_owned(),
            None if self.deleted => "[deleted]".to_owned(),
            None if self.kind == "timer" => match self.vanish_after {
                Some(seconds) => format!(
                    "[texts vanish {} after they were read]",
                    human_duration(Duration::from_secs(seconds))
                ),
                None => "[texts are kept from here on]".to_owned(),
            },
            None if self.kind == "farewell" => match &self.ends_at {
                Some(at) => format!("[this account ends on {at}]"),
                None => "[this account does not end after all]".to_owned(),
            },
            None => format!("[{}: this version cannot show it]", safe(&self.kind)),
        }
    }
}

/// A message of Bob's, for tests.
#[cfg(test)]
pub(crate) fn sample(text: &str) -> Message {
    Message {
        row: 1,
        id: postroad_proto::ids::MessageId([1; 16]),
        contact: postroad_proto::ids::AccountId([2; 32]),
        chat: "bob\u{202e}".to_owned(),
        outgoing: false,
        kind: 1,
        text: Some(text.to_owned()),
        reply: None,
        forwarded: false,
        edited: false,
        deleted: false,
        reactions: Vec::new(),
        mentions: Vec::new(),
        vanish_after: None,
        ends_at: None,
        sent_at: 0,
        received_at: Some(1),
        state: postroad_client::State::Delivered,
        reason: String::new(),
        shown: false,
        missing_before: 2,
        lost_before: 0,
    }
}

#[cfg(test)]
mod tests {
    use postroad_proto::ids::MessageId;

    use super::*;

    #[test]
    fn what_scripts_rely_on_is_there_and_exact() {
        let row = MessageRow::from(&sample("a\u{1b}[2Jb"));
        let json = serde_json::to_value(&row).unwrap();
        for key in ["id", "chat", "from", "kind", "text", "sent_at", "received_at", "state"] {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert_eq!(json["text"], "a\u{1b}[2Jb");
        assert_eq!(json["from"], json["chat"]);
        assert_eq!(json["sent_at"].as_str().map(|at| at.ends_with('Z')), Some(true));
    }

    #[test]
    fn nothing_from_a_stranger_reaches_the_terminal() {
        let text = MessageRow::from(&sample("a\u{1b}[2Jb\nme  forged\u{202e}")).human(true);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
        assert!(text.contains("\n  me  forged"), "a second line is indented: {text:?}");
        assert!(text.starts_with("-- 2 messages missing here --"));
    }

    #[test]
    fn what_became_of_a_message_shows() {
        let quoted = Quoted { id: MessageId([3; 16]), outgoing: true, text: Some("a\nb".into()) };
        let full = Message {
            reply: Some(quoted),
            forwarded: true,
            edited: true,
            reactions: vec![Reaction { outgoing: true, emoji: "\u{1b}x".into() }],
            missing_before: 0,
            lost_before: 1,
            ..sample("hi")
        };
        let text = MessageRow::from(&full).human(false);
        for part in
            ["-- 1 message lost for good here --", "(forwarded)", "(edited)", "  > me: a\u{2026}"]
        {
            assert!(text.contains(part), "{part} in {text:?}");
        }
        assert!(text.ends_with("x me\n") && !text.contains('\u{1b}'), "{text:?}");
        let gone = Message { text: None, deleted: true, ..sample("") };
        assert!(MessageRow::from(&gone).human(false).contains("[deleted]"));
        let timer = Message { text: None, kind: 15, vanish_after: Some(3600), ..sample("") };
        assert!(MessageRow::from(&timer).human(false).contains("vanish 1h after"));
        let farewell = Message { text: None, kind: 17, ends_at: Some(86_400_000), ..sample("") };
        assert!(MessageRow::from(&farewell).human(false).contains("ends on 1970-01-02"));
        let stays = Message { ends_at: None, ..farewell };
        assert!(MessageRow::from(&stays).human(false).contains("does not end after all"));
    }
}
