//! The secret of a hash table whose keys are chosen by peers.

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};

/// What the hashes of a table begin with. Who does not know it cannot choose keys that collide.
///
/// Unlike the key of a [`RandomState`], it can be given, so that a simulation of a seed has the same collisions again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashKey(pub [u64; 2]);

impl HashKey {
    /// A key from the system's random numbers.
    #[must_use]
    pub fn random() -> Self {
        let random = RandomState::new();
        Self([0, 1].map(|half: u64| random.hash_one(half)))
    }
}

impl BuildHasher for HashKey {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        self.0.iter().for_each(|half| hasher.write_u64(*half));
        hasher
    }
}

/// The capacity with which a table of up to `entries` entries never moves, however often some are removed and others
/// inserted: it drops what removed entries leave where it is, as long as half of it is free.
pub(crate) fn unmoved_capacity(entries: usize) -> usize {
    entries.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_decides_all_hashes_and_is_drawn_anew_each_time() {
        let hashes = |key: HashKey| (0..9).map(|n: u32| key.hash_one(n)).collect::<Vec<_>>();
        let [one, other] = [(); 2].map(|()| HashKey::random());
        assert_eq!(hashes(one), hashes(one));
        assert_ne!(hashes(one), hashes(other));
        assert_ne!(hashes(HashKey([1, 2])), hashes(HashKey([1, 3])));
    }
}
