//! The `circuitcheck` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    circuitcheck::cli::run(std::env::args_os()).into()
}
