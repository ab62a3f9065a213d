//! Linking a device: through a rendezvous at the home, one that is there hands a new one its place in
//! the account, and what it has. `proto/spec/devices.md`.

mod guest;
mod new;
mod old;
pub(crate) mod portions;

use postroad_proto::ids::DeviceNumber;
use postroad_proto::linking::{LinkMessage, envelope};
use postroad_proto::noise::DirectChannel;

pub(crate) use new::is_unfinished;
pub use old::LinkOffer;
pub(crate) use old::{has_written, is_open, is_under_way, to_open};

use crate::error::{ConnectionError, Result};

/// How long a link waits for the other device, and how long one that has begun may take, seconds.
const LINK_SECONDS: u64 = 600;
const RESUME_SECONDS: u64 = 86_400;

/// What happens while a device is linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// This device waits for the other one.
    Waiting,
    /// The new device belongs to the account.
    Granted {
        /// Its number.
        device: DeviceNumber,
        /// What its owner calls it.
        name: String,
    },
    /// So many messages are there, out of about so many.
    Messages {
        /// How many are.
        done: u64,
        /// Out of about so many.
        all: u64,
    },
    /// It does not go on, and is tried again: why.
    Lost(String),
}

fn sealed(channel: Option<&mut DirectChannel>, message: &LinkMessage) -> Result<Vec<u8>> {
    let channel = channel.ok_or(ConnectionError::Closed)?;
    let sealed = channel.seal(&message.encode()?).map_err(ConnectionError::from)?;
    Ok([&[envelope::TRANSPORT], sealed.as_slice()].concat())
}
