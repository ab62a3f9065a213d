//! Any value of every structure, for properties; and the keys and signatures that attackers try.

use postroad_proto::SigningKey;
use postroad_proto::blob::Blob;
use postroad_proto::codec;
use postroad_proto::envelope::{Envelope, Header, Parcel, Route};
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::Records;
use postroad_proto::ids::{AccountId, Hash, NodeId, ParcelId};
use postroad_proto::link::{ContactLink, JoinLink, NodeLink};
use postroad_proto::merkle::Step;
use postroad_proto::network::Network;
use postroad_proto::prekey::{ClaimedPrekey, Prekey};
use postroad_proto::receipt::{Receipt, ReceiptEntry, ReceiptItem, ReceiptRoot, Receipts};
use postroad_proto::record::{
    AccountRecord, Deletion, Device, DeviceList, Handle, HandleRecord, NodeRecord, StewardCert,
};
use postroad_proto::signed::{Signable, Signed};
use postroad_proto::token::{DeliveryToken, InviteCode, InviteEntry, Proof, TokenEntry};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_bytes::ByteArray;

use super::samples::network;

/// The eight points of small order, as Ed25519 public keys, and two of their other encodings.
pub(crate) const SMALL_ORDER: [&str; 10] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// By the key of `samples::ALICE_SEED`, over "payload" as a node record in the network of the samples:
/// R is the neutral element, so that S is k times the secret scalar. It satisfies the equation;
/// only the strict check of R refuses it.
pub(crate) const SMALL_ORDER_R: &str = concat!(
    "0100000000000000000000000000000000000000000000000000000000000000",
    "6c480aa44696bc252c19a8d319d8706d2ad85d473da084912963ec9ea82d6b01",
);

/// X25519 public keys whose every product is zero (RFC 7748, section 7; Bernstein's list).
pub(crate) const WEAK_X25519: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// The same signature with the group order added to its S: lenient verifiers take both.
pub(crate) fn plus_group_order(signature: &[u8; 64]) -> [u8; 64] {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut out = *signature;
    let mut carry = 0u16;
    for (byte, order) in out[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    out
}

/// One way in which bytes arrive other than they were sent.
#[derive(Debug, Clone)]
pub(crate) enum Damage {
    Flip { at: prop::sample::Index, bit: u8 },
    Cut { at: prop::sample::Index },
    Insert { at: prop::sample::Index, byte: u8 },
    Replace { at: prop::sample::Index, byte: u8 },
}

impl Damage {
    pub(crate) fn apply(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        match self {
            Self::Flip { at, bit } => out[at.index(bytes.len())] ^= 1 << bit,
            Self::Cut { at } => out.truncate(at.index(bytes.len())),
            Self::Insert { at, byte } => out.insert(at.index(bytes.len()), *byte),
            Self::Replace { at, byte } => out[at.index(bytes.len())] = *byte,
        }
        out
    }
}

pub(crate) fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<prop::sample::Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        any::<prop::sample::Index>().prop_map(|at| Damage::Cut { at }),
        any::<(prop::sample::Index, u8)>().prop_map(|(at, byte)| Damage::Insert { at, byte }),
        any::<(prop::sample::Index, u8)>().prop_map(|(at, byte)| Damage::Replace { at, byte }),
    ]
}

pub(crate) fn hash() -> BoxedStrategy<Hash> {
    any::<[u8; 32]>().prop_map(Hash).boxed()
}

pub(crate) fn account() -> BoxedStrategy<AccountId> {
    any::<[u8; 32]>().prop_map(AccountId).boxed()
}

pub(crate) fn node() -> BoxedStrategy<NodeId> {
    any::<[u8; 32]>().prop_map(NodeId).boxed()
}

pub(crate) fn parcel_id() -> BoxedStrategy<ParcelId> {
    any::<[u8; 16]>().prop_map(ParcelId).boxed()
}

pub(crate) fn array<const N: usize>() -> BoxedStrategy<ByteArray<N>> {
    vec(any::<u8>(), N).prop_map(|bytes| ByteArray::new(bytes.try_into().expect("N bytes"))).boxed()
}

pub(crate) fn blob(most: usize) -> BoxedStrategy<Blob> {
    vec(any::<u8>(), 0..=most).prop_map(Blob::from).boxed()
}

pub(crate) fn text() -> BoxedStrategy<String> {
    "\\PC{0,12}".boxed()
}

pub(crate) fn handle() -> BoxedStrategy<Handle> {
    "[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?".prop_map(|t| t.parse().expect("a handle")).boxed()
}

pub(crate) fn token() -> BoxedStrategy<DeliveryToken> {
    any::<[u8; 16]>().prop_map(DeliveryToken).boxed()
}

pub(crate) fn invite() -> BoxedStrategy<InviteCode> {
    any::<[u8; 16]>().prop_map(InviteCode).boxed()
}

pub(crate) fn error_code() -> BoxedStrategy<ErrorCode> {
    prop_oneof![0u64..30, any::<u64>()].prop_map(ErrorCode::from_number).boxed()
}

pub(crate) fn ranges() -> BoxedStrategy<Vec<(u64, u64)>> {
    vec(any::<(u64, u64)>(), 0..4).boxed()
}

fn signing_key() -> BoxedStrategy<SigningKey> {
    any::<[u8; 32]>().prop_map(|seed| SigningKey::from_bytes(&seed)).boxed()
}

fn sign<T: Signable>(value: &T, key: &SigningKey) -> Signed<T> {
    Signed::new(value, key, &network()).expect("within the limits")
}

/// Not critical ones.
fn flags() -> impl Strategy<Value = u64> {
    any::<u64>().prop_map(|flags| flags & !0xffff_0000)
}

prop_compose! {
    pub(crate) fn node_record()(
        key in signing_key(),
        flags in flags(),
        (seq, generation, features) in any::<(u64, u64, u64)>(),
        (next_key, noise, next_noise) in (option::of(hash()), hash(), option::of(hash())),
        (client, p2p) in (vec(text(), 0..3), vec(text(), 0..3)),
        relays in vec(node(), 0..3),
        (name, region) in (text(), text()),
        (low, more) in (0u64..9, 0u64..9),
        (max_body, max_deadline) in any::<(u64, u64)>(),
        (issued, valid) in (0u64..1 << 40, 0u64..1 << 40),
    ) -> (Signed<NodeRecord>, NodeRecord) {
        let record = NodeRecord {
            version: 1,
            flags,
            node: NodeId(key.verifying_key().to_bytes()),
            seq,
            generation,
            next_key,
            noise,
            next_noise,
            client,
            p2p,
            relays,
            name,
            region,
            versions: (low, low + more),
            features,
            max_body,
            max_deadline,
            issued,
            expires: issued + valid,
        };
        (sign(&record, &key), record)
    }
}

prop_compose! {
    pub(crate) fn account_record()(
        key in signing_key(),
        flags in flags(),
        epoch in any::<u64>(),
        seq in 1u64..,
        previous in option::of(hash()),
        home in node(),
        backups in vec(node(), 0..3),
        hints in vec(text(), 0..3),
        devices in hash(),
        lookup_key in option::of(hash()),
        (issued, expires) in any::<(u64, u64)>(),
        steward in option::of((signing_key(), flags(), 1u8.., any::<u64>())),
    ) -> (Signed<AccountRecord>, AccountRecord) {
        let mut record = AccountRecord {
            version: 1,
            flags,
            account: AccountId(key.verifying_key().to_bytes()),
            epoch,
            seq,
            previous,
            home,
            backups,
            hints,
            devices,
            lookup_key,
            issued,
            expires,
            steward: None,
        };
        let Some((by, flags, device, cert_issued)) = steward else {
            return (sign(&record, &key), record);
        };
        let cert = StewardCert {
            version: 1,
            flags,
            account: record.account,
            epoch,
            device,
            key: Hash(by.verifying_key().to_bytes()),
            issued: cert_issued,
            expires: cert_issued.max(issued),
        };
        record.steward = Some(codec::encode(&sign(&cert, &key)).expect("encodes").into());
        (sign(&record, &by), record)
    }
}

prop_compose! {
    pub(crate) fn deletion()(
        key in signing_key(),
        flags in flags(),
        node in node(),
        (at, delete_at) in any::<(u64, u64)>(),
    ) -> (Signed<Deletion>, Deletion) {
        let account = AccountId(key.verifying_key().to_bytes());
        let delete_at = if delete_at < at { 0 } else { delete_at };
        let deletion = Deletion { version: 1, flags, account, node, at, delete_at };
        (sign(&deletion, &key), deletion)
    }
}

prop_compose! {
    fn device(number: u8)(
        (noise, seal, olm_identity, olm_signing) in (hash(), hash(), hash(), hash()),
        (rights, added) in any::<(u64, u64)>(),
    ) -> Device {
        Device { number, noise, seal, olm_identity, olm_signing, olm_version: 1, rights, added }
    }
}

prop_compose! {
    pub(crate) fn device_list()(
        key in signing_key(),
        flags in flags(),
        (epoch, seq) in any::<(u64, u64)>(),
        devices in prop::sample::subsequence((1u8..=255).collect::<Vec<_>>(), 1..=8)
            .prop_flat_map(|numbers| numbers.into_iter().map(device).collect::<Vec<_>>()),
    ) -> (Signed<DeviceList>, DeviceList) {
        let account = AccountId(key.verifying_key().to_bytes());
        let list = DeviceList { version: 1, flags, account, epoch, seq, devices };
        (sign(&list, &key), list)
    }
}

prop_compose! {
    pub(crate) fn handle_record()(
        key in signing_key(),
        flags in flags(),
        node_name in text(),
        handle in handle(),
        account in account(),
        (seq, issued) in any::<(u64, u64)>(),
        previous in option::of(hash()),
        how in 1u64..=4,
        old_key in option::of(array()),
    ) -> (Signed<HandleRecord>, HandleRecord) {
        let node = NodeId(key.verifying_key().to_bytes());
        let record = HandleRecord {
            version: 1, flags, node, node_name, handle, account, seq, previous, how, issued, old_key,
        };
        (sign(&record, &key), record)
    }
}

prop_compose! {
    pub(crate) fn receipt_root()(
        key in signing_key(),
        flags in flags(),
        (generation, commit, at) in any::<(u64, u64, u64)>(),
        run in any::<[u8; 8]>(),
        merkle_root in hash(),
    ) -> (Signed<ReceiptRoot>, ReceiptRoot) {
        let node = NodeId(key.verifying_key().to_bytes());
        let root =
            ReceiptRoot { version: 1, flags, node, generation, run, commit, at, merkle_root };
        (sign(&root, &key), root)
    }
}

prop_compose! {
    pub(crate) fn prekey()(key in hash(), fallback in any::<bool>(), signature in array::<64>()) -> Prekey {
        Prekey { key, fallback, signature: signature.into_array() }
    }
}

prop_compose! {
    fn claimed()(device in any::<u8>(), prekey in prekey()) -> ClaimedPrekey {
        ClaimedPrekey { device, prekey }
    }
}

pub(crate) fn proof() -> BoxedStrategy<Proof> {
    (option::of(token()), option::of(invite()), option::of(handle()))
        .prop_map(|(token, invite, handle)| Proof { token, invite, handle })
        .boxed()
}

fn header(device: u8) -> BoxedStrategy<Header> {
    blob(512).prop_map(move |sealed| Header { device, sealed }).boxed()
}

prop_compose! {
    fn parcel()(
        account in account(),
        token in option::of(token()),
        tag in option::of(array()),
        label in option::of(array()),
        headers in prop::sample::subsequence((1u8..=255).collect::<Vec<_>>(), 1..=3)
            .prop_flat_map(|numbers| numbers.into_iter().map(header).collect::<Vec<_>>()),
    ) -> Parcel {
        Parcel { account, token, tag, label, headers }
    }
}

prop_compose! {
    /// One that passes every check that needs to know nobody.
    pub(crate) fn envelope()(
        flags in flags(),
        class in prop_oneof![Just(1u64), Just(3)],
        deadline in any::<u64>(),
        body in blob(4096),
        stamp in blob(64),
        routes in vec(
            (node(), vec(node(), 0..3), parcel())
                .prop_map(|(home, backups, parcel)| Route { home, backups, parcels: vec![parcel] }),
            1..=2,
        ),
    ) -> Envelope {
        let body_hash = Hash::of(&body);
        let mut routes = routes;
        for (index, parcel) in routes.iter_mut().flat_map(|r| &mut r.parcels).enumerate() {
            parcel.account.0[0] = index as u8;
            if class == 3 {
                (parcel.token, parcel.label) = (None, None);
            } else {
                parcel.tag = None;
                if parcel.label.is_some() {
                    parcel.token = None;
                } else {
                    parcel.token.get_or_insert(DeliveryToken([7; 16]));
                }
            }
        }
        Envelope { version: 1, flags, class, mode: 1, deadline, body_hash, body, stamp, routes }
    }
}

prop_compose! {
    pub(crate) fn item()(
        parcel in parcel_id(),
        (kind, role, copies, until) in any::<(u64, u64, u64, u64)>(),
        devices in option::of(hash()),
    ) -> ReceiptItem {
        ReceiptItem { parcel, kind, role, copies, until, devices }
    }
}

prop_compose! {
    pub(crate) fn step()(hash in hash(), left in any::<bool>()) -> Step {
        Step { hash, left }
    }
}

prop_compose! {
    pub(crate) fn receipt()(
        item in item(), path in vec(step(), 0..4), (root, _) in receipt_root(),
    ) -> Receipt {
        Receipt { item, path, root }
    }
}

prop_compose! {
    pub(crate) fn receipts()(
        entries in vec((item(), vec(step(), 0..4)), 1..4),
        path in vec(step(), 0..4),
        (root, _) in receipt_root(),
    ) -> Receipts {
        let entry = |(item, path)| ReceiptEntry { item, path };
        Receipts { entries: entries.into_iter().map(entry).collect(), path, root }
    }
}

prop_compose! {
    pub(crate) fn records()(
        (record, _) in account_record(),
        (devices, _) in device_list(),
        handle in option::of(handle_record().prop_map(|(signed, _)| signed)),
        fallback in vec(claimed(), 0..3),
    ) -> Records {
        Records { record, devices, handle, fallback }
    }
}

prop_compose! {
    pub(crate) fn token_entry()(
        hash in hash(),
        label in any::<[u8; 8]>(),
        (rate, byte_share, expires) in any::<(u64, u64, u64)>(),
    ) -> TokenEntry {
        TokenEntry { hash, label, rate, byte_share, expires }
    }
}

prop_compose! {
    pub(crate) fn invite_entry()(hash in hash(), (uses, expires) in any::<(u64, u64)>()) -> InviteEntry {
        InviteEntry { hash, uses, expires }
    }
}

prop_compose! {
    pub(crate) fn node_link()(
        name_of_network in "[a-z0-9.-]{1,64}",
        node in node(),
        addresses in vec(text(), 0..4),
        name in text(),
        p2p in vec(text(), 0..3),
    ) -> NodeLink {
        let network: Network = name_of_network.parse().expect("a network name");
        NodeLink { network, node, addresses, name, p2p }
    }
}

prop_compose! {
    pub(crate) fn join_link()(node in node_link(), code in option::of(invite())) -> JoinLink {
        JoinLink { node, code }
    }
}

prop_compose! {
    pub(crate) fn contact_link()(
        account in account(),
        home in node_link(),
        backups in vec(node(), 0..3),
        lookup_key in option::of(hash()),
        code in invite(),
        handle in text(),
    ) -> ContactLink {
        ContactLink { account, home, backups, lookup_key, code, handle }
    }
}
