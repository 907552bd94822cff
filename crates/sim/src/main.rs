//! The program `fountain-sim`: see [`fountain_sim`].

use std::process::ExitCode;

/// Lets stages see how much memory a case asks for.
#[global_allocator]
static ALLOCATOR: fountain_sim::corruption::Counting = fountain_sim::corruption::Counting;

fn main() -> ExitCode {
    match fountain_sim::run(lexopt::Parser::from_env()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fountain-sim: {error}");
            ExitCode::from(2)
        }
    }
}
