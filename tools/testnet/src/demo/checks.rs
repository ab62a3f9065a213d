//! What the programs print, and whether it is what it should be.

use postroad_cli::CliError;
use serde::Deserialize;
use serde_json::Value;

use super::person::Person;

/// What `pouch why` prints, as far as the story needs it.
#[derive(Debug, Deserialize)]
pub(super) struct Why {
    pub(super) state: String,
    steps: Vec<Step>,
    waiting: Option<Waiting>,
}

#[derive(Debug, Deserialize)]
struct Step {
    state: String,
    by: String,
    verified: bool,
}

#[derive(Debug, Deserialize)]
struct Waiting {
    reason: String,
    next_try: Option<String>,
}

pub(super) fn why(person: &Person, id: &str) -> Result<Why, CliError> {
    let answer = person.pouch(&["why", id])?;
    serde_json::from_value(answer)
        .map_err(|error| wrong(format!("the answer of why is not understood: {error}")))
}

impl Why {
    /// Whether the recipient's device has it.
    pub(super) fn has_arrived(&self) -> bool {
        matches!(self.state.as_str(), "delivered" | "read")
    }

    /// For what an accepted message waits, and until when, once its node has told that.
    pub(super) fn waiting_at_a_node(&self) -> Result<Option<String>, CliError> {
        if self.state != "accepted" {
            return Err(wrong(format!("a message to a dead node is {}", self.state)));
        }
        let Some(Waiting { reason, next_try: Some(next) }) = &self.waiting else {
            return Ok(None);
        };
        Ok(Some(format!("{reason}; next try {next}")))
    }

    /// Whether it went this way: states in this order, each signed by that id or by a device of
    /// that account, every signature verified.
    pub(super) fn check(&self, id: &str, way: &[(&str, &str)]) -> Result<(), CliError> {
        if let Some(step) = self.steps.iter().find(|step| !step.verified) {
            return Err(wrong(format!("the step {} of {id} is not verified", step.state)));
        }
        if self.steps.first().map(|step| step.state.as_str()) != way.first().map(|step| step.0) {
            return Err(wrong(format!("the way of {id} does not begin at its sender")));
        }
        let mut steps = self.steps.iter();
        for (state, signer) in way {
            // `find` goes on where it stopped: they must come in this order.
            let Some(step) = steps.find(|step| step.state == *state) else {
                let message = format!("the way of {id} lacks {state}, or has it out of order");
                return Err(wrong(message));
            };
            // A device is written as its account and a number.
            if step.by.split('/').next() != Some(signer) {
                let message = format!("{state} of {id} is signed by {}, not {signer}", step.by);
                return Err(wrong(message));
            }
        }
        Ok(())
    }
}

/// Where two texts differ first, without printing 60 KiB.
pub(super) fn difference(got: &str, sent: &str) -> Option<String> {
    if got == sent {
        return None;
    }
    let same = got.bytes().zip(sent.bytes()).take_while(|(a, b)| a == b).count();
    Some(format!("{} bytes instead of {}, different from byte {same} on", got.len(), sent.len()))
}

/// A field of a program's answer.
pub(super) fn text<'a>(value: &'a Value, field: &str, command: &str) -> Result<&'a str, CliError> {
    value[field]
        .as_str()
        .ok_or_else(|| wrong(format!("{command} printed no text in the field {field}")))
}

pub(super) fn wrong(message: String) -> CliError {
    CliError::failed("demo_wrong", message, "this is a bug: please report it with the log")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WAY: [(&str, &str); 3] = [("queued", "alice"), ("accepted", "n1"), ("delivered", "bob")];

    fn made(steps: &[(&str, &str, bool)]) -> Why {
        let step = |&(state, by, verified): &(&str, &str, bool)| json!({"state": state, "by": by, "at": "now", "verified": verified});
        let steps: Vec<_> = steps.iter().map(step).collect();
        serde_json::from_value(json!({"state": "delivered", "steps": steps})).unwrap()
    }

    #[test]
    fn only_a_complete_and_verified_way_counts() {
        let good = [
            ("queued", "alice/1", true),
            ("accepted", "n1", true),
            ("at-node", "n2", true),
            ("delivered", "bob/1", true),
        ];
        assert!(made(&good).check("m", &WAY).is_ok());
        for bad in [
            vec![good[1], good[3]],
            vec![good[0], good[3]],
            vec![good[0], good[3], good[1]],
            vec![good[0], ("accepted", "n1", false), good[3]],
            vec![good[0], ("accepted", "n3", true), good[3]],
            vec![],
        ] {
            assert!(made(&bad).check("m", &WAY).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_waits_says_for_what_and_until_when() {
        let waiting = |state: &str, next: Value| -> Why {
            let waiting =
                json!({"at": "n1", "since": "now", "reason": "n2 is away", "next_try": next});
            serde_json::from_value(json!({"state": state, "steps": [], "waiting": waiting}))
                .unwrap()
        };
        let told = waiting("accepted", "soon".into()).waiting_at_a_node().unwrap();
        assert_eq!(told.unwrap(), "n2 is away; next try soon");
        assert_eq!(waiting("accepted", Value::Null).waiting_at_a_node().unwrap(), None);
        assert!(waiting("at-node", "soon".into()).waiting_at_a_node().is_err());
    }

    #[test]
    fn a_changed_text_is_noticed_and_located() {
        assert_eq!(difference("héllo", "héllo"), None);
        assert!(difference("abX", "abc").unwrap().ends_with("from byte 2 on"));
        assert!(difference("ab", "abc").unwrap().starts_with("2 bytes instead of 3"));
    }
}
