//! Any frame, for properties.

use postroad_proto::envelope::Attributes;
use postroad_proto::frame::*;
use postroad_proto::receipt::ReceiptRoot;
use postroad_proto::record::{AccountRecord, DeviceList, HandleRecord, NodeRecord};
use postroad_proto::signed::Signed;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::arbitrary::*;

/// A frame of any kind.
pub(crate) fn frame() -> BoxedStrategy<Frame> {
    prop_oneof![20 => client_frame(), 8 => node_frame(), 8 => peer_frame()].boxed()
}

fn signed_root() -> BoxedStrategy<Signed<ReceiptRoot>> {
    receipt_root().prop_map(|(signed, _)| signed).boxed()
}

fn signed_handle() -> BoxedStrategy<Signed<HandleRecord>> {
    handle_record().prop_map(|(signed, _)| signed).boxed()
}

fn signed_node() -> BoxedStrategy<Signed<NodeRecord>> {
    node_record().prop_map(|(signed, _)| signed).boxed()
}

fn signed_record() -> BoxedStrategy<Signed<AccountRecord>> {
    account_record().prop_map(|(signed, _)| signed).boxed()
}

fn signed_list() -> BoxedStrategy<Signed<DeviceList>> {
    device_list().prop_map(|(signed, _)| signed).boxed()
}

fn client_frame() -> BoxedStrategy<Frame> {
    prop_oneof![
        account_frame(),
        prekey_frame(),
        list_frame(),
        mail_frame(),
        rendezvous_frame(),
        vault_frame()
    ]
    .boxed()
}

fn account_frame() -> BoxedStrategy<Frame> {
    let n = any::<u64>;
    let hello = (
        (n(), n()),
        option::of(account()),
        any::<u8>(),
        option::of(hash()),
        n(),
        vec(signed_root(), 0..3),
    );
    let register = (
        n(),
        option::of(invite()),
        option::of(handle()),
        signed_record(),
        signed_list(),
        option::of(signed_handle()),
    );
    prop_oneof![
        hello.prop_map(|(versions, account, device, devices, cursor, quoted)| {
            Hello { versions, account, device, devices, cursor, quoted }.into()
        }),
        register.prop_map(|(request, invite, handle, record, devices, proof)| {
            Register { request, invite, handle, record, devices, proof }.into()
        }),
        (n(), node(), option::of(account()), option::of(handle()), proof()).prop_map(
            |(request, node, account, handle, proof)| {
                RecordsGet { request, node, account, handle, proof }.into()
            }
        ),
        (n(), option::of(signed_record()), option::of(signed_list()))
            .prop_map(|(request, record, devices)| RecordsPut { request, record, devices }.into()),
    ]
    .boxed()
}

fn prekey_frame() -> BoxedStrategy<Frame> {
    let n = any::<u64>;
    prop_oneof![
        (n(), vec(prekey(), 0..4), option::of(prekey())).prop_map(
            |(request, one_time, fallback)| PrekeysPut { request, one_time, fallback }.into()
        ),
        (n(), node(), account(), vec(any::<u8>(), 0..9), proof()).prop_map(
            |(request, node, account, devices, proof)| {
                PrekeysClaim { request, node, account, devices, proof }.into()
            }
        ),
        (n(), node(), account(), invite(), hash()).prop_map(
            |(request, node, account, invite, token)| {
                TokensRedeem { request, node, account, invite, token }.into()
            }
        ),
        (n(), node(), array(), n()).prop_map(|(request, origin, tag, how)| {
            RequestsSettle { request, origin, tag, how }.into()
        }),
    ]
    .boxed()
}

fn list_frame() -> BoxedStrategy<Frame> {
    let n = any::<u64>;
    prop_oneof![
        (n(), vec(token_entry(), 0..4))
            .prop_map(|(request, tokens)| TokensPut { request, tokens }.into()),
        (n(), vec(hash(), 0..4))
            .prop_map(|(request, hashes)| TokensDrop { request, hashes }.into()),
        n().prop_map(|request| TokensList { request }.into()),
        (n(), vec(invite_entry(), 0..4)).prop_map(|(request, invites)| InvitesPut {
            request,
            invites
        }
        .into()),
        (n(), vec(hash(), 0..4))
            .prop_map(|(request, hashes)| InvitesDrop { request, hashes }.into()),
    ]
    .boxed()
}

fn mail_frame() -> BoxedStrategy<Frame> {
    let n = any::<u64>;
    prop_oneof![
        (n(), envelope()).prop_map(|(number, envelope)| Send { number, envelope }.into()),
        (n(), ranges()).prop_map(|(generation, ranges)| Ack { generation, ranges }.into()),
        (n(), n()).prop_map(|(messages, bytes)| Credit { messages, bytes }.into()),
        n().prop_map(|request| Ping { request }.into()),
        (n(), any::<bool>()).prop_map(|(request, lookups)| SettingsPut { request, lookups }.into()),
        (n(), vec(parcel_id(), 0..4))
            .prop_map(|(request, parcels)| Locate { request, parcels }.into()),
        (node(), account(), token(), blob(300)).prop_map(|(node, account, token, sealed)| {
            EphemeralSend { node, account, token, sealed }.into()
        }),
    ]
    .boxed()
}

fn rendezvous_frame() -> BoxedStrategy<Frame> {
    let n = any::<u64>;
    prop_oneof![
        (n(), array(), n())
            .prop_map(|(request, id, until)| RendezvousOpen { request, id, until }.into()),
        (n(), array(), n())
            .prop_map(|(request, id, side)| RendezvousJoin { request, id, side }.into()),
        blob(2048).prop_map(|data| RendezvousSend { data }.into()),
    ]
    .boxed()
}

fn vault_frame() -> BoxedStrategy<Frame> {
    let n = any::<u64>;
    prop_oneof![
        (any::<[u64; 5]>(), blob(2048)).prop_map(
            |([request, version, previous, part, parts], data)| {
                VaultPut { request, version, previous, part, parts, data }.into()
            }
        ),
        (n(), n()).prop_map(|(request, part)| VaultGet { request, part }.into()),
        (n(), deletion())
            .prop_map(|(request, (statement, _))| { AccountDelete { request, statement }.into() }),
    ]
    .boxed()
}

fn node_frame() -> BoxedStrategy<Frame> {
    prop_oneof![answer_frame(), delivery_frame()].boxed()
}

fn answer_frame() -> BoxedStrategy<Frame> {
    let n = any::<u64>;
    let limits = any::<[u64; 5]>().prop_map(
        |[max_body, max_deadline, mailbox_messages, mailbox_bytes, in_flight]| NodeLimits {
            max_body,
            max_deadline,
            mailbox_messages,
            mailbox_bytes,
            in_flight,
        },
    );
    let record = (option::of(signed_record()), option::of(n()));
    let welcome = (n(), n(), array(), limits, n(), any::<bool>(), n(), record);
    let refused = (
        n(),
        option::of(account()),
        error_code(),
        any::<bool>(),
        n(),
        text(),
        option::of(records()),
    );
    prop_oneof![
        welcome.prop_map(
            |(version, generation, run, limits, time, registered, one_time_keys, record)| {
                let (record, delete_at) = record;
                Welcome {
                    version,
                    generation,
                    run,
                    limits,
                    time,
                    registered,
                    one_time_keys,
                    record,
                    delete_at,
                }
                .into()
            }
        ),
        (n(), option::of(error_code()), option::of(blob(99)), n(), text()).prop_map(
            |(request, code, result, retry_after, detail)| {
                Done { request, code, result, retry_after, detail }.into()
            }
        ),
        refused.prop_map(|(number, account, code, retriable, retry_after, detail, records)| {
            Refused { number, account, code, retriable, retry_after, detail, records }.into()
        }),
        (vec(n(), 0..4), vec(item(), 0..4), vec(step(), 0..4), receipt_root()).prop_map(
            |(numbers, items, path, (root, _))| Accepted { numbers, items, path, root }.into()
        ),
    ]
    .boxed()
}

fn delivery_frame() -> BoxedStrategy<Frame> {
    let n = any::<u64>;
    let attributes = any::<[u64; 5]>().prop_map(|[version, flags, class, mode, deadline]| {
        Attributes { version, flags, class, mode, deadline }
    });
    let push = (
        n(),
        attributes,
        option::of(array()),
        option::of(node()),
        option::of(array()),
        hash(),
        option::of(blob(512)),
        blob(2048),
    );
    let late = (
        parcel_id(),
        node(),
        error_code(),
        text(),
        option::of(signed_record()),
        option::of(records()),
    )
        .prop_map(|(parcel, node, code, detail, record, records)| LateRefusal {
            parcel,
            node,
            code,
            detail,
            record,
            records,
        });
    prop_oneof![
        push.prop_map(|(seq, attributes, label, origin, tag, body_hash, header, body)| {
            Push { seq, attributes, label, origin, tag, body_hash, header, body }.into()
        }),
        (n(), option::of(receipts()), option::of(late), option::of((node(), n()))).prop_map(
            |(seq, receipts, refused, generation)| {
                Notice { seq, receipts, refused, generation }.into()
            }
        ),
        (parcel_id(), node(), n(), text(), n()).prop_map(
            |(parcel, node, since, reason, next_try)| {
                Waiting { parcel, node, since, reason, next_try }.into()
            }
        ),
        (array(), blob(300)).prop_map(|(label, sealed)| EphemeralPush { label, sealed }.into()),
        blob(2048).prop_map(|data| RendezvousPush { data }.into()),
        any::<bool>().prop_map(|here| RendezvousPeer { here }.into()),
    ]
    .boxed()
}

fn peer_frame() -> BoxedStrategy<Frame> {
    prop_oneof![stream_frame(), table_frame()].boxed()
}

prop_compose! {
    fn refused_parcel()(
        (envelope, retry_after, retriable) in any::<(u64, u64, bool)>(),
        account in option::of(account()),
        code in error_code(),
        detail in text(),
        record in option::of(signed_record()),
        records in option::of(records()),
    ) -> RefusedParcel {
        RefusedParcel { envelope, account, code, retriable, retry_after, detail, record, records }
    }
}

fn stream_frame() -> BoxedStrategy<Frame> {
    let n = any::<u64>;
    let reply = (
        n(),
        vec(item(), 0..4),
        vec(step(), 0..4),
        option::of(signed_root()),
        vec(refused_parcel(), 0..3),
    );
    prop_oneof![
        ((n(), n()), n(), array(), option::of(signed_root())).prop_map(
            |(versions, generation, run, quoted)| {
                MailOpen { versions, generation, run, quoted }.into()
            }
        ),
        (n(), n(), array(), option::of(signed_root())).prop_map(
            |(version, generation, run, quoted)| {
                MailOpened { version, generation, run, quoted }.into()
            }
        ),
        (n(), vec(envelope(), 0..3))
            .prop_map(|(number, envelopes)| Batch { number, envelopes }.into()),
        reply.prop_map(|(number, items, path, root, refused)| {
            BatchReply { number, items, path, root, refused }.into()
        }),
        (blob(64), receipt()).prop_map(|(stamp, receipt)| Late { stamp, receipt }.into()),
    ]
    .boxed()
}

fn table_frame() -> BoxedStrategy<Frame> {
    let n = any::<u64>;
    prop_oneof![
        (n(), hash(), option::of(signed_node())).prop_map(|(request, root, own)| NodesDigest {
            request,
            root,
            own
        }
        .into()),
        (n(), blob(256)).prop_map(|(request, buckets)| NodesList { request, buckets }.into()),
        (n(), blob(512)).prop_map(|(request, nodes)| NodesGet { request, nodes }.into()),
    ]
    .boxed()
}
