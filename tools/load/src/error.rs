//! Why a run cannot go on.

use std::io;

use postroad_cli::{CliError, Exit};
use postroad_proto::codec::CodecError;
use postroad_proto::error::ErrorCode;
use postroad_proto::noise::NoiseError;

/// Why a run cannot go on. What a node refuses of the load is counted, not an error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// A socket, a file, a process.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The channel to a node.
    #[error("{0}")]
    Noise(#[from] NoiseError),
    /// A frame of ours.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// A node closed a connection.
    #[error("the node closed the connection")]
    Closed,
    /// A node said no where the run depends on a yes.
    #[error("the node refused {what}: {} {detail}", code.name())]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its code.
        code: ErrorCode,
        /// Its words.
        detail: String,
    },
    /// A node of our own.
    #[error("{0}")]
    Node(String),
    /// Nothing moved for too long.
    #[error("nothing moved for {0} s")]
    Stalled(u64),
    /// The command line asks for what cannot be done.
    #[error("{0}")]
    Usage(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl From<LoadError> for CliError {
    fn from(error: LoadError) -> Self {
        let text = error.to_string();
        match error {
            LoadError::Usage(_) => Self::usage(text, "postroad-load run --help"),
            LoadError::Interrupted => Self::new(Exit::Interrupted, "interrupted", text, ""),
            LoadError::Refused { .. } => {
                Self::new(Exit::Denied, "refused", text, "is registration open at the target?")
            }
            LoadError::Stalled(_) => {
                Self::new(Exit::TimedOut, "stalled", text, "run it again with a lower --rate")
            }
            LoadError::Io(ref error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Self::new(Exit::Unreachable, "unreachable", text, "does the target run?")
            }
            _ => Self::failed("failed", text, "is there memory, disk and open files enough?"),
        }
    }
}
