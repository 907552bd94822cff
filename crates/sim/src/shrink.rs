//! Makes a failing list of steps short: leaves out steps as long as something still fails.

/// Most attempts; each runs a whole case.
const ATTEMPTS: usize = 300;

/// The shortest list found for which `fails` still holds.
pub fn shrink<T: Clone>(list: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut best = list.to_vec();
    let mut attempts = 0;
    let mut size = (best.len() / 2).max(1);
    loop {
        let mut from = 0;
        let mut shorter = false;
        while from < best.len() && attempts < ATTEMPTS {
            let mut candidate = best.clone();
            candidate.drain(from..(from + size).min(candidate.len()));
            attempts += 1;
            if fails(&candidate) {
                best = candidate;
                shorter = true;
            } else {
                from += size;
            }
        }
        if size == 1 && !shorter || attempts >= ATTEMPTS {
            return best;
        }
        size = (size / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_steps_that_matter_are_left() {
        let list: Vec<_> = "put put put flush os os compact put delete reopen".split(' ').collect();
        let needed = ["flush", "compact", "delete"];
        let short = shrink(&list, |list| needed.iter().all(|step| list.contains(step)));
        assert_eq!(short, needed);
    }
}
