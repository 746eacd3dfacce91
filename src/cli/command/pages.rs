//! `completions` and `man`: pages made from the definition of the command line.

use clap::error::ErrorKind;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man as Page;

use crate::cli::Cli;
use crate::cli::term::error::CliError;
use crate::cli::term::exit_code::ExitCode;
use crate::cli::term::output;
use crate::cli::usage_error;

/// Print a shell's completion script
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let mut command = Cli::command();
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        print(&script)
    }
}

/// Print the manual page, or that of one command
#[derive(Debug, Args)]
pub struct Man {
    /// The command: one word, or two as in `shard plan`
    command: Vec<String>,
}

impl Man {
    pub fn run(&self) -> Result<ExitCode, CliError> {
        let mut root = Cli::command();
        root.build();
        let mut page = &root;
        for name in &self.command {
            page = page.find_subcommand(name).ok_or_else(|| {
                let message = format!("there is no command '{}'", self.command.join(" "));
                usage_error("man", ErrorKind::InvalidSubcommand, message)
            })?;
        }
        let mut roff = Vec::new();
        Page::new(page.clone())
            .render(&mut roff)
            .expect("a Vec takes any bytes");
        print(&roff)
    }
}

fn print(page: &[u8]) -> Result<ExitCode, CliError> {
    output::write(String::from_utf8_lossy(page))?;
    Ok(ExitCode::Success)
}
