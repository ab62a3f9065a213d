//! Every limit of the protocol, with its unit and its reason. `spec/limits.md` repeats them; a test
//! keeps the two in step.

/// Sealed body of an envelope, bytes. A text with room to spare; larger things are attachments.
pub const MAX_BODY: usize = 64 * 1024;
/// Sealed body of a stranger's request, bytes: enough to introduce oneself with a card.
pub const MAX_REQUEST_BODY: usize = 4 * 1024;
/// A frame, bytes, its kind included: an envelope with the largest body and 1,024 parcels' headers
/// does not fit, one with the largest body and both accounts' devices does.
pub const MAX_FRAME: usize = 128 * 1024;
/// A sealed header, bytes: HPKE around an Olm prekey message that carries 64 bytes.
pub const MAX_HEADER: usize = 512;
/// Devices of one account: bounds what a sender must encrypt for one recipient.
pub const MAX_DEVICES: usize = 8;
/// Parcels of a keyed envelope: a large group fits one envelope per node.
pub const MAX_KEYED_PARCELS: usize = 1024;
/// Parcels of a pair envelope: the recipient and one's own other devices.
pub const MAX_PAIR_PARCELS: usize = 2;
/// Routes of an envelope: as many nodes as parcels could have.
pub const MAX_ROUTES: usize = 1024;
/// Backups of an account: the third copy is the sender's.
pub const MAX_BACKUPS: usize = 2;
/// A signed `AccountRecord`, bytes: it rides in messages and fits a DHT value. Two backups, two hints
/// of 100 bytes and a steward's certificate fit.
pub const MAX_ACCOUNT_RECORD: usize = 700;
/// A signed `StewardCert`, bytes: it has about 100, and rides in a record.
pub const MAX_STEWARD_CERT: usize = 200;
/// A signed `NodeRecord`, bytes: every node keeps every other node's.
pub const MAX_NODE_RECORD: usize = 1024;
/// A signed `DeviceList`, bytes: eight devices of about 200 bytes.
pub const MAX_DEVICE_LIST: usize = 2560;
/// A handle's local part, bytes.
pub const MAX_HANDLE: usize = 64;
/// A node's name, bytes: the longest DNS name.
pub const MAX_NODE_NAME: usize = 253;
/// A network's name, bytes.
pub const MAX_NETWORK_NAME: usize = 64;
/// Nesting of a CBOR item: our deepest structure has seven levels.
pub const MAX_DEPTH: usize = 16;
/// Elements of one CBOR array or map.
pub const MAX_ELEMENTS: usize = 4096;
/// Bytes of free text in an error's detail.
pub const MAX_DETAIL: usize = 512;
/// One-time keys of one device kept at its home: a hundred first contacts while it is away.
pub const MAX_ONE_TIME_KEYS: usize = 100;
/// Entries in one list-valued request (tokens, invites, prekeys, ack ranges).
pub const MAX_LIST: usize = 256;
/// Quoted receipts in a `Hello`.
pub const MAX_QUOTED: usize = 64;
/// Requests of one session that may be unanswered, and envelopes not yet settled.
pub const MAX_IN_FLIGHT: usize = 256;
/// Seconds a handshake may take, plain hello to third Noise message.
pub const HANDSHAKE_SECONDS: u64 = 5;
/// Messages on a Noise channel, per direction, after which its key is renewed.
pub const REKEY_AFTER: u64 = 65_536;
/// Longest deadline a node accepts by default, seconds: 30 days.
pub const MAX_DEADLINE_SECONDS: u64 = 30 * 86_400;
/// How far clocks may differ, seconds: expiry waits this long after the deadline.
pub const CLOCK_ALLOWANCE_SECONDS: u64 = 600;
/// Validity of a `NodeRecord`, seconds: refreshed daily, gone after a week of silence.
pub const NODE_RECORD_SECONDS: u64 = 7 * 86_400;
/// Validity of an `AccountRecord`, seconds: a year; afterwards "look for a newer one".
pub const ACCOUNT_RECORD_SECONDS: u64 = 365 * 86_400;
/// How far ahead an account may be deleted by its own word, seconds: 30 days to think again.
pub const MAX_DELETION_SECONDS: u64 = 30 * 86_400;
/// How long an old home says where an account went, seconds: 90 days, for contacts who write once in a
/// while; mail that lay there has been over for two months then.
pub const FORWARD_SECONDS: u64 = 90 * 86_400;
/// A rotated delivery token lives this much longer, seconds.
pub const ROTATED_TOKEN_SECONDS: u64 = 30 * 86_400;
/// What is sealed in place of a message, bytes: a sign of typing or presence with room to grow.
pub const MAX_EPHEMERAL: usize = 256;
/// How long a node holds a sign of typing or presence for another node, seconds.
pub const EPHEMERAL_SECONDS: u64 = 10;
/// How far ahead a rendezvous may end, seconds: a day is long enough to find the other device.
pub const RENDEZVOUS_SECONDS: u64 = 86_400;
/// Rendezvous of one account at once: a device is linked by one, and a few may be given up.
pub const MAX_RENDEZVOUS: usize = 4;
/// What a guest of a rendezvous says at once, bytes: nearly the largest Noise message,
/// its length included.
pub const MAX_RENDEZVOUS_DATA: usize = 64 * 1024;
/// What the devices at a rendezvous keep on the way in one direction, bytes: well below what a node
/// holds for a slow reader.
pub const RENDEZVOUS_WINDOW: usize = 1024 * 1024;
/// An account's vault, bytes: ten thousand contacts of about 100 bytes.
pub const MAX_VAULT: usize = 1024 * 1024;
/// A part of a vault, bytes: what one request may add to a commit, and to what waits for others.
pub const MAX_VAULT_PART: usize = 32 * 1024;
/// The body of a record in a backup, bytes: the largest message with what a device knows of it fits.
pub const MAX_BACKUP_RECORD: usize = 128 * 1024;
/// Strangers' requests that wait for one account.
pub const MAX_PENDING_REQUESTS: usize = 100;
/// Envelopes in one batch between nodes: the size at which a batch costs little more than one.
pub const MAX_BATCH: usize = 64;
/// Node records in one answer: as many of the largest as fit a frame with room to spare.
pub const MAX_NODES: usize = 64;
/// Bytes of a stamp: what its origin needs to find its user again, sealed.
pub const MAX_STAMP: usize = 64;
/// Steps from a receipt's item to its signed root: a tree that deep has more leaves than any commit.
pub const MAX_PATH: usize = 64;
