//! Makes a failing scenario short: leaves out steps as long as something still fails.

use super::script::Script;

/// Most attempts; each runs a whole case.
const ATTEMPTS: usize = 300;

/// The shortest scenario found for which `fails` still holds.
pub fn shrink(script: &Script, mut fails: impl FnMut(&Script) -> bool) -> Script {
    let mut best = script.clone();
    let mut attempts = 0;
    let mut size = (best.0.len() / 2).max(1);
    loop {
        let mut from = 0;
        let mut shorter = false;
        while from < best.0.len() && attempts < ATTEMPTS {
            let mut steps = best.0.clone();
            steps.drain(from..(from + size).min(steps.len()));
            let candidate = Script(steps);
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
        let script: Script = "3*put flush 4*put.os compact put delete reopen".parse().unwrap();
        let needs = |script: &Script| {
            let text = script.to_string();
            text.contains("flush") && text.contains("compact") && text.contains("delete")
        };
        assert_eq!(shrink(&script, needs).to_string(), "flush,compact,delete");
    }
}
