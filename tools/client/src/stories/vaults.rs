//! What an account leaves at its home for the day when its devices are gone.

use super::*;
use crate::recovery::vault;

impl Person {
    fn seals(&mut self) -> Option<Vec<u8>> {
        let profile = &self.vault;
        self.db.write(|tx| vault::seal(tx, &Identity::load(tx, profile)?, NOW)).unwrap()
    }

    /// What somebody finds who comes with the account's key alone.
    fn comes_back(&mut self, sealed: &[u8]) -> Self {
        let own = self.own();
        let (seed, home) = (*own.seed().unwrap(), own.home.clone());
        let (mut db, vault) = testing::database();
        db.write(|tx| {
            Identity::recover(tx, &vault, &seed, &home, NOW)?.store_records(
                tx,
                &own.record,
                &own.devices,
            )?;
            vault::open(tx, &vault, &Identity::load(tx, &vault)?, (1, sealed), NOW)
        })
        .unwrap();
        Self { db, vault, account: self.account, pushed: 0 }
    }

    /// So many contacts more, all with records as large as Bob's.
    fn knows_many(&mut self, bob: AccountId, numbers: core::ops::Range<u32>) {
        let own = self.own();
        let like = self.contact(bob);
        let (record, devices) = (codec::encode(&like.record), codec::encode(&like.devices));
        let (record, devices) = (record.unwrap(), devices.unwrap());
        self.db
            .write(|tx| {
                for number in numbers {
                    let mut account = [7; 32];
                    account[..4].copy_from_slice(&number.to_be_bytes());
                    let name = format!("contact {number}");
                    let new = NewContact {
                        account: AccountId(account),
                        name: &name,
                        phase: Phase::Ready,
                        verified: false,
                        home: &like.home,
                        handle: "",
                    };
                    contacts::insert(tx, &own, &new, NOW)?;
                    let sql = "UPDATE contact SET record = ?2, devices = ?3 WHERE account = ?1";
                    tx.execute(sql, rusqlite::params![account, record, devices])?;
                }
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn a_vault_without_room_for_records_has_the_contacts_and_one_without_room_for_those_says_so() {
    let (mut alice, bob) = friends();
    let few = alice.seals().unwrap();
    assert!(alice.comes_back(&few).contact(bob.account).record.is_some());
    alice.knows_many(bob.account, 0..1500);
    let many = alice.seals().unwrap();
    assert!(many.len() <= postroad_proto::limits::MAX_VAULT);
    let mut back = alice.comes_back(&many);
    assert_eq!(back.db.read(contacts::all).unwrap().len(), 1501);
    let found = back.contact(bob.account);
    assert!(found.record.is_none() && found.token == alice.contact(bob.account).token);
    assert_eq!(found.name, "bob");
    assert!(alice.problems().is_empty());
    alice.knows_many(bob.account, 1500..8000);
    assert!(alice.seals().is_none());
    assert_eq!(alice.problems(), ["vault"]);
}

#[test]
fn a_vault_of_an_earlier_epoch_opens() {
    let (mut alice, bob) = friends();
    let sealed = alice.seals().unwrap();
    let own = alice.own();
    let record = own.signs(9, |record| record.epoch += 3);
    alice.db.write(|tx| own.store_records(tx, &record, &own.devices)).unwrap();
    assert_eq!(alice.comes_back(&sealed).contact(bob.account).name, "bob");
    // The key is another one all the same.
    assert!(own.vault_key().unwrap().unwrap().0 != alice.own().vault_key().unwrap().unwrap().0);
}
