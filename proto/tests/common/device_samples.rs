//! What an account's own devices tell each other.

use postroad_proto::backup::{BackupAccount, BackupEnd, BackupHead, BackupInvite, Record};
use postroad_proto::content::kind;
use postroad_proto::ids::{Hash, MessageId};
use postroad_proto::linking::{
    Got, Grant, LinkMessage, LinkSecret, NewDevice, Portion, Refusal, SharedSecret,
};
use postroad_proto::recovery::{Vault, VaultInvite, VaultKey};
use postroad_proto::sync::{
    Copy, Entry, Item, OwnDeletion, OwnRecords, Person, Place, Progress, Sync, Want, phase, state,
};
use serde_bytes::ByteArray;

use super::samples::*;

pub(crate) fn entry() -> Entry {
    let key = format!("name {}", bob());
    Entry { key, value: b"Bob".to_vec().into(), at: NOW * 1000, device: 2 }
}

pub(crate) fn person() -> Person {
    Person {
        account: bob(),
        name: "bob".to_owned(),
        phase: phase::READY,
        home: "postroad:node#AQ".to_owned(),
        handle: "bob@post.example".to_owned(),
        handle_proven: true,
        invite: None,
        token: Some(ByteArray::new(token().0)),
        record: Some(signed_account_record()),
        devices: Some(signed_device_list()),
        handle_record: None,
        sends_receipts: true,
        ephemeral: Some(ByteArray::new(ephemeral_secret().0)),
        token_number: 3,
        token_floor: 2,
        token_at: NOW * 1000,
        token_label: Some(ByteArray::new([4; 8])),
        chosen_label: None,
        request: Some((node(), ByteArray::new([5; 16]))),
        timer: 3600,
        timer_at: NOW * 1000,
        timer_by: Some(MessageId([6; 16])),
        since: NOW * 1000,
    }
}

pub(crate) fn copy() -> Copy {
    let text = postroad_proto::codec::encode(&reply()).expect("encodes");
    Copy {
        with: bob(),
        account: alice(),
        device: 1,
        seq: Some(7),
        id: MessageId([7; 16]),
        kind: kind::TEXT,
        content: text.into(),
        sent_at: NOW * 1000,
        received_at: None,
        deadline: NOW + 86_400,
        state: state::ACCEPTED,
        reason: "it waits".to_owned(),
        shown: false,
        deleted: false,
        vanish_at: Some(NOW * 1000 + 1),
        queued: Some(vec![1, 2, 3].into()),
    }
}

pub(crate) fn progress() -> Progress {
    Progress { id: MessageId([7; 16]), state: state::AT_NODE, reason: String::new() }
}

pub(crate) fn place() -> Place {
    Place { with: bob(), device: 2, received: vec![(1, 4), (6, 9)], lost: vec![(5, 5)] }
}

pub(crate) fn own_records() -> OwnRecords {
    let (record, devices) = (signed_account_record(), signed_device_list());
    OwnRecords { record, devices, vault: Some(vault_key()), stewards: None }
}

pub(crate) fn vault_key() -> VaultKey {
    VaultKey::derive(&[7; 32], 1)
}

pub(crate) fn vault() -> Vault {
    let invite = VaultInvite { code: ByteArray::new(invite().0), uses: 0, expires: 0 };
    Vault {
        tokens: SharedSecret([5; 32]),
        last_device: 3,
        invites: vec![invite],
        told: vec![sync()],
    }
}

pub(crate) fn own_deletion() -> OwnDeletion {
    OwnDeletion { statement: signed_deletion() }
}

pub(crate) fn want() -> Want {
    Want { with: bob(), device: 2, ranges: vec![(5, 5)] }
}

pub(crate) fn sync() -> Sync {
    let items = vec![
        Item::new(&entry()).expect("encodes"),
        Item::new(&progress()).expect("encodes"),
        Item { kind: 99, body: vec![0xa0].into() },
    ];
    Sync { items }
}

pub(crate) fn link_secret() -> LinkSecret {
    LinkSecret([0x4c; 32])
}

/// One of each number.
pub(crate) fn link_messages() -> Vec<LinkMessage> {
    let new = NewDevice {
        noise: Hash([1; 32]),
        seal: Hash([2; 32]),
        olm_identity: Hash([3; 32]),
        olm_signing: Hash([4; 32]),
        olm_version: 1,
        name: "laptop".to_owned(),
    };
    let grant = Grant {
        account: alice(),
        device: 2,
        home: "postroad:node#AQ".to_owned(),
        record: signed_account_record(),
        devices: signed_device_list(),
        handle: Some(signed_handle_record()),
        tokens: SharedSecret([5; 32]),
        invite: Some(ByteArray::new(invite().0)),
        vault: vault_key(),
        steward: None,
    };
    let portion = Portion { number: 1, done: 1, all: 2, last: false, items: sync().items };
    vec![
        LinkMessage::NewDevice(new),
        LinkMessage::Grant(Box::new(grant)),
        LinkMessage::Portion(portion),
        LinkMessage::Got(Got { number: 1 }),
        LinkMessage::Refusal(Refusal { reason: "it was used already".to_owned() }),
    ]
}

/// The records of a small backup, in order.
pub(crate) fn backup() -> Vec<Record> {
    let head = BackupHead {
        id: ByteArray::new([8; 16]),
        account: alice(),
        network: network(),
        device: 2,
        device_name: "laptop".to_owned(),
        made: NOW * 1000,
        records: 6,
        messages: 1,
    };
    let own = BackupInvite { code: ByteArray::new(invite().0), uses: 0, expires: 0, made: NOW };
    let account = BackupAccount {
        home: "postroad:node#AQ".to_owned(),
        record: signed_account_record(),
        devices: signed_device_list(),
        handle: None,
        seed: Some(SharedSecret([9; 32])),
        tokens: SharedSecret([5; 32]),
        invites: vec![own],
        last_device: 3,
    };
    let end = BackupEnd { records: 5, people: 1, entries: 1, messages: 1 };
    vec![
        Record::Head(head),
        Record::Account(Box::new(account)),
        Record::Item(Item::new(&person()).expect("encodes")),
        Record::Item(Item::new(&entry()).expect("encodes")),
        Record::Item(Item::new(&copy()).expect("encodes")),
        Record::End(end),
    ]
}
