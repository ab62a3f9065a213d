//! The people of these stories, their devices and their home.

use postroad_proto::ids::DeviceNumber;
use postroad_proto::linking::Grant;
use postroad_proto::sync::{Item, OwnRecords};

use super::super::*;
use crate::contacts::tokens;
use crate::identity::Newcomer;
use crate::linking::portions::{self, Cursor};
use crate::outbox::reach;

/// People's devices and their home, which hands on at once.
pub(super) struct Town {
    pub(super) devices: Vec<Person>,
    pub(super) now: u64,
}

impl Town {
    pub(super) fn new(devices: Vec<Person>) -> Self {
        Self { devices, now: NOW }
    }

    /// The device of that place; the first devices of Alice and Bob are 0 and 1.
    pub(super) fn at(&mut self, place: usize) -> &mut Person {
        &mut self.devices[place]
    }

    pub(super) fn name(&mut self, place: usize) -> (AccountId, DeviceNumber) {
        self.at(place).own().address()
    }

    /// Links another device to the account of the one at `old`: its place.
    pub(super) fn link(&mut self, old: usize) -> usize {
        let newcomer = Newcomer::generate();
        let grant = self.at(old).admits(&newcomer);
        let mut new = newcomer_adopted(newcomer, &grant);
        let opening = self.at(old).opening();
        let (mut cursor, mut number) = (Cursor::default(), 0);
        loop {
            number += 1;
            let from = &mut self.devices[old].db;
            let (portion, next) =
                from.read(|tx| portions::next(tx, &opening, cursor, number)).unwrap();
            let vault = &new.vault;
            new.db
                .write(|tx| {
                    let own = Identity::load(tx, vault)?;
                    portions::take(tx, vault, &own, &portion, NOW)
                })
                .unwrap();
            cursor = next;
            if portion.last {
                break;
            }
        }
        new.tokens_registered();
        self.devices.push(new);
        self.devices.len() - 1
    }

    /// What devices lack of the keys of those they write to.
    pub(super) fn fetch_keys(&mut self) {
        for place in 0..self.devices.len() {
            let wanted = self.at(place).wanted();
            for (account, device) in wanted {
                let Some(owner) =
                    (0..self.devices.len()).find(|other| self.name(*other) == (account, device))
                else {
                    continue;
                };
                let prekey = self.at(owner).prekey();
                let devices = self.at(owner).own().devices;
                self.at(place).keeps(account, &devices, prekey);
            }
        }
    }

    /// Carries all that is to be carried until nothing is left.
    pub(super) fn settle(&mut self) {
        for _ in 0..20 {
            self.now += 2_000;
            self.fetch_keys();
            let mut carried = 0;
            for place in 0..self.devices.len() {
                let now = self.now;
                let offers = self.at(place).offers(now);
                carried += offers.len();
                for offer in offers {
                    self.carry(place, &offer);
                }
            }
            if carried == 0 {
                return;
            }
        }
        panic!("it does not come to an end");
    }

    pub(super) fn carry(&mut self, from: usize, offer: &Offer) {
        let sender = self.name(from);
        let parcel = offer.envelope.routes[0].parcels[0].clone();
        for place in 0..self.devices.len() {
            let (account, device) = self.name(place);
            let is_for = account == parcel.account
                && (account, device) != sender
                && parcel.headers.iter().any(|header| header.device == device);
            if is_for {
                self.at(place).gets(&offer.envelope);
            }
        }
        let receipt = receipt_for(&offer.envelope, ReceiptKind::AtNode, &testing::node_key());
        self.at(from).receipt(&receipt);
    }

    /// All texts of a device's conversations, with whether they are ours, in the order of their ids.
    pub(super) fn texts(&mut self, place: usize) -> Vec<(MessageId, bool, Option<String>)> {
        let all = self.at(place).db.read(|tx| messages::list(tx, &Query::default())).unwrap();
        let mut texts: Vec<_> = all.into_iter().map(|m| (m.id, m.outgoing, m.text)).collect();
        texts.sort();
        texts
    }
}

impl Person {
    /// Gives another device a place, and has the home told.
    pub(super) fn admits(&mut self, newcomer: &Newcomer) -> Grant {
        let vault = &self.vault;
        let new = newcomer.introduce("laptop").unwrap();
        let grant = self
            .db
            .write(|tx| {
                let device = Identity::load(tx, vault)?.admit(tx, &new, NOW)?;
                tx.execute("UPDATE identity SET record_dirty = 0", [])?;
                tokens::renew_all(tx, NOW)?;
                Identity::load(tx, vault)?.grant(device, None, NOW)
            })
            .unwrap();
        self.tokens_registered();
        grant
    }

    pub(super) fn takes_items(&mut self, items: &[Item]) {
        let vault = &self.vault;
        self.db
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                devices::take_items(tx, vault, &own, items, NOW)
            })
            .unwrap();
    }

    /// What it tells its other devices of the account's records.
    pub(super) fn own_records(&mut self) -> OwnRecords {
        let own = self.own();
        let stewards = own.certify(NOW).unwrap().into_iter().map(|(_, cert)| cert).collect();
        let (record, devices) = (own.record.clone(), own.devices.clone());
        OwnRecords { record, devices, vault: own.vault_key().unwrap(), stewards: Some(stewards) }
    }

    pub(super) fn opening(&mut self) -> Vec<Item> {
        let vault = &self.vault;
        self.db.write(|tx| portions::opening(tx, &Identity::load(tx, vault)?, NOW)).unwrap()
    }

    /// Devices that something waits for and for which there is no key.
    pub(super) fn wanted(&mut self) -> Vec<(AccountId, DeviceNumber)> {
        let vault = &self.vault;
        self.db
            .read(|tx| {
                let own = Identity::load(tx, vault)?;
                let mut wanted = Vec::new();
                let all = contacts::all(tx)?.into_iter().chain(devices::own_contact(tx)?);
                for contact in all {
                    for device in reach::recipients(&own, &contact)? {
                        let address = (contact.account, device.number);
                        let key = "SELECT 1 FROM prekey WHERE account = ?1 AND device = ?2";
                        let has_key =
                            tx.prepare(key)?.exists(rusqlite::params![address.0.0, address.1])?;
                        if !has_key && store::load_sessions(tx, vault, address)?.is_empty() {
                            wanted.push(address);
                        }
                    }
                }
                Ok(wanted)
            })
            .unwrap()
    }

    pub(super) fn keeps(
        &mut self,
        account: AccountId,
        devices: &Signed<postroad_proto::record::DeviceList>,
        prekey: ClaimedPrekey,
    ) {
        let vault = &self.vault;
        self.db
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                let list = devices.open(&own.network)?;
                keep_prekeys(tx, &own.network, &account, &list, &[prekey], clock::now()).map(drop)
            })
            .unwrap();
    }

    pub(super) fn renames(&mut self, from: &str, to: &str, now: u64) {
        let vault = &self.vault;
        self.db
            .write(|tx| {
                let own = Identity::load(tx, vault)?;
                let contact = contacts::resolve(tx, &own, from)?;
                contacts::rename(tx, &contact.account, to, now)
            })
            .unwrap();
    }

    pub(super) fn names(&mut self) -> Vec<String> {
        self.db.read(contacts::all).unwrap().into_iter().map(|contact| contact.name).collect()
    }

    pub(super) fn sees_all(&mut self, now: u64) {
        let rows: Vec<i64> = self.inbox().iter().map(|message| message.row).collect();
        self.db.write(|tx| messages::mark_shown(tx, &rows, now)).unwrap();
    }

    /// What is kept to be sent.
    pub(super) fn kept(&mut self) -> i64 {
        self.db
            .read(|tx| Ok(tx.query_row("SELECT count(*) FROM outbox", [], |r| r.get(0))?))
            .unwrap()
    }
}

pub(super) fn newcomer_adopted(newcomer: Newcomer, grant: &Grant) -> Person {
    let (mut db, vault) = testing::database();
    db.write(|tx| newcomer.adopt(tx, &vault, grant, NOW).map(drop)).unwrap();
    Person { db, vault, account: grant.account, pushed: 0 }
}

/// Alice's first device and Bob's, who have written to each other.
pub(super) fn town() -> Town {
    let (alice, bob) = friends();
    let mut town = Town::new(vec![alice, bob]);
    town.at(0).writes("bob", "hello").unwrap();
    town.settle();
    let name = town.at(1).names().remove(0);
    town.at(1).renames(&name, "alice", NOW);
    town.at(1).writes("alice", "hello yourself").unwrap();
    town.settle();
    town
}
