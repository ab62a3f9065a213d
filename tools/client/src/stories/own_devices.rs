//! Stories of accounts with several devices: what one of them sends and does shows on all.

mod backups;
mod town;

use postroad_proto::sync::{Item, OwnRecords};

use super::*;
use crate::contacts::tokens;
use crate::devices::entries;
use crate::identity::Newcomer;
use crate::recovery::vault;
use crate::requests;
use town::{Town, newcomer_adopted, town};

#[test]
fn what_any_device_sends_is_on_every_device_of_both_once() {
    let mut town = town();
    let second = town.link(0);
    let third = town.link(0);
    let bobs = town.link(1);
    assert_eq!(town.texts(second), town.texts(0), "it begins with all that was there");
    assert_eq!(town.at(third).names(), ["bob"]);
    town.settle();
    let said = [
        (0, "bob", "from the first"),
        (second, "bob", "from the second"),
        (third, "bob", "from the third"),
        (1, "alice", "from Bob"),
        (bobs, "alice", "from Bob's other one"),
    ];
    for (place, to, text) in said {
        town.at(place).writes(to, text).unwrap();
    }
    town.settle();
    let at_alice = town.texts(0);
    assert_eq!(at_alice.len(), 7);
    assert_eq!((town.texts(second), town.texts(third)), (at_alice.clone(), at_alice.clone()));
    let at_bob = town.texts(1);
    assert_eq!(town.texts(bobs), at_bob);
    let mirrored: Vec<_> = at_alice.into_iter().map(|(id, own, text)| (id, !own, text)).collect();
    assert_eq!(at_bob, mirrored);
    // Every device knows that each arrived, and nothing is kept for sending.
    for place in 0..town.devices.len() {
        let all = town.at(place).db.read(|tx| messages::list(tx, &Query::default())).unwrap();
        for message in all.iter().filter(|message| message.outgoing) {
            assert_eq!(message.state, State::Delivered, "{place}: {message:?}");
        }
        assert_eq!((town.at(place).kept(), town.at(place).problems()), (0, vec![]), "{place}");
    }
}

#[test]
fn names_settings_drafts_blocks_and_what_was_read_follow() {
    let mut town = town();
    let second = town.link(0);
    town.settle();
    town.at(0).renames("bob", "robert", NOW + 1);
    // A clock that is behind does not lose what its user did.
    town.settle();
    town.at(second).renames("robert", "bobby", NOW - 5000);
    town.settle();
    assert_eq!(
        (town.at(0).names(), town.at(second).names()),
        (vec!["bobby".into()], vec!["bobby".into()])
    );
    town.at(1).writes("alice", "read me").unwrap();
    town.settle();
    assert_eq!(town.at(second).texts(), ["hello yourself", "read me"]);
    town.at(0).sees_all(NOW);
    town.settle();
    assert!(town.at(second).inbox().is_empty());
    let sent = town.at(1).db.read(|tx| messages::list(tx, &Query::default())).unwrap();
    assert!(sent.iter().filter(|m| m.outgoing).all(|m| m.state == State::Read));
    // What was read before it came is read when it comes.
    town.at(1).writes("alice", "late").unwrap();
    let late = only(town.devices[1].offers(NOW + 100_000));
    town.at(0).gets(&late.envelope);
    town.at(0).sees_all(NOW);
    let told = town.devices[0].offers(NOW + 101_000);
    for offer in told.iter().filter(|o| o.envelope.routes[0].parcels[0].label.is_some()) {
        town.at(second).gets(&offer.envelope);
    }
    town.at(second).gets(&late.envelope);
    assert!(town.at(second).inbox().is_empty());
    let bob = town.at(1).account;
    let set = |person: &mut Person, what: &str, of: &dyn ToString, value: &[u8]| {
        person.db.write(|tx| entries::set(tx, what, of, value, NOW + 200_000)).unwrap();
    };
    set(town.at(0), entries::DRAFT, &bob, b"dear Bob");
    set(town.at(second), entries::SETTING, &"receipts", &[0]);
    let vault = town.at(0).vault.clone();
    town.at(0)
        .db
        .write(|tx| {
            let own = Identity::load(tx, &vault)?;
            let contact = contacts::get(tx, &bob)?;
            entries::set(tx, entries::BLOCKED, &bob, &[1], NOW)?;
            requests::block(tx, &vault, &own, &contact, NOW)
        })
        .unwrap();
    town.settle();
    assert!(town.at(second).contact(bob).blocked);
    let draft = format!("draft {bob}");
    let found = town.at(second).db.read(|tx| crate::settings::text(tx, &draft)).unwrap();
    assert_eq!(found.as_deref(), Some("dear Bob"));
    let off = town.at(0).db.read(|tx| crate::settings::is_on(tx, crate::settings::RECEIPTS));
    assert!(!off.unwrap());
}

#[test]
fn a_sender_with_a_stale_list_sends_what_is_missing() {
    let mut town = town();
    // Bob links a device, and Alice does not know yet.
    let newcomer = Newcomer::generate();
    let grant = town.at(1).admits(&newcomer);
    let mut new = newcomer_adopted(newcomer, &grant);
    let opening = town.at(1).opening();
    new.takes_items(&opening);
    let (row, id) = town.at(0).writes("bob", "to all of you").unwrap();
    let offer = only(town.devices[0].offers(NOW + 1));
    town.at(1).gets(&offer.envelope);
    // The home says which list it goes by.
    let mut receipt = receipt_for(&offer.envelope, ReceiptKind::AtNode, &testing::node_key());
    receipt.item.devices = Some(grant.devices.hash());
    let receipt = resigned(receipt);
    town.at(0).receipt(&receipt);
    let bob = town.at(1).account;
    assert!(town.at(0).contact(bob).ask_records);
    let delivered = only(town.devices[1].offers(NOW + 2));
    town.at(0).gets(&delivered.envelope);
    assert_eq!(town.at(0).state(row), State::Delivered);
    assert_eq!(town.at(0).kept(), 1, "there may be more of them");
    let vault = town.at(0).vault.clone();
    town.at(0)
        .db
        .write(|tx| {
            let own = Identity::load(tx, &vault)?;
            let contact = contacts::get(tx, &bob)?;
            let verified =
                Verified::check(&bob, &own.network, &grant.record, &grant.devices, None)?;
            contacts::store_records(tx, &own, &contact, &verified, NOW)?;
            contacts::asked_records(tx, &bob)
        })
        .unwrap();
    let prekey = new.prekey();
    town.at(0).keeps(bob, &grant.devices, prekey);
    let again = only(town.devices[0].offers(NOW + 3));
    let headers = &again.envelope.routes[0].parcels[0].headers;
    assert_eq!(headers.iter().map(|header| header.device).collect::<Vec<_>>(), [2]);
    new.gets(&again.envelope);
    assert_eq!(
        new.db.read(|tx| messages::with_id(tx, &id)).unwrap().text.as_deref(),
        Some("to all of you")
    );
    town.at(0).receipt(&receipt_for(&again.envelope, ReceiptKind::AtNode, &testing::node_key()));
    let steps = town.at(0).steps(row);
    assert!(steps.iter().all(|step| step.verified), "{steps:?}");
}

/// A receipt whose item was changed, signed again.
fn resigned(receipt: Receipt) -> Receipt {
    let network = testing::join_link().node.network;
    let mut root = receipt.root.open(&network).unwrap();
    root.merkle_root = merkle::root(&[receipt.item.leaf().unwrap()]);
    let root = Signed::new(&root, &testing::node_key(), &network).unwrap();
    Receipt { root, ..receipt }
}

#[test]
fn what_comes_from_a_device_that_is_not_known_yet_is_kept_until_it_is() {
    let mut town = town();
    let newcomer = Newcomer::generate();
    let grant = town.at(0).admits(&newcomer);
    let second = {
        let mut new = newcomer_adopted(newcomer, &grant);
        new.takes_items(&town.at(0).opening());
        // As if Bob had its card already.
        new.execute("UPDATE contact SET card_known = 1, token_registered = 1");
        town.devices.push(new);
        town.devices.len() - 1
    };
    town.fetch_keys();
    town.at(second).writes("bob", "it is me").unwrap();
    let offers = town.devices[second].offers(NOW + 1);
    let bob = town.at(1).account;
    for offer in offers.iter().filter(|o| o.envelope.routes[0].parcels[0].account == bob) {
        town.at(1).gets(&offer.envelope);
    }
    assert_eq!(town.at(1).texts(), ["hello"]);
    assert!(town.at(1).problems().is_empty());
    let alice = town.at(0).account;
    assert!(town.at(1).contact(alice).ask_records);
    // The first device's card says that there is another.
    town.at(0).writes("bob", "and me").unwrap();
    town.settle();
    let mut texts = town.at(1).texts();
    texts.sort();
    assert_eq!(texts, ["and me", "hello", "it is me"]);
}

#[test]
fn two_contacts_get_one_name_on_no_device_and_the_same_everywhere() {
    let mut town = town();
    let carol = Person::new();
    town.devices.push(carol);
    let second = town.link(0);
    let third = 2;
    let befriended = |town: &mut Town, place: usize, name: &str| {
        let their = town.devices[third].own();
        let prekey = town.devices[third].prekey();
        let person = &mut town.devices[place];
        let vault = &person.vault;
        person
            .db
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                meet(tx, &own, &their, prekey, name)?;
                devices::note(tx, devices::Due::Person, their.account.0, NOW)
            })
            .unwrap();
    };
    befriended(&mut town, second, "carol");
    town.at(second).renames("carol", "friend", NOW + 50);
    town.at(0).renames("bob", "friend", NOW + 60);
    town.settle();
    assert_eq!(town.at(0).names(), ["friend", "friend-2"]);
    assert_eq!(town.at(second).names(), ["friend", "friend-2"]);
    let bob = town.at(1).account;
    assert_eq!(town.at(second).contact(bob).name, "friend", "it was chosen later");
}

#[test]
fn a_device_that_was_revoked_has_no_say_and_gets_nothing() {
    let mut town = town();
    let second = town.link(0);
    town.settle();
    let number = town.name(second).1;
    let vault = town.at(0).vault.clone();
    let revoked = town.at(second).own();
    town.at(0)
        .db
        .write(|tx| {
            Identity::load(tx, &vault)?.revoke(tx, number, NOW)?;
            tx.execute("UPDATE identity SET record_dirty = 0", [])?;
            tokens::renew_all(tx, NOW)
        })
        .unwrap();
    town.at(0).tokens_registered();
    town.at(0).writes("bob", "without the laptop").unwrap();
    town.settle();
    assert!(
        town.at(second).texts().is_empty()
            || !town.at(second).texts().contains(&"without the laptop".into())
    );
    town.at(1).writes("alice", "understood").unwrap();
    let offers = town.devices[1].offers(NOW + 500_000);
    for offer in &offers {
        for parcel in &offer.envelope.routes[0].parcels {
            assert!(parcel.headers.iter().all(|header| header.device != number));
        }
    }
    // What it signs is older than what is known.
    let own = town.at(0).own();
    let record = own.record.open(&own.network).unwrap();
    let theirs = revoked.record.open(&own.network).unwrap();
    assert!((record.epoch, record.seq) > (theirs.epoch, u64::MAX));
    // Its number goes to nobody else.
    let third = town.link(0);
    assert_eq!(town.name(third).1, number + 1);
}

#[test]
fn the_vaults_key_goes_with_its_epoch() {
    let mut town = town();
    let (laptop, tablet) = (town.link(0), town.link(0));
    town.settle();
    let behind = |town: &mut Town, place: usize| town.at(place).db.read(vault::is_behind).unwrap();
    let first = town.at(laptop).own().vault_key().unwrap().unwrap();
    let early = town.at(0).own_records();
    let number = town.name(tablet).1;
    let vault = town.at(0).vault.clone();
    town.at(0).db.write(|tx| Identity::load(tx, &vault)?.revoke(tx, number, NOW)).unwrap();
    let late = town.at(0).own_records();
    // The record alone, as the home has it: whoever was cut off knows the old key.
    let bare = OwnRecords { vault: None, stewards: None, ..late.clone() };
    town.at(laptop).takes_items(&[Item::new(&bare).unwrap()]);
    assert!(town.at(laptop).own().vault_key().unwrap().is_none());
    town.at(laptop).takes_items(&[Item::new(&late).unwrap()]);
    let second = town.at(laptop).own().vault_key().unwrap().unwrap();
    assert!(second.0 != first.0);
    assert!(second.0 == town.at(0).own().vault_key().unwrap().unwrap().0);
    // What was told in the epoch before comes late.
    town.at(laptop).takes_items(&[Item::new(&early).unwrap()]);
    assert!(town.at(laptop).own().vault_key().unwrap().unwrap().0 == second.0);

    // What a vault does not hold is no reason to put one.
    town.at(laptop)
        .db
        .write(|tx| crate::settings::set_text(tx, crate::settings::VAULT_DIRTY, ""))
        .unwrap();
    let bob = town.at(1).account;
    let set = |town: &mut Town, what, value: &[u8]| {
        let laptop = &mut town.at(laptop).db;
        laptop.write(|tx| entries::set(tx, what, &bob, value, NOW)).unwrap();
    };
    set(&mut town, entries::DRAFT, b"dear");
    assert!(!behind(&mut town, laptop));
    set(&mut town, entries::NAME, b"robert");
    assert!(behind(&mut town, laptop));
}
