//! What values take in the two streams of a record, by their first byte. To pass over a value is most of what a walk over
//! records does; with a table it branches only for the few values that have to be looked at.

use super::tag;

/// What a value takes. Aligned, so that all of it is looked up at once.
#[derive(Clone, Copy)]
#[repr(align(4))]
pub(super) struct Takes {
    /// Bytes of the structure; 0 if its first byte does not say what it takes.
    pub structure: u8,
    /// Bytes of the text.
    pub text: u8,
    /// How many values follow that belong to it.
    pub children: u8,
}

/// Takes, by first byte.
pub(super) type Table = [Takes; 256];

/// In a record whose text is all ASCII.
pub(super) const PLAIN: Table = table(false);
/// In a record whose strings tell their bytes apart from their units.
pub(super) const WIDE: Table = table(true);

const fn table(wide: bool) -> Table {
    let mut table = [Takes { structure: 0, text: 0, children: 0 }; 256];
    let mut first = 0u8;
    loop {
        let takes = &mut table[first as usize];
        match first {
            0..=tag::INT_LAST | tag::NULL | tag::FALSE | tag::TRUE => takes.structure = 1,
            tag::STRING..=tag::STRING_LAST if !wide => {
                takes.structure = 1;
                takes.text = first - tag::STRING;
            }
            tag::ARRAY..=tag::ARRAY_LAST => {
                takes.structure = 1;
                takes.children = first - tag::ARRAY;
            }
            tag::INT_8 => takes.structure = 2,
            tag::INT_16 => takes.structure = 3,
            tag::INT_32 => takes.structure = 5,
            tag::FLOAT | tag::DATE => takes.structure = 9,
            _ => {}
        }
        if first == u8::MAX {
            return table;
        }
        first += 1;
    }
}
