//! People who are found by handle.

use postroad_proto::frame::{Done, Frame, Records};
use postroad_proto::record::{HandleChange, HandleRecord};

use super::home::{Home, done, joined, while_serving};
use super::roads::{apart, key, node};
use super::*;
use crate::client::Client;
use crate::sync::keys::{Question, Wish};
use crate::{ContactView, Error, NameError, Names, Resolver};

/// Says the same of every name.
struct Says(NodeId);

impl Resolver for Says {
    async fn resolve(&self, _: &str) -> Result<Vec<NodeId>, NameError> {
        Ok(vec![self.0])
    }
}

/// Somebody's handle at the node with seed 20.
fn handle_of(person: &Person) -> HandleRecord {
    HandleRecord {
        version: 1,
        flags: 0,
        node: node(20),
        node_name: "other.example".to_owned(),
        handle: "bob".parse().unwrap(),
        account: person.account,
        seq: 1,
        previous: None,
        how: HandleChange::First.number(),
        issued: 1,
        old_key: None,
    }
}

/// Somebody's records with a handle that the node with a seed signed.
fn records(person: &mut Person, handle: &HandleRecord, by: u8) -> Records {
    let own = person.own();
    let handle = Some(Signed::new(handle, &key(by), &own.network).unwrap());
    let fallback = vec![person.prekey()];
    Records { record: own.record.clone(), devices: own.devices.clone(), handle, fallback }
}

/// Adds somebody by handle, when their node answers with these records. Which nodes were asked.
async fn adds(
    (client, home): (&mut Client, &Home),
    full: &str,
    names: &impl Resolver,
    records: &Records,
) -> (Result<ContactView>, Vec<NodeId>) {
    let script = |frame: &Frame| match frame {
        Frame::RecordsGet(ask) => Some(vec![done(ask.request, records)]),
        _ => None,
    };
    let work = async {
        client.sync().await.unwrap();
        client.add_handle(full, None, names).await
    };
    let added = while_serving(home, script, work).await;
    client.disconnect();
    let asked = home.heard(|frame| match frame {
        Frame::RecordsGet(ask) => Some(ask.node),
        _ => None,
    });
    (added, asked)
}

fn at_other() -> Person {
    Person::at(&testing::join_link_of(&key(20), "other.example"))
}

#[tokio::test]
async fn a_handle_is_whose_its_own_node_says_and_nobody_elses() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::start().await;
    let mut client = joined(&home, directory.path()).await;
    let mut bob = at_other();
    let good = handle_of(&bob);
    let eve = HandleRecord { handle: "eve".parse().unwrap(), ..good.clone() };
    let elsewhere = HandleRecord { node: node(21), ..good.clone() };
    let released = HandleRecord { how: HandleChange::Released.number(), ..good.clone() };
    let mut moved = records(&mut bob, &good, 20);
    moved.record = bob.own().moved_to(node(22), 2);
    let nameless = Records { handle: None, ..records(&mut bob, &good, 20) };
    let mut foreign = records(&mut bob, &good, 20);
    foreign.record = Person::new().own().moved_to(node(20), 2);
    for (wrong, why) in [
        (records(&mut bob, &eve, 20), "another handle's"),
        (records(&mut bob, &elsewhere, 21), "another node than the one"),
        (records(&mut bob, &good, 21), "signature"),
        (records(&mut bob, &released, 20), "released"),
        (moved, "homed elsewhere"),
        (nameless, "names no handle"),
        (foreign, "another account's"),
    ] {
        let tried = adds((&mut client, &home), "bob@other.example", &Says(node(20)), &wrong).await;
        let refused = tried.0.unwrap_err().to_string();
        assert!(refused.contains(why), "{why}: {refused}");
        assert!(client.contacts().unwrap().is_empty());
    }
    // The user's own list says which node is asked, and the DNS is not.
    let list = directory.path().join("names");
    std::fs::write(&list, format!("other.example {}\n", node(20))).unwrap();
    let (names, records) = (Names::new(Some(list)), records(&mut bob, &good, 20));
    let (added, asked) = adds((&mut client, &home), "bob@other.example", &names, &records).await;
    let added = added.unwrap();
    assert_eq!((added.account, added.home.node), (bob.account, node(20)));
    assert_eq!((added.handle.as_str(), added.handle_proven), ("bob@other.example", true));
    assert_eq!(asked, [node(20)]);
}

#[tokio::test]
async fn who_comes_later_under_the_same_handle_or_name_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::start().await;
    let mut client = joined(&home, directory.path()).await;
    let (mut bob, mut mallory) = (at_other(), at_other());
    let both = (&mut client, &home);
    let own = handle_of(&bob);
    let first = records(&mut bob, &own, 20);
    adds(both, "bob@other.example", &Says(node(20)), &first).await.0.unwrap();
    // The node gives the handle to somebody else.
    let how = HandleChange::Operator.number();
    let taken = HandleRecord { seq: 2, how, ..handle_of(&mallory) };
    let taken = records(&mut mallory, &taken, 20);
    for full in ["bob@other.example".to_owned(), format!("bob@{}", node(20))] {
        let both = (&mut client, &home);
        let refused = adds(both, &full, &Says(node(20)), &taken).await.0.unwrap_err();
        assert!(matches!(refused, Error::HandleChanged { .. }), "{refused:?}");
        assert!(refused.to_string().contains("the node's operator decided"), "{refused}");
    }
    // The name is somebody else's node.
    let their = HandleRecord { node: node(21), ..handle_of(&mallory) };
    let their = records(&mut mallory, &their, 21);
    let both = (&mut client, &home);
    let (refused, asked) = adds(both, "bob@other.example", &Says(node(21)), &their).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(&refused, Error::NodeChanged { was, now, .. } if (*was, *now) == (node(20), node(21))),
        "{refused:?}"
    );
    assert!(asked.is_empty());
    let contacts = client.contacts().unwrap();
    assert_eq!((contacts.len(), contacts[0].account), (1, bob.account));
    // Bob himself may be added again, and what is sent to the handle goes to him.
    let both = (&mut client, &home);
    adds(both, "bob@other.example", &Says(node(20)), &first).await.0.unwrap();
    assert_eq!(client.contact("bob@other.example").unwrap().account, bob.account);
}

#[test]
fn a_card_takes_nobodys_handle_and_an_older_record_replaces_none() {
    let (mut alice, mut bob) = apart();
    let mut mallory = at_other();
    alice.befriend(&mut mallory, "mallory");
    let own = alice.own();
    let mut hears = |person: &mut Person, handle: &HandleRecord| {
        let records = records(person, handle, 20);
        let contact = alice.contact(person.account);
        let stored = alice.db.write(|tx| {
            let (record, devices) = (&records.record, &records.devices);
            let handle = records.handle.as_ref();
            let verified = Verified::check(&person.account, &own.network, record, devices, handle)?;
            contacts::store_records(tx, &own, &contact, &verified, NOW)
        });
        stored.unwrap();
        let contact = alice.contact(person.account);
        let held = contact.handle_record.map(|held| held.open(&own.network).unwrap().seq);
        (contact.handle, contact.handle_proven, held)
    };
    let full = || "bob@other.example".to_owned();
    let newer = HandleRecord { seq: 3, ..handle_of(&bob) };
    assert_eq!(hears(&mut bob, &newer), (full(), false, Some(3)));
    let older = handle_of(&bob);
    assert_eq!(hears(&mut bob, &older), (full(), false, Some(3)));
    let taken = HandleRecord { seq: 4, ..handle_of(&mallory) };
    for _ in 0..3 {
        assert_eq!(hears(&mut mallory, &taken), (full(), false, None));
    }
    assert_eq!(alice.problems(), ["handle_changed"], "said once");
    let by_id = format!("bob@{}", node(20));
    let found = alice.db.read(|tx| contacts::resolve(tx, &own, &by_id)).unwrap();
    assert_eq!(found.account, bob.account);
}

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
