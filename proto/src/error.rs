//! Error codes on the wire. `spec/errors.md` repeats the table; a test keeps the two in step.

use core::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $retriable:literal;)*) => {
        /// Why a request, an envelope or one of its parcels was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
            /// A code that this version does not know. Treated as final.
            Unknown(u64),
        }

        impl ErrorCode {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The number on the wire.
            pub fn number(self) -> u64 {
                match self { $(Self::$name => $number,)* Self::Unknown(n) => n }
            }

            /// The code with `number`.
            pub fn from_number(number: u64) -> Self {
                match number { $($number => Self::$name,)* n => Self::Unknown(n) }
            }

            /// Its name in the documents and in logs.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* Self::Unknown(_) => "UNKNOWN" }
            }

            /// Whether the same thing may succeed later.
            pub fn retriable(self) -> bool {
                match self { $(Self::$name => $retriable,)* Self::Unknown(_) => false }
            }
        }
    };
}

codes! {
    /// The recipient's mailbox, or this token's share of it, is full.
    Quota = 1, "QUOTA", true;
    /// The sender has too much mail waiting at this node.
    SenderQuota = 2, "SENDER_QUOTA", true;
    /// The node's disk is full; what it holds goes on being delivered.
    NoSpace = 3, "NO_SPACE", true;
    /// Too many in too short a time; `retry_after` says when.
    Rate = 4, "RATE", true;
    /// No way to that node is known now.
    Unroutable = 5, "UNROUTABLE", true;
    /// Larger than a limit, which the detail names.
    TooLarge = 6, "TOO_LARGE", false;
    /// A signature or a key does not hold.
    BadSignature = 7, "BAD_SIGNATURE", false;
    /// The deadline has passed, or the invite or token is over.
    Expired = 8, "EXPIRED", false;
    /// The node cannot answer that just now.
    Busy = 9, "BUSY", true;
    /// No token, a wrong one, blocked, or no such account: a stranger cannot tell which.
    Denied = 10, "DENIED", false;
    /// No such handle at this node.
    NotFound = 11, "NOT_FOUND", false;
    /// The account is homed elsewhere; the newer record is attached.
    Moved = 12, "MOVED", false;
    /// What is put is not newer than what is held, which is attached.
    Conflict = 13, "CONFLICT", false;
    /// The handle is somebody else's.
    Taken = 14, "TAKEN", false;
    /// The invite was used as often as it may be.
    InviteUsed = 15, "INVITE_USED", false;
    /// The invite's time is over.
    InviteExpired = 16, "INVITE_EXPIRED", false;
    /// The invite was taken back.
    InviteRevoked = 17, "INVITE_REVOKED", false;
    /// No such invite.
    InviteUnknown = 18, "INVITE_UNKNOWN", false;
    /// The bytes are not what the protocol says.
    Malformed = 19, "MALFORMED", false;
    /// No common version, or an unknown critical flag.
    Version = 20, "VERSION", false;
    /// No header fits a device of the recipient: fetch the device list and seal again.
    StaleDevices = 21, "STALE_DEVICES", false;
    /// The plain hello names another network.
    Network = 22, "NETWORK", false;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(n) => write!(f, "UNKNOWN({n})"),
            known => f.write_str(known.name()),
        }
    }
}

impl serde::Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(self.number())
    }
}

impl<'de> serde::Deserialize<'de> for ErrorCode {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        u64::deserialize(d).map(Self::from_number)
    }
}
