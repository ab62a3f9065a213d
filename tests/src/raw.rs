//! Clients that say exactly what a test wants: single frames over a real connection.

use std::time::Duration;

use postroad_client::connection::{Connection, Dial};
use postroad_proto::SigningKey;
use postroad_proto::blob::Blob;
use postroad_proto::codec;
use postroad_proto::envelope::{Class, ENVELOPE_VERSION, Envelope, Header, Parcel, Route, mode};
use postroad_proto::frame::{Frame, Hello, Register, TokensPut};
use postroad_proto::ids::{AccountId, Hash, NodeId};
use postroad_proto::link::NodeLink;
use postroad_proto::noise::{self, NoiseSecret};
use postroad_proto::record::{AccountRecord, Device, DeviceList, OLM_VERSION, RECORD_VERSION};
use postroad_proto::signed::Signed;
use postroad_proto::token::{DeliveryToken, TokenEntry};

use crate::node::Node;

/// A client with a made-up key, past the handshake.
///
/// # Panics
/// When the node does not let it.
pub async fn stranger(node: &Node, key: u8) -> Connection {
    let link: NodeLink = node.link().parse().unwrap();
    let dial = Dial {
        network: &link.network,
        node: Some(&link.node),
        addresses: &link.addresses,
        secret: &NoiseSecret([key; 32]),
        within: Duration::from_secs(5),
    };
    dial.connect().await.unwrap().0
}

/// The hello of a device that has no account yet.
pub fn hello_frame() -> Frame {
    let versions = (1, 1);
    Hello { versions, account: None, device: 0, devices: None, cursor: 0, quoted: vec![] }.into()
}

/// Makes an account on an open node whose client is the test.
///
/// # Panics
/// When the node does not let it.
pub async fn member(node: &Node, key: u8) -> Connection {
    let link: NodeLink = node.link().parse().unwrap();
    let signing = SigningKey::from_bytes(&[key; 32]);
    let account = account_of(key);
    let noise = noise::public_key(&NoiseSecret([key; 32]));
    let device = Device {
        number: 1,
        noise,
        seal: noise,
        olm_identity: noise,
        olm_signing: noise,
        olm_version: OLM_VERSION,
        rights: 0,
        added: 0,
    };
    let list = DeviceList {
        version: RECORD_VERSION,
        flags: 0,
        account,
        epoch: 0,
        seq: 1,
        devices: vec![device],
    };
    let devices = Signed::new(&list, &signing, &link.network).unwrap();
    let record = AccountRecord {
        version: RECORD_VERSION,
        flags: 0,
        account,
        epoch: 0,
        seq: 1,
        previous: None,
        home: link.node,
        backups: vec![],
        hints: vec![],
        devices: devices.hash(),
        lookup_key: None,
        issued: 0,
        expires: u64::MAX,
        steward: None,
    };
    let record = Signed::new(&record, &signing, &link.network).unwrap();
    let mut connection = stranger(node, key).await;
    connection.send(hello_frame()).await.unwrap();
    let register =
        Register { request: 1, invite: None, handle: None, record, devices, proof: None };
    connection.send(register).await.unwrap();
    loop {
        if let Frame::Done(done) = connection.recv().await.unwrap() {
            assert_eq!(done.code, None, "{}", done.detail);
            return connection;
        }
    }
}

/// The account that [`member`] makes for a key.
pub fn account_of(key: u8) -> AccountId {
    AccountId(SigningKey::from_bytes(&[key; 32]).verifying_key().to_bytes())
}

/// A device that [`member`] made connects again.
///
/// # Panics
/// When the node does not let it.
pub async fn come_back(node: &Node, key: u8) -> Connection {
    let mut connection = stranger(node, key).await;
    let hello = Hello {
        versions: (1, 1),
        account: Some(account_of(key)),
        device: 1,
        devices: None,
        cursor: 0,
        quoted: vec![],
    };
    connection.send(hello).await.unwrap();
    connection
}

/// Lets whoever has `token` write to the account at `connection`.
///
/// # Panics
/// When the node does not take it.
pub async fn give_token(connection: &mut Connection, token: &DeliveryToken) {
    let entry =
        TokenEntry { hash: token.hash(), label: [1; 8], rate: 0, byte_share: 0, expires: 0 };
    connection.send(TokensPut { request: 2, tokens: vec![entry] }).await.unwrap();
    loop {
        match connection.recv().await.unwrap() {
            Frame::Done(done) if done.request == 2 => return assert_eq!(done.code, None),
            _ => {}
        }
    }
}

/// An envelope that nobody can open, for the first device of an account at `home`.
pub fn envelope(home: NodeId, account: AccountId, token: DeliveryToken, body: &[u8]) -> Envelope {
    let headers = vec![Header { device: 1, sealed: vec![1; 100].into() }];
    let parcel = Parcel { account, token: Some(token), tag: None, label: None, headers };
    Envelope {
        version: ENVELOPE_VERSION,
        flags: 0,
        class: Class::Message.number(),
        mode: mode::PAIR,
        deadline: postroad_client::now() / 1000 + 3600,
        body_hash: Hash::of(body),
        body: body.to_vec().into(),
        stamp: vec![].into(),
        routes: vec![Route { home, backups: vec![], parcels: vec![parcel] }],
    }
}

/// A signed object of any payload and signature.
///
/// # Panics
/// When the payload is longer than 4 KiB.
pub fn forged<T>(payload: &[u8], signature: [u8; 64]) -> Signed<T>
where
    Signed<T>: for<'de> serde::Deserialize<'de>,
{
    #[derive(serde::Serialize)]
    struct Shape {
        payload: Blob,
        #[serde(with = "serde_bytes")]
        signature: [u8; 64],
    }
    let shape = Shape { payload: payload.to_vec().into(), signature };
    codec::decode(&codec::encode(&shape).unwrap(), 5000).unwrap()
}
