//! What it costs to seal a message of the smallest size for a contact's devices, and to open it on all
//! of them. Storing the stepped sessions is not in it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../proto/benches/run/mod.rs"]
mod run;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion};
use postroad_client::e2e::{
    self, DeviceAddress, Incoming, Letter, OwnDevice, PeerSessions, Sealed, header, open,
};
use postroad_proto::codec;
use postroad_proto::content::{Message, Sender, Text, conversation, kind};
use postroad_proto::envelope::Class;
use postroad_proto::ids::{AccountId, Hash, MessageId};
use postroad_proto::limits::MAX_DEVICES;
use postroad_proto::network::Network;
use postroad_proto::pair::{MIN_BODY, SealSecret, seal_public};
use postroad_proto::record::{Device, DeviceList, OLM_VERSION, RECORD_VERSION};
use serde_bytes::ByteArray;

const NOW: u64 = 1_800_000_000_000;

/// How many devices a message is for. More than an account has are those of two: a contact's, and as
/// many of one's own.
const DEVICES: [usize; 3] = [1, 4, 2 * MAX_DEVICES];

fn main() {
    run::run(&[seal, seal_and_open]);
}

/// Those who are written to, so that there are so many devices.
fn people(devices: usize) -> Vec<Acquaintance> {
    let accounts = devices.div_ceil(MAX_DEVICES);
    (0..accounts).map(|_| Acquaintance::new((devices / accounts) as u8)).collect()
}

fn seal(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("e2e_seal");
    for devices in DEVICES {
        let mut people = people(devices);
        group.bench_function(BenchmarkId::new("devices", devices), |bencher| {
            bencher.iter(|| {
                for pair in &mut people {
                    black_box(pair.seal());
                }
            });
        });
    }
    group.finish();
}

/// What one message costs all devices together, the sender's included.
fn seal_and_open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("e2e_seal_and_open");
    for devices in DEVICES {
        let mut people = people(devices);
        group.bench_function(BenchmarkId::new("devices", devices), |bencher| {
            bencher.iter(|| {
                for pair in &mut people {
                    let sealed = pair.seal();
                    for index in 0..pair.bob.len() {
                        pair.open(&sealed, index);
                    }
                }
            });
        });
    }
    group.finish();
}

/// Somebody's device, with its sessions with one of somebody else's.
struct Party {
    address: DeviceAddress,
    own: OwnDevice,
    seal: SealSecret,
}

impl Party {
    fn new(account: u8, number: u8) -> Self {
        let address = (AccountId([account; 32]), number);
        Self { address, own: OwnDevice::generate(), seal: SealSecret([account ^ number; 32]) }
    }

    fn device(&self) -> Device {
        Device {
            number: self.address.1,
            noise: Hash([1; 32]),
            seal: seal_public(&self.seal).unwrap(),
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
            account: self.address.0,
            epoch: 1,
            seq: 1,
            devices: vec![self.device()],
        }
    }
}

/// Alice's device and those of Bob, who have answered: messages are ordinary ones.
struct Acquaintance {
    alice: Party,
    bob: Vec<Party>,
    /// Alice's sessions with Bob's devices, and theirs with hers.
    to_bob: Vec<(Device, PeerSessions)>,
    to_alice: Vec<PeerSessions>,
}

impl Acquaintance {
    fn new(devices: u8) -> Self {
        let alice = Party::new(0x40, 1);
        let mut bob: Vec<Party> = (1..=devices).map(|number| Party::new(0x80, number)).collect();
        let to_bob = bob.iter_mut().map(|device| {
            let network = Network::default();
            let keys = device.own.one_time_keys(1, device.address, &network).unwrap();
            device.own.published();
            let mut sessions = PeerSessions::default();
            sessions.start(&alice.own, &device.own.identity(), &keys[0].key, NOW).unwrap();
            (device.device(), sessions)
        });
        let to_bob = to_bob.collect();
        let to_alice = bob.iter().map(|_| PeerSessions::default()).collect();
        let mut pair = Self { alice, bob, to_bob, to_alice };
        let first = pair.seal();
        for index in 0..pair.bob.len() {
            pair.open(&first, index);
            pair.answer(index);
        }
        pair
    }

    fn seal(&mut self) -> Sealed {
        seal_for(&self.alice, self.bob[0].address.0, &mut self.to_bob)
    }

    fn open(&mut self, sealed: &Sealed, index: usize) {
        open_at(&self.bob[index], &self.alice, &mut self.to_alice[index], sealed, index);
    }

    /// One of Bob's devices answers, which ends the first part of its session.
    fn answer(&mut self, index: usize) {
        let sessions = std::mem::take(&mut self.to_alice[index]);
        let mut to_alice = [(self.alice.device(), sessions)];
        let sealed = seal_for(&self.bob[index], self.alice.address.0, &mut to_alice);
        let [(_, sessions)] = to_alice;
        self.to_alice[index] = sessions;
        open_at(&self.alice, &self.bob[index], &mut self.to_bob[index].1, &sealed, 0);
    }
}

fn seal_for(from: &Party, to: AccountId, devices: &mut [(Device, PeerSessions)]) -> Sealed {
    let text = Text::plain("what fits the smallest body");
    let message = Message {
        id: MessageId([1; 16]),
        conversation: conversation(&from.address.0, &to),
        seq: 1,
        previous: None,
        lowest_kept: 1,
        sent_at: NOW,
        sender: Sender {
            account: from.address.0,
            device: from.address.1,
            devices: ByteArray::new([0; 16]),
        },
        card: None,
        kind: kind::TEXT,
        content: codec::encode(&text).unwrap().into(),
    };
    let plaintext = message.encode().unwrap();
    let letter = Letter {
        class: Class::Message,
        deadline: NOW / 1000 + 86_400,
        sender: from.address,
        recipient: to,
        message: &message,
        plaintext: &plaintext,
    };
    let sealed = e2e::seal(&letter, devices).unwrap().expect("there are sessions");
    assert_eq!((sealed.body.len(), sealed.headers.len()), (MIN_BODY, devices.len()));
    sealed
}

/// Opens the header with this `index` on the device that it is for.
fn open_at(at: &Party, from: &Party, sessions: &mut PeerSessions, sealed: &Sealed, index: usize) {
    let incoming = Incoming {
        attributes: sealed.attributes,
        body_hash: sealed.body_hash,
        header: &sealed.headers[index].sealed,
        body: &sealed.body,
    };
    let content = header(&incoming, &at.seal, at.address).unwrap();
    let (own, network) = ((Some(&at.own), at.address), Network::default());
    let list = from.list();
    let opened = open(&incoming, &content, own, Some(&list), sessions, &network, NOW).unwrap();
    black_box(opened);
}
