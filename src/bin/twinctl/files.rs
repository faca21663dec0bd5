//! What `make install` puts beside the program: completions for shells, and manual pages.

use std::{fs, path::PathBuf};

use clap::{Arg, Command, ValueHint, value_parser};
use clap_complete::Shell;

use super::{Call, Failure, Outcome, cli};

/// The commands for it.
pub(crate) fn commands() -> [Command; 2] {
    let shell = Arg::new("SHELL")
        .required(true)
        .value_parser(value_parser!(Shell))
        .help("The shell that is to know the commands");
    let folder = Arg::new("DIR")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .value_hint(ValueHint::DirPath)
        .help("Where they go");
    [
        Command::new("completions")
            .about("Prints what a shell needs to complete what is typed")
            .after_help("For this shell alone: source <(twinctl completions bash)")
            .arg(shell),
        Command::new("man").about("Writes the manual pages into a folder").arg(folder),
    ]
}

pub(crate) fn completions(call: &mut Call<'_>) -> Result<Outcome, Failure> {
    let Some(&shell) = call.matches.get_one::<Shell>("SHELL") else { return Ok(Outcome::Not) };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "twinctl", &mut text);
    call.out.raw(&text)?;
    Ok(Outcome::Done)
}

pub(crate) fn manual(call: &mut Call<'_>) -> Result<Outcome, Failure> {
    let Some(folder) = call.matches.get_one::<PathBuf>("DIR") else { return Ok(Outcome::Not) };
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(cli::command(), folder)?;
    Ok(Outcome::Done)
}
