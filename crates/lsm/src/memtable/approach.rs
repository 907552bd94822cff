//! Bringing what many searches will look at into the processor's caches, all together.
//!
//! A search waits for memory at each node on its way. Here searches go down side by side and wait together. Nothing is
//! concluded from what is met, so that nodes are replaced meanwhile does not matter.

use super::node::NodeRef;
use super::record::Target;
use super::tree::Tree;
use crate::sync::atomic::Ordering;
use crate::types::{Kind, Seq, Trailer};

/// How many searches go down the tree side by side, about as many as a core can wait for.
pub(super) const TOGETHER: usize = 16;
/// So many levels of inner nodes are taken to be in the processor's caches.
const LEVELS_IN_CACHE: u16 = if cfg!(feature = "shuttle") { 1 } else { 3 };

impl Tree {
    /// Asks the processor for the memory that searches for these keys will look at, [`TOGETHER`] keys at a time.
    pub(super) fn approach<'k>(&self, mut keys: impl Iterator<Item = &'k [u8]>) {
        loop {
            let root = self.root(Ordering::Acquire);
            let mut way: [(&[u8], NodeRef); TOGETHER] = [(&[], root); TOGETHER];
            let mut count = 0;
            for (place, key) in way.iter_mut().zip(&mut keys) {
                place.0 = key;
                count += 1;
            }
            // A small tree is in the caches, and where there is but one key, it has nobody to wait with.
            if count < 2 || root.level() < LEVELS_IN_CACHE {
                return;
            }
            let way = &mut way[..count];
            for _ in 0..root.level() {
                for (key, node) in &mut *way {
                    let order = node.order();
                    let target = Target { key, trailer: Trailer::new(Seq::MAX, Kind::Delete) };
                    *node = node.child(order, node.rank(order, target, true));
                }
            }
            for (key, leaf) in way {
                leaf.prefetch_records(key);
            }
        }
    }
}
