//! People who are found by handle.

use postroad_proto::frame::{Done, Records};

use super::roads::{apart, node};
use super::*;
use crate::sync::keys::{Question, Wish};

fn asks_for(contact: AccountId) -> Question {
    let wish = Wish::Stranger { handle: "bob".parse().unwrap() };
    Question { contact, node: node(20), patience: std::time::Duration::ZERO, wish }
}

fn says(code: Option<ErrorCode>, records: Option<&Records>) -> Done {
    let result = records.map(|records| codec::encode(records).unwrap().into());
    Done { request: 1, code, result, retry_after: 0, detail: String::new() }
}

#[test]
fn an_answer_without_keys_is_a_failure_and_one_with_them_ends_all_failures() {
    let (mut alice, mut bob) = apart();
    alice.execute("UPDATE contact SET phase = 1, handle = 'bob@other.example', token = NULL");
    alice.execute("DELETE FROM prekey");
    let (account, their) = (bob.account, bob.own());
    let (record, devices) = (their.record.clone(), their.devices.clone());
    let mut records = Records { record, devices, handle: None, fallback: vec![] };
    let question = asks_for(account);
    let (row, _) = alice.writes("bob", "hi").unwrap();
    let mut last = 0;
    for tries in 1..4 {
        alice.hears(&question, &says(None, Some(&records)));
        let contact = alice.contact(account);
        assert_eq!(contact.tries, tries);
        assert!(contact.next_try > NOW && contact.trouble.contains("no keys left"));
        last = contact.next_try;
    }
    assert!(last >= NOW + 2000, "and the pauses grow");
    // A refusal that is final is so until there is an answer.
    alice.hears(&question, &says(Some(ErrorCode::NotFound), None));
    assert!(alice.contact(account).error.is_some());
    records.fallback = vec![bob.prekey()];
    alice.hears(&question, &says(None, Some(&records)));
    let contact = alice.contact(account);
    assert!(contact.error.is_none() && contact.trouble.is_empty() && contact.next_try == 0);
    assert_eq!(only(alice.offers(NOW)).row, row);
    // Whatever ends a message has a name.
    alice.execute("UPDATE contact SET phase = 1, error = 9, error_detail = ''");
    let (row, _) = alice.writes("bob", "more").unwrap();
    alice.offers(NOW);
    assert_eq!(alice.state(row), State::Failed);
    assert!(!alice.message(row).reason.is_empty());
}
