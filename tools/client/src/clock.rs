//! The wall clock. Logic takes the time as an argument; only the edges read it here.

use std::time::{SystemTime, UNIX_EPOCH};

use postroad_proto::ids::Millis;

/// Now, milliseconds since the Unix epoch, UTC.
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
