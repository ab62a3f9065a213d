//! Invites: counted, dated, revocable. The operator's let somebody make an account; an account's
//! own (in [`crate::people::tokens`]) let somebody become its contact.

use postroad_proto::error::ErrorCode;
use postroad_proto::ids::{Hash, Millis};
use postroad_proto::token::InviteCode;

use crate::config::Registration;
use crate::core::Core;
use crate::reply::Refusal;
use crate::state::InviteRow;

/// What an invite is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteState {
    /// It can be used.
    Open,
    /// It was used as often as it may be.
    Used,
    /// Its time is over.
    Expired,
    /// It was taken back.
    Revoked,
    /// There is none.
    Unknown,
}

impl InviteState {
    pub(crate) fn refusal(self) -> Refusal {
        let (code, text) = match self {
            Self::Used => (ErrorCode::InviteUsed, "the invite was already used; ask for a new one"),
            Self::Expired => {
                (ErrorCode::InviteExpired, "the invite has expired; ask for a new one")
            }
            Self::Revoked => {
                (ErrorCode::InviteRevoked, "the invite was taken back; ask for a new one")
            }
            Self::Open | Self::Unknown => {
                (ErrorCode::InviteUnknown, "no such invite here; was all of the link copied?")
            }
        };
        Refusal::new(code, text)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Unknown => "unknown",
        }
    }
}

impl InviteRow {
    /// `now` in seconds.
    pub(crate) fn state(&self, now: u64) -> InviteState {
        if self.revoked {
            InviteState::Revoked
        } else if self.expires != 0 && self.expires <= now {
            InviteState::Expired
        } else if self.uses != 0 && self.used >= self.uses {
            InviteState::Used
        } else {
            InviteState::Open
        }
    }

    /// The row after one more use.
    pub(crate) fn used_once(self, now: u64) -> Result<Self, InviteState> {
        match self.state(now) {
            InviteState::Open => Ok(Self { used: self.used + 1, ..self }),
            other => Err(other),
        }
    }
}

fn no_invite() -> Refusal {
    let text = "this node takes new accounts by invite only; ask its operator for one";
    Refusal::new(ErrorCode::InviteUnknown, text)
}

/// An invite cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// More than a node keeps.
    #[error("at most {0} invites; revoke some first")]
    TooMany(usize),
}

/// Invites of the operator that are kept, used ones included.
const MAX_NODE_INVITES: usize = 100_000;

impl Core {
    /// Adds an invite of the operator's. `uses` 0 stands for any number, `expires` (seconds since
    /// the Unix epoch) 0 for never. Only the code's hash is kept.
    ///
    /// # Errors
    /// When there are too many.
    pub fn create_invite(
        &mut self,
        now: Millis,
        code: &InviteCode,
        uses: u64,
        expires: u64,
    ) -> Result<Hash, InviteError> {
        if self.tables.node_invites.len() >= MAX_NODE_INVITES {
            self.drop_spent_invites(now);
        }
        if self.tables.node_invites.len() >= MAX_NODE_INVITES {
            return Err(InviteError::TooMany(MAX_NODE_INVITES));
        }
        let hash = code.hash();
        let row = InviteRow { uses, used: 0, expires, revoked: false };
        self.tables.node_invites.put(hash, row, &mut self.group.staged);
        Ok(hash)
    }

    /// Forgets invites that are of no use any more: their bearers then hear "unknown".
    fn drop_spent_invites(&mut self, now: Millis) {
        let rows = self.tables.node_invites.iter();
        let spent: Vec<Hash> = rows
            .filter(|(_, row)| row.state(now / 1000) != InviteState::Open)
            .map(|(hash, _)| *hash)
            .collect();
        for hash in spent {
            self.tables.node_invites.remove(&hash, &mut self.group.staged);
        }
    }

    /// Takes an invite back. False when there is none.
    pub fn revoke_invite(&mut self, hash: &Hash) -> bool {
        let Some(row) = self.tables.node_invites.get(hash).cloned() else { return false };
        let row = InviteRow { revoked: true, ..row };
        self.tables.node_invites.put(*hash, row, &mut self.group.staged);
        true
    }

    /// Whether the invite that a new account brings would do.
    pub(crate) fn check_node_invite(
        &self,
        now: Millis,
        code: Option<&InviteCode>,
    ) -> Result<(), Refusal> {
        if self.config.registration == Registration::Open {
            return Ok(());
        }
        let row = code.and_then(|code| self.tables.node_invites.get(&code.hash()));
        match (code, row.map_or(InviteState::Unknown, |row| row.state(now / 1000))) {
            (None, _) => Err(no_invite()),
            (_, InviteState::Open) => Ok(()),
            (_, state) => Err(state.refusal()),
        }
    }

    /// Uses the invite that a new account brings. Returns its hash.
    pub(crate) fn use_node_invite(
        &mut self,
        now: Millis,
        code: Option<&InviteCode>,
    ) -> Result<Option<Hash>, Refusal> {
        let open = self.config.registration == Registration::Open;
        let Some(code) = code else {
            if open {
                return Ok(None);
            }
            return Err(no_invite());
        };
        let hash = code.hash();
        let row = self.tables.node_invites.get(&hash).cloned();
        let used = row.ok_or(InviteState::Unknown).and_then(|row| row.used_once(now / 1000));
        match used {
            Ok(row) => {
                self.tables.node_invites.put(hash, row, &mut self.group.staged);
                Ok(Some(hash))
            }
            Err(_) if open => Ok(None),
            Err(state) => Err(state.refusal()),
        }
    }
}
