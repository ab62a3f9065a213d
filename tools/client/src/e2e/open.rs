//! Opening what came in, and checking that all of it belongs together.

use core::fmt;

use postroad_proto::codec;
use postroad_proto::content::{self, Card, Message};
use postroad_proto::envelope::Attributes;
use postroad_proto::ids::{AccountId, Hash, Millis};
use postroad_proto::limits::MAX_BODY;
use postroad_proto::network::Network;
use postroad_proto::pair::{self, Context, HeaderContent, KeyGrant, SealSecret};
use postroad_proto::record::{AccountRecord, Device, DeviceList, HandleRecord};
use vodozemac::Curve25519PublicKey;
use vodozemac::olm::{MessageType, OlmMessage, SessionConfig};
use zeroize::Zeroizing;

use super::{DeviceAddress, OwnDevice, PeerSessions};

/// Highest number of a message in its conversation that is believed: nobody sends as many, and
/// every number that is compared with it stays in a database's range.
pub(crate) const MAX_SEQ: u64 = 1 << 48;

/// Mail as the node pushed it.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// What the seals are bound to.
    pub attributes: Attributes,
    /// As the node says; checked.
    pub body_hash: Hash,
    /// This device's header.
    pub header: &'a [u8],
    /// The sealed body.
    pub body: &'a [u8],
}

/// A verified card.
#[derive(Debug, Clone)]
pub struct Introduced {
    /// As received.
    pub card: Card,
    /// Its record.
    pub record: AccountRecord,
    /// Its device list.
    pub devices: DeviceList,
    /// Its handle, when that verifies.
    pub handle: Option<HandleRecord>,
}

/// What was inside. Debug shows nothing of the text.
pub struct Opened {
    /// The message.
    pub message: Message,
    /// Its encoding, from which the next one's `previous` is made.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The sender's card, when one came along.
    pub introduced: Option<Introduced>,
    /// This device's keys without the one-time key that was used up; `None` when none was.
    pub own: Option<OwnDevice>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({})", self.message.id)
    }
}

/// Why something did not open. Nothing of it may change any state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The body is not the one that the node names.
    #[error("the body does not fit its hash")]
    BodyHash,
    /// The header is not for this device, or damaged.
    #[error("the header does not open: {0}")]
    Header(pair::PairError),
    /// It claims to come from this device.
    #[error("it claims to come from this device")]
    FromSelf,
    /// No session fits, or the prekey is used up.
    #[error("no session opens it")]
    Session,
    /// The Olm keys are not those of the device that it claims to come from.
    #[error("it does not come from the device that it names")]
    Identity,
    /// The sender's list, as far as it is known, has no such device.
    #[error("it comes from a device of the sender's that is not known")]
    UnknownDevice,
    /// The sender is unknown and sent no card.
    #[error("the sender is unknown and sent no card")]
    Unknown,
    /// The card does not verify.
    #[error("the sender's card does not hold: {0}")]
    Card(String),
    /// The body does not open with the key that came.
    #[error("the body does not open: {0}")]
    Body(pair::PairError),
    /// The body holds no message.
    #[error("the body holds no message: {0}")]
    Content(codec::CodecError),
    /// Key and body were not made for each other, or for this recipient.
    #[error("key and message do not belong together")]
    Context,
}

/// Opens the seal around a header: who it claims to come from.
///
/// # Errors
/// [`OpenError::BodyHash`], [`OpenError::Header`], [`OpenError::FromSelf`].
pub fn header(
    incoming: &Incoming<'_>,
    secret: &SealSecret,
    own: DeviceAddress,
) -> Result<HeaderContent, OpenError> {
    if Hash::of(incoming.body) != incoming.body_hash {
        return Err(OpenError::BodyHash);
    }
    let content = pair::open_header(secret, own, &incoming.body_hash, incoming.header)
        .map_err(OpenError::Header)?;
    if (content.sender, content.device) == own { Err(OpenError::FromSelf) } else { Ok(content) }
}

/// Opens the message under a header. `known` is the sender's device list, if we hold one; this
/// device's keys are needed for prekey messages only ([`may_start_session`]).
/// `sessions` step forward only when all of it holds.
///
/// # Errors
/// See [`OpenError`].
pub fn open(
    incoming: &Incoming<'_>,
    header: &HeaderContent,
    own: (Option<&OwnDevice>, DeviceAddress),
    known: Option<&DeviceList>,
    sessions: &mut PeerSessions,
    network: &Network,
    now: Millis,
) -> Result<Opened, OpenError> {
    let olm = olm_message(header)?;
    let (grant, forked) = decrypt(&olm, own.0, sessions, now)?;
    let grant = KeyGrant::from_bytes(&grant).map_err(|_| OpenError::Session)?;
    let plaintext = pair::open_body(&grant.key, &incoming.attributes, incoming.body)
        .map_err(OpenError::Body)?;
    let message = Message::decode(&plaintext).map_err(OpenError::Content)?;
    belongs_together(&message, header, own.1, incoming.body_hash, &grant)?;
    let introduced = match &message.card {
        Some(card) => Some(introduce(card, header.sender, network)?),
        None => None,
    };
    let device = sender_device(header, known, introduced.as_ref())?;
    if let OlmMessage::PreKey(prekey) = &olm
        && prekey.identity_key().to_bytes() != device.olm_identity.0
    {
        return Err(OpenError::Identity);
    }
    let own = match forked {
        Some((session, own)) => {
            sessions.insert(session, now);
            Some(own)
        }
        None => None,
    };
    Ok(Opened { message, plaintext, introduced, own })
}

/// Whether a header may start a session, which takes this device's own keys.
pub fn may_start_session(header: &HeaderContent) -> bool {
    header.olm_type == MessageType::PreKey as u64
}

fn olm_message(header: &HeaderContent) -> Result<OlmMessage, OpenError> {
    let kind = usize::try_from(header.olm_type).map_err(|_| OpenError::Session)?;
    OlmMessage::from_parts(kind, &header.olm).map_err(|_| OpenError::Session)
}

type NewSession = (vodozemac::olm::Session, OwnDevice);

/// Decrypts with a session that is there, or with the one that a prekey message starts. The latter
/// is not kept yet: whether its identity key is the sender's is known only when the card is.
fn decrypt(
    olm: &OlmMessage,
    own: Option<&OwnDevice>,
    sessions: &mut PeerSessions,
    now: Millis,
) -> Result<(Zeroizing<Vec<u8>>, Option<NewSession>), OpenError> {
    let prekey = match olm {
        OlmMessage::PreKey(prekey) if !sessions.has(&prekey.session_id()) => prekey,
        _ => return sessions.decrypt(olm, now).map(|g| (g, None)).ok_or(OpenError::Session),
    };
    let mut own = own.ok_or(OpenError::Session)?.fork();
    let identity = Curve25519PublicKey::from_bytes(prekey.identity_key().to_bytes());
    let created = own
        .account
        .create_inbound_session(SessionConfig::version_1(), identity, prekey)
        .map_err(|_| OpenError::Session)?;
    Ok((Zeroizing::new(created.plaintext), Some((created.session, own))))
}

fn belongs_together(
    message: &Message,
    header: &HeaderContent,
    own: DeviceAddress,
    body_hash: Hash,
    grant: &KeyGrant,
) -> Result<(), OpenError> {
    let context = Context {
        body_hash,
        message: message.id,
        conversation: message.conversation,
        sender: header.sender,
        sender_device: header.device,
        recipient: own.0,
        recipient_device: own.1,
    };
    let holds = context.hash().is_ok_and(|hash| hash == grant.context)
        && message.sender.account == header.sender
        && message.sender.device == header.device
        && message.conversation == content::conversation(&own.0, &header.sender)
        && (1..=MAX_SEQ).contains(&message.seq);
    if holds { Ok(()) } else { Err(OpenError::Context) }
}

/// Checks a card: everything in it is `sender`'s own.
fn introduce(card: &[u8], sender: AccountId, network: &Network) -> Result<Introduced, OpenError> {
    let refuse = |why: &dyn ToString| OpenError::Card(why.to_string());
    let card: Card = codec::decode(card, MAX_BODY).map_err(|e| refuse(&e))?;
    let record = card.record.open(network).map_err(|e| refuse(&e))?;
    let devices = card.devices.open(network).map_err(|e| refuse(&e))?;
    if record.account != sender || devices.account != sender {
        return Err(refuse(&"it is another account's"));
    }
    if !record.fits(&card.devices, &devices) {
        return Err(refuse(&"record and device list do not belong together"));
    }
    // A handle is a convenience: one that does not hold is left out.
    let handle = card.handle.as_ref().and_then(|signed| signed.open(network).ok());
    let handle = handle.filter(|h| h.account == sender && h.node == record.home);
    Ok(Introduced { card, record, devices, handle })
}

/// The device that sent it, from the newest list there is.
fn sender_device(
    header: &HeaderContent,
    known: Option<&DeviceList>,
    introduced: Option<&Introduced>,
) -> Result<Device, OpenError> {
    let list = match (known, introduced.map(|i| &i.devices)) {
        (Some(known), Some(new)) if known.is_older_than(new) => new,
        (Some(known), _) => known,
        (None, Some(new)) => new,
        (None, None) => return Err(OpenError::Unknown),
    };
    list.device(header.device).cloned().ok_or(OpenError::UnknownDevice)
}
