//! Clients as a node sees them: keys, records, and sealed envelopes whose inside is arbitrary.

use postroad_proto::SigningKey;
use postroad_proto::codec;
use postroad_proto::envelope::{Class, ENVELOPE_VERSION, Envelope, Header, Parcel, Route, mode};
use postroad_proto::frame::{Frame, Hello, PrekeysPut, RecordsPut, Register, TokensPut};
use postroad_proto::ids::{AccountId, Hash, NodeId};
use postroad_proto::network::Network;
use postroad_proto::prekey::Prekey;
use postroad_proto::record::{
    AccountRecord, Device, DeviceList, OLM_VERSION, RECORD_VERSION, StewardCert,
};
use postroad_proto::signed::Signed;
use postroad_proto::token::{DeliveryToken, InviteCode, TokenEntry, TokenSecret};
use serde_bytes::ByteArray;

/// A person with one account and, unless told otherwise, one device.
#[derive(Clone)]
pub struct Persona {
    pub name: String,
    pub key: SigningKey,
    olm: SigningKey,
    pub home: NodeId,
    pub network: Network,
    pub devices: u8,
    /// The lowest number of its devices.
    pub first: u8,
    /// The device, if any, that has other keys than at first.
    changed: u8,
    /// Sequence number of its device list.
    pub edition: u64,
    pub epoch: u64,
}

impl Persona {
    /// `number` stands for all its keys.
    pub fn new(number: u8, home: NodeId, network: &Network) -> Self {
        Self {
            name: format!("user{number}"),
            key: SigningKey::from_bytes(&[number; 32]),
            olm: SigningKey::from_bytes(&[number ^ 0x80; 32]),
            home,
            network: network.clone(),
            devices: 1,
            first: 1,
            changed: 0,
            edition: 1,
            epoch: 0,
        }
    }

    /// Changes the number of devices, in a new list.
    pub fn set_devices(&mut self, devices: u8) {
        self.devices = devices;
        self.edition += 1;
    }

    /// Gives one device new keys.
    pub fn change_keys(&mut self, device: u8) {
        self.changed = device;
    }

    pub fn account(&self) -> AccountId {
        AccountId(self.key.verifying_key().to_bytes())
    }

    /// The Olm signing key of its devices.
    pub fn olm(&self) -> SigningKey {
        self.olm.clone()
    }

    /// The Noise key of one of its devices.
    pub fn noise(&self, device: u8) -> Hash {
        let mut key = self.account().0;
        key[31] ^= device;
        key[30] ^= u8::from(self.changed == device);
        Hash(key)
    }

    pub fn list(&self) -> Signed<DeviceList> {
        let devices = (self.first..=self.devices)
            .map(|number| Device {
                number,
                noise: self.noise(number),
                seal: Hash([number; 32]),
                olm_identity: Hash([number; 32]),
                olm_signing: Hash(self.olm.verifying_key().to_bytes()),
                olm_version: OLM_VERSION,
                rights: 0,
                added: 0,
            })
            .collect();
        let list = DeviceList {
            version: RECORD_VERSION,
            flags: 0,
            account: self.account(),
            epoch: self.epoch,
            seq: self.edition,
            devices,
        };
        Signed::new(&list, &self.key, &self.network).unwrap()
    }

    pub fn record(&self, seq: u64) -> Signed<AccountRecord> {
        Signed::new(&self.unsigned(seq), &self.key, &self.network).unwrap()
    }

    /// The same, signed by one of its devices under a certificate of this persona's epoch.
    pub fn steward_record(&self, seq: u64, device: u8, expires: u64) -> Signed<AccountRecord> {
        self.steward_record_of(seq, device, expires, |_| {})
    }

    /// The same, of a record with a change.
    pub fn steward_record_of(
        &self,
        seq: u64,
        device: u8,
        expires: u64,
        change: impl Fn(&mut AccountRecord),
    ) -> Signed<AccountRecord> {
        let cert = StewardCert {
            version: RECORD_VERSION,
            flags: 0,
            account: self.account(),
            epoch: self.epoch,
            device,
            key: Hash(self.olm.verifying_key().to_bytes()),
            issued: 0,
            expires,
        };
        let cert = Signed::new(&cert, &self.key, &self.network).unwrap();
        let steward = Some(codec::encode(&cert).unwrap().into());
        let mut record = AccountRecord { steward, ..self.unsigned(seq) };
        change(&mut record);
        Signed::new(&record, &self.olm, &self.network).unwrap()
    }

    fn unsigned(&self, seq: u64) -> AccountRecord {
        AccountRecord {
            version: RECORD_VERSION,
            flags: 0,
            account: self.account(),
            epoch: self.epoch,
            seq,
            previous: None,
            home: self.home,
            backups: vec![],
            hints: vec![],
            devices: self.list().hash(),
            lookup_key: None,
            issued: 0,
            expires: u64::MAX,
            steward: None,
        }
    }

    pub fn hello(&self, device: Option<u8>) -> Frame {
        Hello {
            versions: (1, 1),
            account: device.map(|_| self.account()),
            device: device.unwrap_or(0),
            devices: None,
            cursor: 0,
            quoted: vec![],
        }
        .into()
    }

    pub fn register(&self, invite: Option<InviteCode>) -> Frame {
        self.register_as(1, invite)
    }

    /// Registers under a record with this number.
    pub fn register_as(&self, seq: u64, invite: Option<InviteCode>) -> Frame {
        Register {
            request: 1,
            invite,
            handle: Some(self.name.parse().unwrap()),
            record: self.record(seq),
            devices: self.list(),
            proof: None,
        }
        .into()
    }

    /// Replaces its records: the list as it is now, under a record with this number.
    pub fn records_put(&self, seq: u64) -> Frame {
        let (record, devices) = (Some(self.record(seq)), Some(self.list()));
        RecordsPut { request: seq, record, devices }.into()
    }

    /// The token that this persona gives to `contact`.
    pub fn token_for(&self, contact: &AccountId) -> DeliveryToken {
        DeliveryToken::derive(&TokenSecret(self.key.to_bytes()), contact, 1)
    }

    pub fn tokens_put(&self, contacts: &[AccountId]) -> Frame {
        let tokens = contacts.iter().map(|contact| TokenEntry {
            hash: self.token_for(contact).hash(),
            label: contact.0[..8].try_into().unwrap(),
            rate: 0,
            byte_share: 0,
            expires: 0,
        });
        TokensPut { request: 2, tokens: tokens.collect() }.into()
    }

    /// Prekeys numbered from `from`, and a fallback key.
    pub fn prekeys_put(&self, device: u8, from: u8, count: u8) -> Frame {
        let prekey = |key: Hash, fallback: bool| {
            let input =
                Prekey::signature_input(self.account(), device, key, fallback, &self.network)
                    .unwrap();
            let signature = ed25519_sign(&self.olm, &input);
            Prekey { key, fallback, signature }
        };
        PrekeysPut {
            request: 3,
            one_time: (from..from + count).map(|n| prekey(Hash([n; 32]), false)).collect(),
            fallback: Some(prekey(Hash([0xfb; 32]), true)),
        }
        .into()
    }

    /// An envelope to `to` under the token it gave this persona, with `body` inside.
    pub fn envelope(&self, to: &Persona, deadline: u64, body: &[u8]) -> Envelope {
        let token = to.token_for(&self.account());
        let devices: Vec<u8> = (1..=to.devices).collect();
        let parcel = Parcel {
            account: to.account(),
            token: Some(token),
            tag: None,
            label: None,
            headers: headers(&devices),
        };
        envelope(to.home, Class::Message, deadline, body, parcel)
    }

    /// A request to `to`, whom this persona does not know.
    pub fn request(&self, to: &Persona, deadline: u64, body: &[u8]) -> Envelope {
        let parcel = Parcel {
            account: to.account(),
            token: None,
            tag: None,
            label: None,
            headers: headers(&[1]),
        };
        envelope(to.home, Class::Request, deadline, body, parcel)
    }

    /// A copy for this persona's other devices.
    pub fn own_copy(&self, deadline: u64, body: &[u8]) -> Envelope {
        let devices: Vec<u8> = (1..=self.devices).collect();
        let parcel = Parcel {
            account: self.account(),
            token: None,
            tag: None,
            label: Some(ByteArray::new([0; 8])),
            headers: headers(&devices),
        };
        envelope(self.home, Class::Message, deadline, body, parcel)
    }
}

fn headers(devices: &[u8]) -> Vec<Header> {
    devices.iter().map(|d| Header { device: *d, sealed: vec![*d; 64].into() }).collect()
}

fn envelope(home: NodeId, class: Class, deadline: u64, body: &[u8], parcel: Parcel) -> Envelope {
    Envelope {
        version: ENVELOPE_VERSION,
        flags: 0,
        class: class.number(),
        mode: mode::PAIR,
        deadline,
        body_hash: Hash::of(body),
        body: body.to_vec().into(),
        stamp: vec![].into(),
        routes: vec![Route { home, backups: vec![], parcels: vec![parcel] }],
    }
}

fn ed25519_sign(key: &SigningKey, input: &[u8]) -> [u8; 64] {
    use postroad_proto::Signer;
    key.sign(input).to_bytes()
}
