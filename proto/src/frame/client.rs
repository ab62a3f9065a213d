//! What a client says to its home. `spec/client.md` is the normative text.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use super::frames;
use crate::blob::Blob;
use crate::envelope::Envelope;
use crate::ids::{AccountId, DeviceNumber, Hash, NodeId, ParcelId};
use crate::prekey::Prekey;
use crate::receipt::ReceiptRoot;
use crate::record::{AccountRecord, Deletion, DeviceList, Handle, HandleRecord};
use crate::signed::Signed;
use crate::token::{DeliveryToken, InviteCode, InviteEntry, Proof, TokenEntry};

frames! {
    /// Client: who it is and what it has. The first frame. Answered by [`Welcome`] or [`Done`].
    Hello = 1 {
        /// Lowest and highest protocol version it speaks.
        versions: (u64, u64),
        /// Its account, unless it is about to register.
        account: Option<AccountId>,
        /// Its device number; its Noise key must be that device's.
        device: DeviceNumber,
        /// Hash of the device list it knows.
        devices: Option<Hash>,
        /// Mailbox items up to this number are in its database.
        cursor: u64,
        /// The highest receipt it holds of each of up to 64 nodes, its home among them.
        quoted: Vec<Signed<ReceiptRoot>>,
    }
    /// Client: makes an account here. Result: [`Registered`].
    Register = 2 {
        /// Ties the answer to it.
        request: u64,
        /// The node's invite, unless the node is open.
        invite: Option<InviteCode>,
        /// The handle wanted.
        handle: Option<Handle>,
        /// Names this node as home.
        record: Signed<AccountRecord>,
        /// Lists the device with this connection's Noise key.
        devices: Signed<DeviceList>,
        /// Proves, in place of an invite, a registration that the node lost.
        proof: Option<Signed<HandleRecord>>,
    }
    /// Client: asks for somebody's records. Result: [`Records`].
    RecordsGet = 3 {
        /// Ties the answer to it.
        request: u64,
        /// The node to ask: its home, or another that the home asks for it.
        node: NodeId,
        /// By account, with a token or invite as proof.
        account: Option<AccountId>,
        /// By handle, which is its own proof.
        handle: Option<Handle>,
        /// Why it may ask.
        proof: Proof,
    }
    /// Client: replaces its own records. Result: nothing.
    RecordsPut = 4 {
        /// Ties the answer to it.
        request: u64,
        /// The new record.
        record: Option<Signed<AccountRecord>>,
        /// The new device list; needs a record that names its hash.
        devices: Option<Signed<DeviceList>>,
    }
    /// Client: adds prekeys of its own device. Result: [`Count`] of one-time keys held.
    PrekeysPut = 5 {
        /// Ties the answer to it.
        request: u64,
        /// One-time keys.
        one_time: Vec<Prekey>,
        /// Replaces the fallback key.
        fallback: Option<Prekey>,
    }
    /// Client: takes one prekey per device. Result: [`Claimed`].
    PrekeysClaim = 6 {
        /// Ties the answer to it.
        request: u64,
        /// The account's home; the client's own home relays to another.
        node: NodeId,
        /// Whose prekeys.
        account: AccountId,
        /// Of which devices.
        devices: Vec<DeviceNumber>,
        /// Token or invite: one-time keys. A handle gets the fallback keys only.
        proof: Proof,
    }
    /// Client: registers delivery tokens that it gives to contacts. Result: nothing.
    TokensPut = 7 {
        /// Ties the answer to it.
        request: u64,
        /// The same one again is success.
        tokens: Vec<TokenEntry>,
    }
    /// Client: drops delivery tokens, which blocks their holders. Result: nothing.
    TokensDrop = 8 {
        /// Ties the answer to it.
        request: u64,
        /// Unknown ones are passed over.
        hashes: Vec<Hash>,
    }
    /// Client: asks for its tokens. Result: [`Tokens`].
    TokensList = 9 {
        /// Ties the answer to it.
        request: u64,
    }
    /// Client: turns a contact's invite into a token of its own choice. Result: [`Records`].
    TokensRedeem = 10 {
        /// Ties the answer to it.
        request: u64,
        /// The contact's home; the client's own home relays to another.
        node: NodeId,
        /// The contact.
        account: AccountId,
        /// The invite.
        invite: InviteCode,
        /// The token's hash. The same one again is success.
        token: Hash,
    }
    /// Client: registers contact invites. Result: nothing.
    InvitesPut = 11 {
        /// Ties the answer to it.
        request: u64,
        /// The same one again is success and keeps its count.
        invites: Vec<InviteEntry>,
    }
    /// Client: takes contact invites back. Result: nothing.
    InvitesDrop = 12 {
        /// Ties the answer to it.
        request: u64,
        /// Unknown ones are passed over.
        hashes: Vec<Hash>,
    }
    /// Client: settles a stranger's request. Result: nothing.
    RequestsSettle = 13 {
        /// Ties the answer to it.
        request: u64,
        /// As pushed.
        origin: NodeId,
        /// As pushed.
        tag: ByteArray<16>,
        /// 1 accepted, 2 ignored, 3 blocked.
        how: u64,
    }
    /// Client: hands over an envelope. Answered by [`Accepted`] and [`Refused`].
    Send = 14 {
        /// Ties the answer to it.
        number: u64,
        /// With every route.
        envelope: Envelope,
    }
    /// Client: mailbox items that are in its database.
    Ack = 15 {
        /// The node's generation that numbered them.
        generation: u64,
        /// Inclusive ranges, rising and apart; at most 256.
        ranges: Vec<(u64, u64)>,
    }
    /// Client: how much more may be pushed to it.
    Credit = 16 {
        /// Items, added to what is left.
        messages: u64,
        /// Bytes of header and body, added to what is left.
        bytes: u64,
    }
    /// Client: are you there? Result: nothing.
    Ping = 17 {
        /// Ties the answer to it.
        request: u64,
    }
    /// Client: how strangers may reach it. Result: nothing.
    SettingsPut = 18 {
        /// Ties the answer to it.
        request: u64,
        /// Whether its handle can be looked up, and so requests come in.
        lookups: bool,
    }
    /// Client: where are these parcels? Answered by a [`Waiting`](super::Waiting) for each that
    /// waits here for another node, then by `Done` without a result.
    Locate = 19 {
        /// Ties the answer to it.
        request: u64,
        /// At most 256.
        parcels: Vec<ParcelId>,
    }
    /// Client, and opener of a mail stream: a sign of typing or presence. Neither kept nor answered.
    EphemeralSend = 20 {
        /// The recipient's home.
        node: NodeId,
        /// The recipient.
        account: AccountId,
        /// A delivery token of the recipient.
        token: DeliveryToken,
        /// At most 256 bytes.
        sealed: Blob,
    }
    /// Client: two devices may meet here, and talk through the node. Result: nothing.
    RendezvousOpen = 21 {
        /// Ties the answer to it.
        request: u64,
        /// Random. The same one again moves its end.
        id: ByteArray<16>,
        /// When it ends, seconds since the Unix epoch; at most a day ahead. In the past: now.
        until: u64,
    }
    /// Client, in a session without a device: takes one side of a rendezvous. Result: nothing.
    RendezvousJoin = 22 {
        /// Ties the answer to it.
        request: u64,
        /// As opened.
        id: ByteArray<16>,
        /// 1 whoever opened it, 2 the other.
        side: u64,
    }
    /// Guest of a rendezvous: bytes for the other side. Neither kept nor answered.
    RendezvousSend = 23 {
        /// At most 65,536 bytes; nothing to the node.
        data: Blob,
    }
    /// Client: one part of the account's vault. Result: nothing; with CONFLICT [`VaultState`].
    VaultPut = 24 {
        /// Ties the answer to it.
        request: u64,
        /// The vault's, higher than that of the one that is held.
        version: u64,
        /// Version of the vault that it replaces; 0 for none.
        previous: u64,
        /// Which part, from 0, in order.
        part: u64,
        /// How many there are, at most 32.
        parts: u64,
        /// At most 32,768 bytes; nothing to the node.
        data: Blob,
    }
    /// Client: asks for one part of its vault. Result: [`VaultPart`].
    VaultGet = 25 {
        /// Ties the answer to it.
        request: u64,
        /// Which part, from 0.
        part: u64,
    }
    /// Client: its account is to be deleted here, or is not. Result: nothing; with CONFLICT the
    /// `Signed<Deletion>` that is held.
    AccountDelete = 26 {
        /// Ties the answer to it.
        request: u64,
        /// Names this node. The later statement counts.
        statement: Signed<Deletion>,
    }
}
