//! Pages of hostile conversations, read by a parser that knows only what a page may hold.

use postroad_client::{Phase, Reaction, State};
use postroad_proto::ids::{AccountId, MessageId, NodeId};
use postroad_proto::link::NodeLink;

use super::*;
use crate::view::sample;

/// What people who mean harm write.
const HOSTILE: &[&str] = &[
    "</title><script>alert(1)</script>",
    "</div></article></main><script src=//evil.example></script>",
    "<img src=x onerror=alert(1)> onclick=\"x\" ' onload='y' \" onfocus=z",
    "<!-- ]]> <![CDATA[ <style>*{display:none}</style>",
    "&lt;script&gt; &#60;script&#62; &amp; &quot",
    "javascript:alert(1) https://evil.example/?a=1&b=2",
    "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\r\u{8}\0\u{7f}",
    "exe.\u{202e}txt\u{202c} \u{2066}x\u{2069} \u{200f}\u{feff}\u{fff9}",
    "👩\u{200d}🚀 zero\u{200b}width नमस्ते مرحبا",
    "two\n\n\tlines\n me  2026-11-25 · read",
    "",
];

fn contact(name: &str) -> ContactView {
    ContactView {
        account: AccountId([2; 32]),
        name: name.to_owned(),
        verified: true,
        blocked: false,
        phase: Phase::Ready,
        handle: "bob@<b>.example".to_owned(),
        handle_proven: false,
        home: NodeLink {
            network: "postroad".parse().unwrap(),
            node: NodeId([1; 32]),
            addresses: Vec::new(),
            name: String::new(),
            p2p: Vec::new(),
        },
        vanish_after: None,
        reason: String::new(),
    }
}

fn message(text: &str) -> Message {
    Message {
        chat: "bob".to_owned(),
        sent_at: 1_800_000_000_000,
        received_at: Some(1_800_000_001_000),
        missing_before: 0,
        ..sample(text)
    }
}

/// A whole page of these.
fn page(name: &str, messages: &[Message]) -> String {
    let mut page = Page::default();
    let mut text = head(&contact(name));
    messages.iter().for_each(|message| text.push_str(&page.message(message)));
    text + &foot(messages.len() as u64)
}

/// Elements that a page may have, with their attributes; all others are somebody else's.
const ALLOWED: &[(&str, &[&str])] = &[
    ("html", &["lang"]),
    ("meta", &["charset", "http-equiv", "content", "name"]),
    ("time", &["datetime"]),
    ("p", &["class"]),
    ("div", &["class", "dir"]),
    ("article", &["class", "data-message"]),
    ("head", &[]),
    ("title", &[]),
    ("style", &[]),
    ("body", &[]),
    ("header", &[]),
    ("main", &[]),
    ("footer", &[]),
    ("h1", &[]),
    ("h2", &[]),
    ("b", &[]),
    ("bdi", &[]),
    ("blockquote", &[]),
];

/// Reads a page: every element is allowed and closed in its turn. Returns the text in it.
fn check(page: &str) -> String {
    let page = page.strip_prefix("<!DOCTYPE html>").unwrap();
    let (mut open, mut text, mut rest) = (Vec::<&str>::new(), String::new(), page);
    while let Some(start) = rest.find('<') {
        text.push_str(&rest[..start]);
        let end = start + rest[start..].find('>').unwrap();
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed in turn");
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let allowed = ALLOWED.iter().find(|(allowed, _)| *allowed == name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("<{tag}>"));
        check_attributes(attributes, allowed);
        if name != "meta" {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?} never closed");
    assert!(!rest.contains('>'));
    text.push_str(rest);
    text
}

fn check_attributes(attributes: &str, allowed: &[&str]) {
    let mut rest = attributes;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").unwrap();
        let (_value, after) = after.split_once('"').unwrap();
        assert!(allowed.contains(&name.trim()), "{name} in {attributes}");
        rest = after;
    }
}

/// What a browser would show for the references that a page uses.
fn shown(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    plain.replace("&#39;", "'").replace("&amp;", "&")
}

#[test]
fn nothing_that_people_write_does_anything() {
    for hostile in HOSTILE {
        let quoted =
            Quoted { id: MessageId([3; 16]), outgoing: false, text: Some((*hostile).to_owned()) };
        let reaction = Reaction { outgoing: false, emoji: (*hostile).to_owned() };
        let full = Message {
            chat: (*hostile).to_owned(),
            outgoing: true,
            reply: Some(quoted),
            reactions: vec![reaction],
            reason: (*hostile).to_owned(),
            ..message(hostile)
        };
        let theirs = Message { chat: (*hostile).to_owned(), ..message(hostile) };
        let page = page(hostile, &[full, theirs]);
        let text = shown(&check(&page));
        let harmless = postroad_cli::safe_lines(hostile);
        assert!(text.contains(&*harmless), "{hostile:?}: a person sees what was written");
        let lower = page.to_lowercase();
        for part in ["<script", "<img", "<a ", "href", "src=", "url(", "@import", "<link"] {
            let is_text = check(&page).to_lowercase().contains(part);
            assert!(!lower.contains(part) || is_text, "{part} for {hostile:?}");
        }
        let is_harmful = |c: char| c.is_control() && c != '\n' && c != '\t';
        assert!(!page.chars().any(is_harmful), "{hostile:?}");
        assert!(!page.contains(['\u{202e}', '\u{2066}', '\u{feff}']), "{hostile:?}");
    }
}

#[test]
fn a_long_text_is_whole_and_a_long_quote_is_short() {
    let long = "<é👩\u{200d}🚀&\n".repeat(60 * 1024 / 16);
    let quoted = Quoted { id: MessageId([3; 16]), outgoing: true, text: Some(long.clone()) };
    let text = shown(&check(&page("bob", &[message(&long)])));
    assert!(text.contains(&long));
    let reply = Message { reply: Some(quoted), ..message("yes") };
    let text = check(&page("bob", &[reply]));
    assert!(text.contains('\u{2026}') && text.len() < 6_000, "{}", text.len());
}

#[test]
fn what_became_of_messages_shows() {
    let missing = Quoted { id: MessageId([3; 16]), outgoing: true, text: None };
    let messages = [
        Message { missing_before: 2, lost_before: 1, ..message("first") },
        Message { outgoing: true, state: State::Read, edited: true, ..message("mine") },
        Message { outgoing: true, state: State::Failed, reason: "no".into(), ..message("lost") },
        Message { text: None, deleted: true, ..message("") },
        Message { text: None, kind: 77, ..message("") },
        Message { text: None, kind: 15, vanish_after: Some(3600), ..message("") },
        Message { reply: Some(missing), forwarded: true, ..message("[deleted]") },
        Message {
            reactions: vec![Reaction { outgoing: true, emoji: "👍".into() }],
            received_at: Some(1_800_100_000_000),
            ..message("late")
        },
    ];
    let page = page("bob", &messages);
    check(&page);
    for part in [
        "<title>bob</title>",
        "<h1><bdi>bob</bdi></h1>",
        "bob@&lt;b&gt;.example (unproven)",
        "<h2><time datetime=\"2027-01-15\">2027-01-15</time></h2>",
        "<p class=\"gap\">1 message lost for good here</p>\n<p class=\"gap\">2 messages missing here</p>",
        "<b><bdi>bob</bdi></b> <time datetime=\"2027-01-15T08:00:00.000Z\">08:00</time></p>",
        "08:00</time> · read · edited</p>",
        " · failed: <bdi>no</bdi></p>",
        "<p class=\"note\">[deleted]</p>",
        "<div class=\"text\" dir=\"auto\">[deleted]</div>",
        "[unknown-77: this version cannot show it]",
        "[texts vanish 1h after they were read]",
        " · forwarded</p>",
        "[a message that is not here]",
        "<p class=\"reactions\"><bdi>👍</bdi> <b><bdi>me</bdi></b></p>",
        "<h2><time datetime=\"2027-01-16\">2027-01-16</time></h2>",
        ">2027-01-15 08:00</time>",
        "8 messages. Written by pouch at ",
        "content=\"default-src 'none'; style-src 'unsafe-inline'\"",
        "prefers-color-scheme: dark",
        "@media print",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert_eq!(page.matches("<h2>").count(), 2, "a heading for each day");
    assert!(!page.contains("http:") && !page.contains("https:"));
}
