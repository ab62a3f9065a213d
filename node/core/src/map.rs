//! Hash maps. Others choose the keys of many of them, so the hash is seeded at each start; that it
//! is cheap shows, with a dozen look-ups per message.

/// A map whose order means nothing.
pub(crate) type Map<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
