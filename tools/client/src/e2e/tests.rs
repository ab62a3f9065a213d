//! Two devices in memory.

use postroad_proto::SigningKey;
use postroad_proto::blob::Blob;
use postroad_proto::codec;
use postroad_proto::content::{self, Card, Message, Sender, Text, kind};
use postroad_proto::envelope::Class;
use postroad_proto::ids::{AccountId, Hash, MessageId, NodeId};
use postroad_proto::network::Network;
use postroad_proto::pair::{self, HeaderContent, SealSecret};
use postroad_proto::record::{AccountRecord, Device, DeviceList, OLM_VERSION, RECORD_VERSION};
use postroad_proto::signed::Signed;
use postroad_proto::token::DeliveryToken;
use serde_bytes::ByteArray;

use super::*;
use crate::entropy;

const NOW: u64 = 1_000;

struct Person {
    key: SigningKey,
    account: AccountId,
    own: OwnDevice,
    seal: SealSecret,
    sessions: PeerSessions,
    seq: u64,
}

impl Person {
    fn new() -> Self {
        let key = SigningKey::from_bytes(&entropy::bytes());
        Self {
            account: AccountId(key.verifying_key().to_bytes()),
            key,
            own: OwnDevice::generate(),
            seal: SealSecret(entropy::bytes()),
            sessions: PeerSessions::default(),
            seq: 0,
        }
    }

    fn address(&self) -> DeviceAddress {
        (self.account, 1)
    }

    fn device(&self) -> Device {
        Device {
            number: 1,
            noise: Hash([1; 32]),
            seal: pair::seal_public(&self.seal).unwrap(),
            olm_identity: self.own.identity(),
            olm_signing: self.own.signing(),
            olm_version: OLM_VERSION,
            rights: 0,
            added: 0,
        }
    }

    fn list(&self) -> DeviceList {
        DeviceList {
            version: RECORD_VERSION,
            flags: 0,
            account: self.account,
            epoch: 1,
            seq: 1,
            devices: vec![self.device()],
        }
    }

    fn card(&self) -> Blob {
        let network = Network::default();
        let devices = Signed::new(&self.list(), &self.key, &network).unwrap();
        let record = AccountRecord {
            version: RECORD_VERSION,
            flags: 0,
            account: self.account,
            epoch: 1,
            seq: 1,
            previous: None,
            home: NodeId([7; 32]),
            backups: vec![],
            hints: vec![],
            devices: devices.hash(),
            lookup_key: None,
            issued: 0,
            expires: 1,
            steward: None,
        };
        let record = Signed::new(&record, &self.key, &network).unwrap();
        let card = Card {
            record,
            devices,
            handle: None,
            token: DeliveryToken([5; 16]),
            ephemeral: None,
            sends_receipts: true,
        };
        codec::encode(&card).unwrap().into()
    }

    /// A prekey of this device goes to `other`, who starts a session with it.
    fn give_prekey(&mut self, other: &mut Self, fallback: bool) {
        let network = Network::default();
        let prekey = if fallback {
            self.own.fallback_key(self.address(), &network).unwrap().unwrap()
        } else {
            self.own.one_time_keys(1, self.address(), &network).unwrap().remove(0)
        };
        prekey.verify(self.account, 1, &self.own.signing(), &network).unwrap();
        self.own.published();
        other.sessions.start(&other.own, &self.own.identity(), &prekey.key, NOW).unwrap();
    }

    fn write(&mut self, to: &Self, text: &str, with_card: bool) -> Mail {
        self.seq += 1;
        let message = Message {
            id: MessageId(entropy::bytes()),
            conversation: content::conversation(&self.account, &to.account),
            seq: self.seq,
            previous: None,
            lowest_kept: 1,
            sent_at: NOW,
            sender: Sender { account: self.account, device: 1, devices: ByteArray::new([0; 16]) },
            card: with_card.then(|| self.card()),
            kind: kind::TEXT,
            content: codec::encode(&Text::plain(text)).unwrap().into(),
        };
        self.seal(to, message)
    }

    fn seal(&mut self, to: &Self, message: Message) -> Mail {
        let plaintext = message.encode().unwrap();
        let letter = Letter {
            class: Class::Message,
            deadline: 5_000,
            sender: self.address(),
            recipient: to.account,
            message: &message,
            plaintext: &plaintext,
        };
        let mut devices = [(to.device(), std::mem::take(&mut self.sessions))];
        let sealed = seal(&letter, &mut devices).unwrap().unwrap();
        let [(_, sessions)] = devices;
        self.sessions = sessions;
        Mail(sealed)
    }

    fn open(&mut self, mail: &Mail, known: Option<&DeviceList>) -> Result<Opened, OpenError> {
        let incoming = mail.incoming();
        let header = header(&incoming, &self.seal, self.address())?;
        let own = (Some(&self.own), self.address());
        let network = Network::default();
        let opened = open(&incoming, &header, own, known, &mut self.sessions, &network, NOW)?;
        if let Some(own) = &opened.own {
            self.own = own.fork();
        }
        Ok(opened)
    }

    fn reads(&mut self, mail: &Mail) -> Result<String, OpenError> {
        let opened = self.open(mail, None)?;
        let text: Text = codec::decode(&opened.message.content, 1024).unwrap();
        Ok(text.text)
    }
}

struct Mail(Sealed);

impl Mail {
    fn incoming(&self) -> Incoming<'_> {
        Incoming {
            attributes: self.0.attributes,
            body_hash: self.0.body_hash,
            header: &self.0.headers[0].sealed,
            body: &self.0.body,
        }
    }
}

fn acquainted() -> (Person, Person) {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    bob.give_prekey(&mut alice, false);
    (alice, bob)
}

#[test]
fn first_message_reply_and_order_do_not_matter() {
    let (mut alice, mut bob) = acquainted();
    let first = alice.write(&bob, "one", true);
    assert_eq!(bob.reads(&first), Ok("one".to_owned()));
    let reply = bob.write(&alice, "two", true);
    assert_eq!(alice.reads(&reply), Ok("two".to_owned()));
    let later: Vec<Mail> = (0..5).map(|i| alice.write(&bob, &format!("later {i}"), true)).collect();
    for (i, mail) in later.iter().enumerate().rev() {
        assert_eq!(bob.reads(mail), Ok(format!("later {i}")));
    }
    assert_eq!((alice.sessions.len(), bob.sessions.len()), (1, 1));
}

#[test]
fn messages_of_a_new_session_may_overtake_its_first() {
    let (mut alice, mut bob) = acquainted();
    let first = alice.write(&bob, "one", true);
    let second = alice.write(&bob, "two", true);
    assert_eq!(bob.reads(&second), Ok("two".to_owned()));
    assert_eq!(bob.reads(&first), Ok("one".to_owned()));
    assert_eq!(bob.sessions.len(), 1);
}

#[test]
fn when_both_start_at_once_both_read_and_agree_on_one_session() {
    let (mut alice, mut bob) = acquainted();
    alice.give_prekey(&mut bob, false);
    let (to_bob, to_alice) = (alice.write(&bob, "a", true), bob.write(&alice, "b", true));
    assert_eq!(bob.reads(&to_bob), Ok("a".to_owned()));
    assert_eq!(alice.reads(&to_alice), Ok("b".to_owned()));
    assert_eq!((alice.sessions.len(), bob.sessions.len()), (2, 2));
    for _ in 0..3 {
        let (to_bob, to_alice) = (alice.write(&bob, "a", true), bob.write(&alice, "b", true));
        assert_eq!(bob.reads(&to_bob), Ok("a".to_owned()));
        assert_eq!(alice.reads(&to_alice), Ok("b".to_owned()));
    }
    assert_eq!((alice.sessions.len(), bob.sessions.len()), (2, 2));
}

#[test]
fn sessions_with_one_device_are_few() {
    let (mut alice, mut bob) = (Person::new(), Person::new());
    for _ in 0..9 {
        bob.give_prekey(&mut alice, false);
    }
    assert_eq!(alice.sessions.len(), 5);
    let mail = alice.write(&bob, "hi", true);
    assert_eq!(bob.reads(&mail), Ok("hi".to_owned()));
}

#[test]
fn a_replayed_prekey_message_opens_no_second_time_and_starts_nothing() {
    for fallback in [false, true] {
        let (mut alice, mut bob) = (Person::new(), Person::new());
        bob.give_prekey(&mut alice, fallback);
        let first = alice.write(&bob, "once", true);
        assert_eq!(bob.reads(&first), Ok("once".to_owned()));
        assert_eq!(bob.reads(&first), Err(OpenError::Session));
        assert_eq!(bob.sessions.len(), 1);
    }
}

#[test]
fn a_one_time_key_is_not_spent_on_what_does_not_hold() {
    let (mut alice, mut bob) = acquainted();
    let anonymous = alice.write(&bob, "who am I?", false);
    assert!(matches!(bob.open(&anonymous, None), Err(OpenError::Unknown)));
    assert!(bob.sessions.is_empty());
    let first = alice.write(&bob, "one", true);
    assert_eq!(bob.reads(&first), Ok("one".to_owned()));
}

#[test]
fn nobody_writes_in_the_name_of_somebody_else() {
    let (mut alice, mut bob) = acquainted();
    // Mallory uses a prekey of Bob's and says to be Alice; she cannot make Alice's card fit.
    let mut mallory = Person::new();
    bob.give_prekey(&mut mallory, false);
    mallory.account = alice.account;
    let forged = mallory.write(&bob, "I am alice", false);
    assert!(matches!(bob.open(&forged, Some(&alice.list())), Err(OpenError::Identity)));
    mallory.key = alice.key.clone();
    let with_her_list = mallory.write(&bob, "I am alice", true);
    // With Alice's account key she could; with a list of higher number even against a known one.
    assert!(matches!(bob.open(&with_her_list, Some(&alice.list())), Err(OpenError::Identity)));
    mallory.key = SigningKey::from_bytes(&[3; 32]);
    let with_own_key = mallory.write(&bob, "I am alice", true);
    assert!(matches!(bob.open(&with_own_key, None), Err(OpenError::Card(_))));
    assert!(bob.sessions.is_empty());
    let real = alice.write(&bob, "me", true);
    assert_eq!(bob.reads(&real), Ok("me".to_owned()));
}

#[test]
fn a_header_cannot_be_pasted_onto_another_body() {
    let (mut alice, mut bob) = acquainted();
    let (one, two) = (alice.write(&bob, "one", true), alice.write(&bob, "two", true));
    // The outer seal is anybody's to make: open one and put it around the other body.
    let header = header(&one.incoming(), &bob.seal, bob.address()).unwrap();
    let resealed = |content: &HeaderContent, body_hash: &Hash| {
        let to = pair::seal_public(&bob.seal).unwrap();
        pair::seal_header(&to, bob.address(), body_hash, content, &mut entropy::rng()).unwrap()
    };
    let pasted = resealed(&header, &two.0.body_hash);
    let incoming = Incoming { header: &pasted, ..two.incoming() };
    let content = super::header(&incoming, &bob.seal, bob.address()).unwrap();
    let network = Network::default();
    let opened = open(
        &incoming,
        &content,
        (Some(&bob.own), bob.address()),
        None,
        &mut bob.sessions,
        &network,
        NOW,
    );
    assert!(matches!(opened, Err(OpenError::Body(_))), "{opened:?}");
    let other_body = Incoming { body: &one.0.body, ..two.incoming() };
    let refused = super::header(&other_body, &bob.seal, bob.address());
    assert_eq!(refused.unwrap_err(), OpenError::BodyHash);
    bob.sessions = PeerSessions::default();
    assert_eq!(bob.reads(&one), Ok("one".to_owned()));
    assert_eq!(bob.reads(&two), Ok("two".to_owned()));
}

#[test]
fn what_the_body_says_must_be_what_the_key_was_bound_to() {
    let (mut alice, mut bob) = acquainted();
    let carol = Person::new();
    let template = |alice: &Person, bob: &Person| Message {
        id: MessageId([1; 16]),
        conversation: content::conversation(&alice.account, &bob.account),
        seq: 1,
        previous: None,
        lowest_kept: 1,
        sent_at: NOW,
        sender: Sender { account: alice.account, device: 1, devices: ByteArray::new([0; 16]) },
        card: Some(alice.card()),
        kind: kind::TEXT,
        content: codec::encode(&Text::plain("x")).unwrap().into(),
    };
    let mut elsewhere = template(&alice, &bob);
    elsewhere.conversation = content::conversation(&alice.account, &carol.account);
    let mut not_hers = template(&alice, &bob);
    not_hers.sender.account = carol.account;
    let mut other_device = template(&alice, &bob);
    other_device.sender.device = 2;
    let mut no_place = template(&alice, &bob);
    no_place.seq = 0;
    let mut far_off = template(&alice, &bob);
    far_off.seq = u64::MAX;
    for wrong in [elsewhere, not_hers, other_device, no_place, far_off] {
        let mail = alice.seal(&bob, wrong);
        assert!(matches!(bob.open(&mail, None), Err(OpenError::Context)));
    }
    let right = template(&alice, &bob);
    let mail = alice.seal(&bob, right);
    assert!(bob.open(&mail, None).is_ok());
}

#[test]
fn attributes_are_sealed_in() {
    let (mut alice, mut bob) = acquainted();
    let mut mail = alice.write(&bob, "one", true);
    mail.0.attributes.deadline += 1;
    assert!(matches!(bob.open(&mail, None), Err(OpenError::Body(_))));
}

#[test]
fn debug_shows_no_keys() {
    let (mut alice, mut bob) = acquainted();
    let mail = alice.write(&bob, "secret text", true);
    let shown = format!("{:?} {:?} {:?}", alice.own, alice.sessions, mail.0);
    let identity = format!("{:?}", alice.own);
    assert_eq!(identity, "OwnDevice(…)");
    assert!(shown.contains("PeerSessions(1)"));
    let opened = bob.open(&mail, None).unwrap();
    assert_eq!(format!("{opened:?}"), format!("Opened({})", opened.message.id));
}
