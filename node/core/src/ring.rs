//! Memory of what was seen lately.

use std::collections::VecDeque;
use std::hash::Hash;

use crate::map::Map;

/// Memory of what was seen lately, bounded.
pub(crate) struct Ring<K> {
    order: VecDeque<K>,
    present: Map<K, ()>,
    capacity: usize,
}

impl<K: Hash + Eq + Copy> Ring<K> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { order: VecDeque::new(), present: Map::default(), capacity }
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.present.contains_key(key)
    }

    pub(crate) fn insert(&mut self, key: K) {
        if self.present.insert(key, ()).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.present.remove(&oldest);
        }
    }
}
