//! At least one frame of every kind, with fixed keys: what the vectors are made of.

use postroad_proto::blob::Blob;
use postroad_proto::codec;
use postroad_proto::envelope::Attributes;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::*;
use postroad_proto::ids::ParcelId;
use postroad_proto::token::{InviteEntry, Proof};
use serde_bytes::ByteArray;

use super::samples::*;

/// At least one frame of every kind.
pub(crate) fn frames() -> Vec<(&'static str, Frame)> {
    [
        client_frames(),
        list_frames(),
        mail_frames(),
        rendezvous_frames(),
        vault_frames(),
        node_frames(),
        peer_frames(),
        table_frames(),
    ]
    .concat()
}

fn handle_proof() -> Proof {
    Proof { handle: Some("bob".parse().expect("a handle")), ..Proof::default() }
}

fn client_frames() -> Vec<(&'static str, Frame)> {
    vec![
        (
            "hello",
            Hello {
                versions: (1, 1),
                account: Some(alice()),
                device: 1,
                devices: Some(signed_device_list().hash()),
                cursor: 1000,
                quoted: vec![accepted().root, expired_receipt().root],
            }
            .into(),
        ),
        (
            "hello of a device that will register",
            Hello {
                versions: (1, 1),
                account: None,
                device: 1,
                devices: None,
                cursor: 0,
                quoted: vec![],
            }
            .into(),
        ),
        (
            "register",
            Register {
                request: 1,
                invite: Some(invite()),
                handle: Some("alice".parse().expect("a handle")),
                record: signed_account_record(),
                devices: signed_device_list(),
                proof: None,
            }
            .into(),
        ),
        (
            "register again at a node that lost the account",
            Register {
                request: 1,
                invite: None,
                handle: Some("alice".parse().expect("a handle")),
                record: signed_account_record(),
                devices: signed_device_list(),
                proof: Some(signed_handle_record()),
            }
            .into(),
        ),
        (
            "look up a handle",
            RecordsGet {
                request: 2,
                node: node(),
                account: None,
                handle: Some("bob".parse().expect("a handle")),
                proof: handle_proof(),
            }
            .into(),
        ),
        (
            "records of an account",
            RecordsGet {
                request: 3,
                node: node(),
                account: Some(bob()),
                handle: None,
                proof: Proof { token: Some(token()), ..Proof::default() },
            }
            .into(),
        ),
        (
            "put records",
            RecordsPut {
                request: 4,
                record: Some(signed_account_record()),
                devices: Some(signed_device_list()),
            }
            .into(),
        ),
        (
            "put prekeys",
            PrekeysPut { request: 5, one_time: vec![prekey(false)], fallback: Some(prekey(true)) }
                .into(),
        ),
        (
            "claim prekeys",
            PrekeysClaim {
                request: 6,
                node: node(),
                account: bob(),
                devices: vec![1, 2],
                proof: Proof { invite: Some(invite()), ..Proof::default() },
            }
            .into(),
        ),
    ]
}

fn list_frames() -> Vec<(&'static str, Frame)> {
    vec![
        ("put tokens", TokensPut { request: 7, tokens: vec![token_entry()] }.into()),
        ("drop tokens", TokensDrop { request: 8, hashes: vec![token().hash()] }.into()),
        ("list tokens", TokensList { request: 9 }.into()),
        (
            "redeem an invite",
            TokensRedeem {
                request: 10,
                node: node(),
                account: bob(),
                invite: invite(),
                token: token().hash(),
            }
            .into(),
        ),
        (
            "put invites",
            InvitesPut {
                request: 11,
                invites: vec![InviteEntry { hash: invite().hash(), uses: 1, expires: 0 }],
            }
            .into(),
        ),
        ("drop invites", InvitesDrop { request: 12, hashes: vec![invite().hash()] }.into()),
        (
            "settle a request",
            RequestsSettle {
                request: 13,
                origin: node(),
                tag: ByteArray::new([0x71; 16]),
                how: settle::ACCEPTED,
            }
            .into(),
        ),
    ]
}

fn mail_frames() -> Vec<(&'static str, Frame)> {
    vec![
        ("send", Send { number: 1, envelope: envelope() }.into()),
        ("send a request", Send { number: 2, envelope: request_envelope(None) }.into()),
        ("ack", Ack { generation: 1, ranges: vec![(1, 1000), (1002, 1002)] }.into()),
        ("credit", Credit { messages: 64, bytes: 1 << 20 }.into()),
        ("ping", Ping { request: 14 }.into()),
        ("put settings", SettingsPut { request: 15, lookups: false }.into()),
        ("locate", Locate { request: 16, parcels: vec![ParcelId([9; 16])] }.into()),
        ("typing", ephemeral_send().into()),
    ]
}

fn rendezvous_frames() -> Vec<(&'static str, Frame)> {
    let id = ByteArray::new([0x5e; 16]);
    let data = b"Noise, to the devices only".to_vec();
    vec![
        ("open a rendezvous", RendezvousOpen { request: 17, id, until: NOW + 600 }.into()),
        ("join a rendezvous", RendezvousJoin { request: 1, id, side: 2 }.into()),
        ("say something there", RendezvousSend { data: data.clone().into() }.into()),
        ("something was said there", RendezvousPush { data: data.into() }.into()),
        ("the other side is there", RendezvousPeer { here: true }.into()),
    ]
}

fn vault_frames() -> Vec<(&'static str, Frame)> {
    let data: Blob = b"sealed by the account's devices".to_vec().into();
    let (version, previous, part, parts) = (8, 7, 1, 2);
    let put = VaultPut { request: 18, version, previous, part, parts, data: data.clone() };
    let held = VaultState { version, parts };
    let got = VaultPart { version, parts, data };
    let conflict = Done {
        request: 18,
        code: Some(ErrorCode::Conflict),
        result: Some(codec::encode(&held).expect("encodes").into()),
        retry_after: 0,
        detail: "another vault is held".to_owned(),
    };
    let done = Done {
        request: 19,
        code: None,
        result: Some(codec::encode(&got).expect("encodes").into()),
        detail: String::new(),
        ..conflict.clone()
    };
    vec![
        ("put the last part of a vault", put.into()),
        ("get a part of a vault", VaultGet { request: 19, part: 1 }.into()),
        ("another vault is held", conflict.into()),
        ("a part of a vault", done.into()),
        ("delete the account", AccountDelete { request: 20, statement: signed_deletion() }.into()),
    ]
}

fn ephemeral_send() -> EphemeralSend {
    let sealed = sealed_ephemeral().into();
    EphemeralSend { node: node(), account: alice(), token: token(), sealed }
}

fn node_frames() -> Vec<(&'static str, Frame)> {
    let label = ByteArray::new(*b"contact1");
    let typing = EphemeralPush { label, sealed: sealed_ephemeral().into() };
    let push = Push {
        seq: 1001,
        attributes: attributes(),
        label: Some(ByteArray::new(*b"contact1")),
        origin: None,
        tag: None,
        body_hash: envelope().body_hash,
        header: Some(vec![0xe1; 300].into()),
        body: envelope().body,
    };
    let request = Push {
        attributes: Attributes { class: 3, ..attributes() },
        label: None,
        origin: Some(node()),
        tag: Some(ByteArray::new([0x71; 16])),
        ..push.clone()
    };
    let notice =
        Notice { seq: 1002, receipts: Some(some_receipts()), refused: None, generation: None };
    let refused = LateRefusal {
        parcel: ParcelId([9; 16]),
        node: other_node(),
        code: ErrorCode::Denied,
        detail: String::new(),
        record: None,
        records: None,
    };
    let moved = LateRefusal {
        node: node(),
        code: ErrorCode::Moved,
        detail: "the account has another home".to_owned(),
        record: Some(moved_record()),
        ..refused.clone()
    };
    let stale =
        LateRefusal { code: ErrorCode::StaleDevices, records: Some(records()), ..refused.clone() };
    let late = |seq: u64, refused: LateRefusal| -> Frame {
        Notice { seq, receipts: None, refused: Some(refused), generation: None }.into()
    };
    let news = Notice { seq: 0, receipts: None, refused: None, generation: Some((node(), 2)) };
    [
        session_frames(),
        vec![
            ("accepted", accepted().into()),
            ("push", push.into()),
            ("push of a request", request.into()),
            ("notice of a receipt", notice.into()),
            ("notice of a refusal", late(1003, refused)),
            ("notice of a move", late(1004, moved)),
            ("notice of a stale device list", late(1005, stale)),
            ("notice of a generation", news.into()),
            (
                "waiting",
                Waiting {
                    parcel: ParcelId([9; 16]),
                    node: node(),
                    since: NOW * 1000,
                    reason: "connection refused".to_owned(),
                    next_try: NOW * 1000 + 60_000,
                }
                .into(),
            ),
            ("typing seen", typing.into()),
        ],
    ]
    .concat()
}

fn session_frames() -> Vec<(&'static str, Frame)> {
    let limits = NodeLimits {
        max_body: 65_536,
        max_deadline: 30 * DAY,
        mailbox_messages: 20_000,
        mailbox_bytes: 256 << 20,
        in_flight: 256,
    };
    let welcome = Welcome {
        version: 1,
        generation: 1,
        run: ByteArray::new(*b"run-0001"),
        limits,
        time: NOW * 1000,
        registered: true,
        one_time_keys: 87,
        record: Some(signed_account_record()),
        delete_at: None,
    };
    let stranger = Welcome { registered: false, one_time_keys: 0, record: None, ..welcome.clone() };
    let leaving = Welcome { delete_at: Some(deletion().delete_at), ..welcome.clone() };
    let count = codec::encode(&Count { count: 88 }).expect("encodes");
    let failed = Done {
        request: 2,
        code: Some(ErrorCode::Rate),
        result: None,
        retry_after: 30,
        detail: "600 look-ups per hour".to_owned(),
    };
    let done = Done {
        request: 5,
        code: None,
        result: Some(count.into()),
        retry_after: 0,
        detail: String::new(),
    };
    let refused = Refused {
        number: 1,
        account: Some(bob()),
        code: ErrorCode::StaleDevices,
        retriable: false,
        retry_after: 0,
        detail: String::new(),
        records: Some(records()),
    };
    let all = Refused {
        account: None,
        code: ErrorCode::NoSpace,
        retriable: true,
        retry_after: 60,
        records: None,
        ..refused.clone()
    };
    vec![
        ("welcome", welcome.into()),
        ("welcome of an unregistered device", stranger.into()),
        ("welcome while a deletion is pending", leaving.into()),
        ("done", done.into()),
        ("failed", failed.into()),
        ("refused parcel", refused.into()),
        ("refused envelope", all.into()),
    ]
}

fn peer_frames() -> Vec<(&'static str, Frame)> {
    let open = MailOpen {
        versions: (1, 1),
        generation: 1,
        run: ByteArray::new(*b"run-0001"),
        quoted: Some(expired_receipt().root),
    };
    let opened = MailOpened {
        version: 1,
        generation: 3,
        run: ByteArray::new(*b"run-0009"),
        quoted: Some(accepted().root),
    };
    let first = MailOpen { quoted: None, ..open.clone() };
    let Accepted { items, path, root, .. } = accepted();
    let refused = RefusedParcel {
        envelope: 3,
        account: Some(bob()),
        code: ErrorCode::Quota,
        retriable: true,
        retry_after: 300,
        detail: "the mailbox is full".to_owned(),
        record: None,
        records: None,
    };
    let moved = RefusedParcel {
        envelope: 4,
        account: Some(alice()),
        code: ErrorCode::Moved,
        retriable: false,
        retry_after: 0,
        detail: String::new(),
        record: Some(moved_record()),
        records: None,
    };
    let stale = RefusedParcel {
        envelope: 5,
        code: ErrorCode::StaleDevices,
        record: None,
        records: Some(records()),
        ..moved.clone()
    };
    let whole =
        RefusedParcel { envelope: 6, account: None, code: ErrorCode::Expired, ..stale.clone() };
    let whole = RefusedParcel { records: None, ..whole };
    let reply =
        BatchReply { number: 1, items, path, root: Some(root), refused: vec![refused, moved] };
    let nothing = BatchReply {
        number: 2,
        items: vec![],
        path: vec![],
        root: None,
        refused: vec![stale, whole],
    };
    let mut request = request_envelope(Some([0x71; 16]));
    request.stamp = forwarded_envelope().stamp;
    request.routes[0].home = other_node();
    let batch = Batch { number: 1, envelopes: vec![forwarded_envelope(), request] };
    let late = Late { stamp: forwarded_envelope().stamp, receipt: expired_receipt() };
    vec![
        ("open a mail stream", open.into()),
        ("open a mail stream for the first time", first.into()),
        ("mail stream opened", opened.into()),
        ("batch of a message and a request", batch.into()),
        ("reply to a batch", reply.into()),
        ("reply to a batch of which nothing was taken", nothing.into()),
        ("late", late.into()),
    ]
}

fn table_frames() -> Vec<(&'static str, Frame)> {
    let digest = NodesDigest { request: 1, root: digest_root(), own: Some(signed_node_record()) };
    let again = NodesDigest { own: None, ..digest.clone() };
    let buckets = vec![0x00, 0x2a, 0xff];
    let prefixes = [[0x2a; 8], [0xff; 8]].concat();
    vec![
        ("digest at connecting", digest.into()),
        ("digest", again.into()),
        ("list of buckets", NodesList { request: 2, buckets: buckets.into() }.into()),
        ("get records", NodesGet { request: 3, nodes: prefixes.into() }.into()),
    ]
}
