//! What keeps cursors from being forged: a message authentication code (HMAC-SHA-256) over everything that a cursor says
//! and the collection that it belongs to.
//!
//! Its key comes from the identity of the store, which is drawn at random when the store is created, lies in its files and
//! never leaves them otherwise. So cursors outlive restarts, backups and changes of access keys, and those of one store say
//! nothing to another.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::keyspace::CollectionId;

/// Bytes of a code: half of what the function gives, which is as strong as anybody needs here.
pub(super) const SEAL_BYTES: usize = 16;

/// What keys are derived for; another use gets another text.
const PURPOSE: &[u8] = b"fountainstore cursor 1";

/// Seals the cursors of one collection of one store.
pub(crate) struct Seal(Hmac<Sha256>);

impl Seal {
    /// The seal for cursors of `collection` in the store with this identity.
    pub fn new(identity: [u8; 16], collection: CollectionId) -> Self {
        let key = mac(&identity, &[PURPOSE]).finalize().into_bytes();
        Self(mac(&key, &[&collection.get().to_le_bytes()]))
    }

    /// The code of what a cursor says.
    pub fn code(&self, body: &[u8]) -> [u8; SEAL_BYTES] {
        let whole = self.0.clone().chain_update(body).finalize().into_bytes();
        let mut code = [0; SEAL_BYTES];
        code.copy_from_slice(&whole[..SEAL_BYTES]);
        code
    }

    /// Whether this is the code of what a cursor says. Takes as long whether much of it is right or little.
    pub fn accepts(&self, body: &[u8], code: &[u8]) -> bool {
        code.len() == SEAL_BYTES && self.0.clone().chain_update(body).verify_truncated_left(code).is_ok()
    }
}

/// The function, begun with the parts. Keys are of at most 64 bytes; shorter ones are filled up with zeros.
fn mac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut block = [0; 64];
    block.iter_mut().zip(key).for_each(|(place, byte)| *place = *byte);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_is_the_published_one() {
        // RFC 4231, test case 2.
        let code = mac(b"Jefe", &[b"what do ya want ", b"for nothing?"]).finalize().into_bytes();
        let published = [
            0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7,
            0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43,
        ];
        assert_eq!(code.as_slice(), published);
    }

    #[test]
    fn a_seal_is_of_one_collection_of_one_store() {
        let (first, second) = (CollectionId::FIRST, CollectionId::new(17).unwrap());
        let seal = Seal::new([1; 16], first);
        let code = seal.code(b"body");
        assert!(Seal::new([1; 16], first).accepts(b"body", &code));
        assert!(!seal.accepts(b"bodY", &code) && !seal.accepts(b"body", &code[1..]));
        assert!(!Seal::new([1; 16], second).accepts(b"body", &code));
        assert!(!Seal::new([2; 16], first).accepts(b"body", &code));
        assert!(!seal.accepts(b"body", &[]));
    }
}
