//! The story itself, step by step; every step checks what it claims.

use std::{path::PathBuf, time::Duration};

use postroad_cli::CliError;
use serde_json::Value;

use super::{
    Narrator, PEOPLE, checks,
    checks::{text, wrong},
    operator,
    person::Person,
    texts, until,
};
use crate::{
    node,
    programs::Programs,
    state::Testnet,
    verbs::{control::start_again, env::invite},
};

/// The nodes of Alice and of Bob, by their places.
const HERS: usize = 0;
const HIS: usize = 1;

/// Mail that waited comes as soon as the nodes have found each other again.
const MAIL_LIMIT: Duration = Duration::from_secs(20);
/// Receipts travel in milliseconds here.
const RECEIPT_LIMIT: Duration = Duration::from_secs(15);

/// What was shown.
pub(super) struct Outcome {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    pub(super) map: PathBuf,
}

/// A message that Alice sent.
struct Sent {
    id: String,
    text: String,
}

/// Everybody and everything that takes part.
struct Cast<'a> {
    net: &'a mut Testnet,
    alice: Person,
    bob: Person,
    people: PathBuf,
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
    let cast = Cast { net, alice, bob, people };

    cast.join(narrator)?;
    cast.chat(narrator)?;
    let mut sent = cast.write(narrator)?;

    narrator.step("n2 dies before Bob is back: kill -9, no goodbye.")?;
    node::kill(cast.net, HIS)?;
    sent.push(cast.write_to_a_dead_node(programs, narrator)?);
    narrator.step("n2 starts again on the same data and the same addresses.")?;
    start_again(cast.net, HIS)?;

    let bytes = cast.read(&sent, narrator)?;
    cast.ask_why(&sent, narrator)?;
    narrator.step("The operator of n1 draws a map of the network.")?;
    let map = operator::draw_map(&cast.net.nodes[HERS], programs)?;
    narrator.result(&format!("{}: 3 nodes, open it in a browser.", map.display()))?;
    Ok(Outcome { messages: sent.len(), bytes, map })
}

impl Cast<'_> {
    /// Both join and add each other by link.
    fn join(&self, narrator: &mut Narrator<'_>) -> Result<(), CliError> {
        narrator.step("Alice joins n1 and Bob joins n2, each with an invite.")?;
        for (person, home) in [(&self.alice, HERS), (&self.bob, HIS)] {
            let invite = invite(&self.net.nodes[home], 1)?;
            person.pouch(&["join", &invite, "--name", person.name])?;
        }
        narrator.step("They exchange links by other means and add each other as contacts.")?;
        for (person, other) in [(&self.alice, &self.bob), (&self.bob, &self.alice)] {
            let me = other.pouch(&["whoami"])?;
            let link = text(&me, "link", "whoami")?;
            person.pouch(&["contact", "add", link, "--name", other.name])?;
        }
        Ok(())
    }

    /// One line each way.
    fn chat(&self, narrator: &mut Narrator<'_>) -> Result<(), CliError> {
        narrator.step("Both are there and write a line to each other.")?;
        for (from, to, line) in [
            (&self.alice, &self.bob, "Bob, are you there?"),
            (&self.bob, &self.alice, "On another node, but yes."),
        ] {
            let sent = from.pouch(&["send", to.name, line, "--wait", "at-node"])?;
            let got = inbox(to, 1)?;
            same(&got, &[Sent { id: text(&sent, "id", "send")?.to_owned(), text: line.into() }])?;
            narrator.result(&format!("{} reads: {line}", to.name))?;
        }
        narrator.step("Bob goes away: no program of his runs any more.")
    }

    /// Alice sends all texts; each must be in the custody of Bob's node.
    fn write(&self, narrator: &mut Narrator<'_>) -> Result<Vec<Sent>, CliError> {
        narrator.step("Alice writes to Bob in many scripts, and 60 KiB from a file.")?;
        let mut sent = Vec::new();
        for (script, greeting) in texts::GREETINGS {
            let answer = self.alice.pouch(&["send", "bob", greeting, "--wait", "at-node"])?;
            sent.push(in_custody(&answer, &["at-node"], script, greeting.to_owned())?);
        }
        sent.push(self.write_from_file("long.txt", texts::long(), "at-node")?);
        narrator.result(&format!(
            "{} messages at n2, which has written each to its disk and signed for it.",
            sent.len()
        ))?;
        Ok(sent)
    }

    /// What nobody can take now waits at Alice's own node, and both she and its operator can see
    /// for what.
    fn write_to_a_dead_node(
        &self,
        programs: &Programs,
        narrator: &mut Narrator<'_>,
    ) -> Result<Sent, CliError> {
        narrator.step("Alice writes to Bob, whose node is dead.")?;
        let sent = self.write_from_file("second.txt", texts::second(), "accepted")?;
        let reason = until(MAIL_LIMIT, || {
            let why = checks::why(&self.alice, &sent.id)?;
            Ok(why
                .waiting_at_a_node()?
                .ok_or_else(|| format!("n1 does not say why message {} waits there", sent.id)))
        })?;
        narrator.result(&format!("accepted by n1; there it waits: {reason}"))?;
        let row = until(MAIL_LIMIT, || operator::queue_row(&self.net.nodes[HERS], "n2", programs))?;
        narrator.result(&format!("postroad queue at n1: {row}"))?;
        Ok(sent)
    }

    fn write_from_file(&self, name: &str, text: String, wait: &str) -> Result<Sent, CliError> {
        let file = self.people.join(name);
        std::fs::write(&file, &text).map_err(|error| {
            CliError::io(format!("cannot write {}", file.display()), &error, "check the disk")
        })?;
        let answer = self.alice.pouch_reading(&["send", "bob", "-", "--wait", wait], &file)?;
        in_custody(&answer, &[wait], name, text)
    }

    /// Bob reads: the same messages, in the same order, the same bytes, each once.
    fn read(&self, sent: &[Sent], narrator: &mut Narrator<'_>) -> Result<usize, CliError> {
        narrator.step("Bob comes back and reads.")?;
        let messages = inbox(&self.bob, sent.len())?;
        let bytes = same(&messages, sent)?;
        let again = self.bob.pouch(&["inbox"])?;
        if again.as_array().is_none_or(|rest| !rest.is_empty()) {
            return Err(wrong("Bob is shown a message twice".to_owned()));
        }
        narrator.result(&format!(
            "{} messages, {bytes} bytes: every byte as sent, in order, nothing twice.",
            messages.len()
        ))?;
        Ok(bytes)
    }

    /// Alice sees every message walk from her device over both nodes to Bob's device, each step
    /// signed by who took it. The last one, which waited, is shown.
    fn ask_why(&self, sent: &[Sent], narrator: &mut Narrator<'_>) -> Result<(), CliError> {
        narrator.step("Alice asks why she should believe that they arrived.")?;
        let signers = [
            ("queued", account(&self.alice)?, "Alice's device"),
            ("accepted", self.net.nodes[HERS].ready()?.node.clone(), "n1"),
            ("at-node", self.net.nodes[HIS].ready()?.node.clone(), "n2"),
            ("delivered", account(&self.bob)?, "Bob's device"),
        ];
        let way = signers.each_ref().map(|(state, id, _)| (*state, id.as_str()));
        for message in sent {
            // The recipient's receipt is a message as well and takes its time.
            until(RECEIPT_LIMIT, || {
                let why = checks::why(&self.alice, &message.id)?;
                if !why.has_arrived() {
                    let state = &why.state;
                    return Ok(Err(format!("message {} is still {state} for Alice", message.id)));
                }
                why.check(&message.id, &way).map(Ok)
            })?;
        }
        for (state, _, by) in &signers {
            narrator.result(&format!("{state:<9}  signed by {by}, signature verified"))?;
        }
        narrator.result(&format!("and the same for all {} messages.", sent.len()))
    }
}

/// A person's new messages, as soon as there are that many.
fn inbox(person: &Person, count: usize) -> Result<Vec<Value>, CliError> {
    let mut messages = Vec::new();
    until(MAIL_LIMIT, || {
        let Value::Array(new) = person.pouch(&["inbox"])? else {
            return Err(wrong("the inbox is no list".to_owned()));
        };
        messages.extend(new);
        if messages.len() >= count {
            return Ok(Ok(()));
        }
        Ok(Err(format!("{} sees {} messages instead of {count}", person.name, messages.len())))
    })?;
    Ok(messages)
}

/// Whether they are the messages that were sent; how many bytes of text they have.
fn same(messages: &[Value], sent: &[Sent]) -> Result<usize, CliError> {
    if messages.len() != sent.len() {
        let (got, want) = (messages.len(), sent.len());
        return Err(wrong(format!("there are {got} messages instead of {want}")));
    }
    let mut bytes = 0;
    for (number, (message, sent)) in (1..).zip(messages.iter().zip(sent)) {
        if text(message, "id", "inbox")? != sent.id {
            return Err(wrong(format!("message {number} is not the one that was sent there")));
        }
        let got = text(message, "text", "inbox")?;
        if let Some(difference) = checks::difference(got, &sent.text) {
            return Err(wrong(format!("message {number} arrived changed: {difference}")));
        }
        bytes += got.len();
    }
    Ok(bytes)
}

fn in_custody(answer: &Value, states: &[&str], what: &str, sent: String) -> Result<Sent, CliError> {
    let state = text(answer, "state", "send")?;
    if !states.contains(&state) {
        return Err(wrong(format!("the {what} text is {state}, and not {}", states.join(" or "))));
    }
    Ok(Sent { id: text(answer, "id", "send")?.to_owned(), text: sent })
}

fn account(person: &Person) -> Result<String, CliError> {
    text(&person.pouch(&["whoami"])?, "account", "whoami").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_in_nobodys_custody_stops_the_story() {
        let answer = json!({"id": "m", "state": "accepted"});
        assert!(in_custody(&answer, &["at-node"], "Latin", "x".into()).is_err());
        assert!(in_custody(&answer, &["accepted"], "Latin", "x".into()).is_ok());
    }

    #[test]
    fn messages_must_be_the_same_in_order_and_bytes() {
        let message = |id: &str, text: &str| json!({"id": id, "text": text});
        let sent = ["a", "b"].map(|id| Sent { id: id.into(), text: format!("text {id}") });
        let good = [message("a", "text a"), message("b", "text b")];
        assert_eq!(same(&good, &sent).unwrap(), 12);
        for bad in [
            vec![good[1].clone(), good[0].clone()],
            vec![good[0].clone()],
            vec![good[0].clone(), message("b", "text B")],
            vec![good[0].clone(), good[1].clone(), good[1].clone()],
        ] {
            assert!(same(&bad, &sent).is_err(), "{bad:?}");
        }
    }
}
