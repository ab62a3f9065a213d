//! The story itself, step by step; every step checks what it claims.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use postroad_cli::{CliError, Exit};
use serde::Deserialize;
use serde_json::Value;

use super::{Narrator, PEOPLE, person::Person, texts};
use crate::{
    interrupt, node,
    programs::Programs,
    state::Testnet,
    verbs::{control::start_again, env::invite},
};

/// Receipts travel in milliseconds here.
const RECEIPT_LIMIT: Duration = Duration::from_secs(15);
const RECEIPT_POLL: Duration = Duration::from_millis(100);

/// What was shown.
pub(super) struct Outcome {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// A message that Alice sent.
struct Sent {
    id: String,
    text: String,
}

/// What `pouch why` prints, as far as the story needs it.
#[derive(Deserialize)]
struct Why {
    state: String,
    steps: Vec<WhyStep>,
}

#[derive(Deserialize)]
struct WhyStep {
    state: String,
    by: Value,
    verified: bool,
}

pub(super) fn tell(
    net: &mut Testnet,
    programs: &Programs,
    narrator: &mut Narrator<'_>,
) -> Result<Outcome, CliError> {
    let pouch = programs.path("pouch")?;
    let people = net.dir.join(PEOPLE);
    let alice = Person::new("alice", &pouch, &people);
    let bob = Person::new("bob", &pouch, &people);

    join(net, &alice, &bob, narrator)?;
    let sent = write(&alice, &people, narrator)?;

    narrator.step("The node dies before Bob is back: kill -9, no goodbye.")?;
    node::kill(net, 0)?;
    narrator.step("The node starts again on the same data and the same address.")?;
    start_again(net, 0)?;

    let bytes = read(&bob, &sent, narrator)?;
    let why = ask_why(&alice, &sent, narrator)?;
    let signers = [
        (account(&alice)?, "Alice's device"),
        (account(&bob)?, "Bob's device"),
        (net.nodes[0].ready()?.node.clone(), "the node"),
    ];
    for step in &why.steps {
        let by = step.by.as_str().unwrap_or_default();
        // A device is written as its account and a number.
        let known = signers.iter().find(|(id, _)| by.split('/').next() == Some(id));
        let by = known.map_or(by, |(_, name)| name);
        narrator.result(&format!("{:<9}  signed by {by}, signature verified", step.state))?;
    }
    narrator.result(&format!("and the same for all {} messages.", sent.len()))?;
    Ok(Outcome { messages: sent.len(), bytes })
}

/// Both join and add each other by link.
fn join(
    net: &Testnet,
    alice: &Person,
    bob: &Person,
    narrator: &mut Narrator<'_>,
) -> Result<(), CliError> {
    narrator.step("Alice and Bob join the node with an invite.")?;
    let invite = invite(&net.nodes[0], 2)?;
    for person in [alice, bob] {
        person.pouch(&["join", &invite, "--name", person.name])?;
    }
    narrator.step("They exchange links and add each other as contacts.")?;
    for (person, other) in [(alice, bob), (bob, alice)] {
        let me = other.pouch(&["whoami"])?;
        let link = text(&me, "link", "whoami")?;
        person.pouch(&["contact", "add", link, "--name", other.name])?;
    }
    narrator.step("Bob goes away: no program of his runs any more.")
}

/// Alice sends all texts; each must be in the node's custody.
fn write(
    alice: &Person,
    people: &Path,
    narrator: &mut Narrator<'_>,
) -> Result<Vec<Sent>, CliError> {
    narrator.step("Alice writes to Bob in many scripts, and 60 KiB from a file.")?;
    let mut sent = Vec::new();
    for (script, greeting) in texts::GREETINGS {
        let answer = alice.pouch(&["send", "bob", greeting, "--wait", "accepted"])?;
        sent.push(accepted(&answer, script, greeting.to_owned())?);
    }
    let long = texts::long();
    let file = people.join("long.txt");
    std::fs::write(&file, &long).map_err(|error| {
        CliError::io(format!("cannot write {}", file.display()), &error, "check the disk")
    })?;
    let answer = alice.pouch_reading(&["send", "bob", "-", "--wait", "accepted"], &file)?;
    sent.push(accepted(&answer, "long", long)?);
    narrator.result(&format!(
        "{} messages accepted: the node has written each to its disk.",
        sent.len()
    ))?;
    Ok(sent)
}

fn accepted(answer: &Value, what: &str, text_sent: String) -> Result<Sent, CliError> {
    let state = text(answer, "state", "send")?;
    // With sender and recipient on one node the second custody can be there at once.
    if !matches!(state, "accepted" | "at-node") {
        return Err(wrong(format!("the {what} text is {state}, and not accepted")));
    }
    Ok(Sent { id: text(answer, "id", "send")?.to_owned(), text: text_sent })
}

/// Bob reads: the same messages, in the same order, the same bytes, each once.
fn read(bob: &Person, sent: &[Sent], narrator: &mut Narrator<'_>) -> Result<usize, CliError> {
    narrator.step("Bob comes back and reads.")?;
    let inbox = bob.pouch(&["inbox"])?;
    let messages = inbox.as_array().ok_or_else(|| wrong("the inbox is no list".to_owned()))?;
    if messages.len() != sent.len() {
        let (got, want) = (messages.len(), sent.len());
        return Err(wrong(format!("Bob sees {got} messages instead of {want}")));
    }
    let mut bytes = 0;
    for (number, (message, sent)) in (1..).zip(messages.iter().zip(sent)) {
        if text(message, "id", "inbox")? != sent.id {
            return Err(wrong(format!("message {number} is not the one that Alice sent there")));
        }
        let got = text(message, "text", "inbox")?;
        if let Some(difference) = difference(got, &sent.text) {
            return Err(wrong(format!("message {number} arrived changed: {difference}")));
        }
        bytes += got.len();
    }
    let again = bob.pouch(&["inbox"])?;
    if again.as_array().is_none_or(|rest| !rest.is_empty()) {
        return Err(wrong("Bob is shown a message twice".to_owned()));
    }
    narrator.result(&format!(
        "{} messages, {bytes} bytes: every byte as sent, in order, nothing twice.",
        messages.len()
    ))?;
    Ok(bytes)
}

/// Where two texts differ first, without printing 60 KiB.
fn difference(got: &str, sent: &str) -> Option<String> {
    if got == sent {
        return None;
    }
    let same = got.bytes().zip(sent.bytes()).take_while(|(a, b)| a == b).count();
    Some(format!("{} bytes instead of {}, different from byte {same} on", got.len(), sent.len()))
}

/// Alice sees every message walk from her device to Bob's, each step signed by who took it. The
/// answer for one of them is given back to be shown.
fn ask_why(alice: &Person, sent: &[Sent], narrator: &mut Narrator<'_>) -> Result<Why, CliError> {
    narrator.step("Alice asks why she should believe that they arrived.")?;
    alice.pouch(&["inbox"])?;
    let mut shown = None;
    for message in sent {
        let why = delivered(alice, &message.id)?;
        check_steps(&why, &message.id)?;
        shown.get_or_insert(why);
    }
    shown.ok_or_else(|| wrong("nothing was sent".to_owned()))
}

fn account(person: &Person) -> Result<String, CliError> {
    text(&person.pouch(&["whoami"])?, "account", "whoami").map(str::to_owned)
}

/// Bob's receipt is a message as well and takes its time; this waits for it.
fn delivered(alice: &Person, id: &str) -> Result<Why, CliError> {
    let started = Instant::now();
    loop {
        interrupt::check()?;
        let answer = alice.pouch(&["why", id])?;
        let why: Why = serde_json::from_value(answer)
            .map_err(|error| wrong(format!("the answer of why is not understood: {error}")))?;
        if matches!(why.state.as_str(), "delivered" | "read") {
            return Ok(why);
        }
        if started.elapsed() >= RECEIPT_LIMIT {
            return Err(CliError::new(
                Exit::TimedOut,
                "no_receipt",
                format!("message {id} is still {} for Alice", why.state),
                "see what 'pouch why' says it waits for",
            ));
        }
        std::thread::sleep(RECEIPT_POLL);
    }
}

fn check_steps(why: &Why, id: &str) -> Result<(), CliError> {
    if let Some(step) = why.steps.iter().find(|step| !step.verified) {
        return Err(wrong(format!("the step {} of {id} is not verified", step.state)));
    }
    let mut states = why.steps.iter().map(|step| step.state.as_str());
    if states.next() != Some("queued") {
        return Err(wrong(format!("the way of {id} does not begin with queued")));
    }
    // `any` goes on where it stopped: the two must come in this order.
    for state in ["accepted", "delivered"] {
        if !states.any(|step| step == state) {
            return Err(wrong(format!("the way of {id} lacks {state}, or has it out of order")));
        }
    }
    Ok(())
}

fn text<'a>(value: &'a Value, field: &str, command: &str) -> Result<&'a str, CliError> {
    value[field]
        .as_str()
        .ok_or_else(|| wrong(format!("pouch {command} printed no text in the field {field}")))
}

fn wrong(message: String) -> CliError {
    CliError::failed("demo_wrong", message, "this is a bug: please report it with the log")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn why(states: &[(&str, bool)]) -> Why {
        let step = |&(state, verified): &(&str, bool)| json!({"state": state, "by": "x", "at": "now", "verified": verified});
        let steps: Vec<_> = states.iter().map(step).collect();
        serde_json::from_value(json!({"state": "delivered", "steps": steps})).unwrap()
    }

    #[test]
    fn only_a_complete_and_verified_way_counts() {
        let good = [("queued", true), ("accepted", true), ("at-node", true), ("delivered", true)];
        assert!(check_steps(&why(&good), "m").is_ok());
        assert!(check_steps(&why(&[good[0], good[1], good[3]]), "m").is_ok());
        for bad in [
            vec![good[1], good[3]],
            vec![good[0], good[3]],
            vec![good[0], good[3], good[1]],
            vec![good[0], ("accepted", false), good[3]],
            vec![],
        ] {
            assert!(check_steps(&why(&bad), "m").is_err(), "{:?}", bad);
        }
    }

    #[test]
    fn a_changed_text_is_noticed_and_located() {
        assert_eq!(difference("héllo", "héllo"), None);
        assert!(difference("abX", "abc").unwrap().ends_with("from byte 2 on"));
        assert!(difference("ab", "abc").unwrap().starts_with("2 bytes instead of 3"));
    }

    #[test]
    fn an_unaccepted_text_stops_the_story() {
        assert!(accepted(&json!({"id": "m", "state": "queued"}), "Latin", "x".into()).is_err());
        assert!(accepted(&json!({"id": "m", "state": "accepted"}), "Latin", "x".into()).is_ok());
    }
}
