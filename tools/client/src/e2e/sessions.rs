//! The Olm sessions with one device of somebody else.

use core::fmt;

use postroad_proto::ids::{Hash, Millis};
use vodozemac::Curve25519PublicKey;
use vodozemac::olm::{OlmMessage, Session, SessionConfig, SessionPickle};
use zeroize::Zeroizing;

use super::OwnDevice;
use crate::error::{Error, Result, StorageError};

/// Sessions kept per device. Both sides may start one at once, and a device that lost its state
/// starts another; more than a few are of no use.
const MAX_SESSIONS: usize = 5;

/// Up to five sessions with one device. The one that opened something last sends: the other side has
/// it. A new one counts as if it had, so that a side which lost its sessions is answered on the one
/// that it started.
#[derive(Default)]
pub struct PeerSessions {
    /// By rising id.
    kept: Vec<Kept>,
    /// Ids that are to be deleted from the store.
    dropped: Vec<String>,
}

struct Kept {
    id: String,
    session: Session,
    used: Millis,
    changed: bool,
}

impl fmt::Debug for PeerSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerSessions({})", self.kept.len())
    }
}

impl PeerSessions {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Starts one with a device's identity key and one of its prekeys, whose signature the caller
    /// has verified.
    ///
    /// # Errors
    /// [`Error::Untrusted`] when the keys are weak.
    pub fn start(
        &mut self,
        own: &OwnDevice,
        identity: &Hash,
        prekey: &Hash,
        now: Millis,
    ) -> Result<()> {
        let session = own
            .account
            .create_outbound_session(
                SessionConfig::version_1(),
                Curve25519PublicKey::from_bytes(identity.0),
                Curve25519PublicKey::from_bytes(prekey.0),
            )
            .map_err(|e| Error::untrusted("a contact's prekey", e))?;
        self.insert(session, now);
        Ok(())
    }

    /// Encrypts with the session that sends. `None` when there is none.
    pub(super) fn encrypt(&mut self, plaintext: &[u8]) -> Option<Result<OlmMessage>> {
        // Of equals the first, so that both sides come to use the same one.
        let kept = self.kept.iter_mut().rev().max_by_key(|kept| kept.used)?;
        kept.changed = true;
        Some(kept.session.encrypt(plaintext).map_err(|e| Error::untrusted("an Olm session", e)))
    }

    /// Decrypts with whichever session fits; a failure changes nothing.
    pub(super) fn decrypt(
        &mut self,
        message: &OlmMessage,
        now: Millis,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let id = match message {
            OlmMessage::PreKey(prekey) => Some(prekey.session_id()),
            OlmMessage::Normal(_) => None,
        };
        let used = self.next_use(now);
        let candidates =
            self.kept.iter_mut().filter(|kept| id.as_ref().is_none_or(|id| kept.id == *id));
        for kept in candidates {
            let mut attempt = Session::from_pickle(kept.session.pickle());
            if let Ok(plaintext) = attempt.decrypt(message) {
                kept.session = attempt;
                kept.used = used;
                kept.changed = true;
                return Some(Zeroizing::new(plaintext));
            }
        }
        None
    }

    /// When something is used that is used now: later than all else, whatever the clock says.
    fn next_use(&self, now: Millis) -> Millis {
        self.kept.iter().map(|kept| kept.used + 1).fold(now, Millis::max)
    }

    /// Whether this prekey message belongs to a session that is already here.
    pub(super) fn has(&self, id: &str) -> bool {
        self.kept.iter().any(|kept| kept.id == id)
    }

    /// Adds a session. When there are too many, the one that was of no use for longest goes.
    pub(super) fn insert(&mut self, session: Session, now: Millis) {
        let (id, used) = (session.session_id(), self.next_use(now));
        self.kept.push(Kept { id: id.clone(), session, used, changed: true });
        while self.kept.len() > MAX_SESSIONS {
            let oldest = (0..self.kept.len())
                .filter(|i| self.kept[*i].id != id)
                .min_by_key(|i| self.kept[*i].used);
            let Some(oldest) = oldest else { break };
            self.dropped.push(self.kept.swap_remove(oldest).id);
        }
        self.kept.sort_by(|a, b| a.id.cmp(&b.id));
    }

    /// Takes a stored one.
    pub(super) fn load(
        &mut self,
        id: String,
        pickle: &str,
        used: Millis,
        key: &Zeroizing<[u8; 32]>,
    ) -> Result<(), StorageError> {
        let pickle =
            SessionPickle::from_encrypted(pickle, key).map_err(|_| StorageError::Secret)?;
        let session = Session::from_pickle(pickle);
        self.kept.push(Kept { id, session, used, changed: false });
        self.kept.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(())
    }

    /// (id, pickle, used) of those that changed.
    pub(super) fn changed(
        &self,
        key: &Zeroizing<[u8; 32]>,
    ) -> impl Iterator<Item = (&str, String, Millis)> {
        self.kept
            .iter()
            .filter(|kept| kept.changed)
            .map(|kept| (kept.id.as_str(), kept.session.pickle().encrypt(key), kept.used))
    }

    /// Ids of those that are gone.
    pub(super) fn dropped(&self) -> &[String] {
        &self.dropped
    }
}
