//! What user keys have in common.

/// Number of bytes at the start that are equal.
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0).take_while(|(a, b)| a == b).count();
    let start = words * 8;
    start + a[start..].iter().zip(&b[start..]).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_prefixes_are_exact_around_word_boundaries() {
        let text = b"0123456789abcdefghi";
        for len in 0..text.len() {
            let mut other = text.to_vec();
            other[len] = b'#';
            assert_eq!(common_prefix(text, &other), len);
            assert_eq!(common_prefix(text, &text[..len]), len);
        }
    }
}
