//! `twinctl`: what a person types to look at twins, to ask things for something, and to see what goes on.
//!
//! It is an application like any other, built with [`twinthing::client`]: it knows nothing that the broker does not let
//! it hear. docs/twinctl.md has all of it; `failure.rs` the exit codes.

mod brokers;
mod cli;
mod connect;
mod document;
mod expression;
mod failure;
mod files;
mod group;
mod listen;
mod members;
mod output;
mod ping;
mod progress;
mod rows;
mod table;
mod things;
mod watch;

use std::process::ExitCode;

use clap::ArgMatches;
use twinthing::client::Client;

use failure::Failure;
use output::Output;

/// One call of the program: what was typed, and where its answer goes.
struct Call<'a> {
    matches: &'a ArgMatches,
    out: Output,
    client: Option<Client>,
}

impl Call<'_> {
    /// Connects; what was typed has been understood by then.
    async fn client(&mut self) -> Result<Client, Failure> {
        let client = connect::client(self.matches).await?;
        self.client = Some(client.clone());
        Ok(client)
    }
}

/// How a call that was understood has ended, unless it is a [`Failure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// It is not so, or not as was asked: what was printed says what.
    Not,
    /// Some have not answered.
    Open,
}

impl Outcome {
    fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Not => 1,
            Self::Open => 2,
        }
    }
}

fn main() -> ExitCode {
    let matches = match cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            let is_wrong = error.use_stderr();
            // Nothing is left to be told where the terminal itself is gone.
            error.print().unwrap_or_default();
            return ExitCode::from(if is_wrong { 64 } else { 0 });
        }
    };
    match actix_rt::System::new().block_on(call(&matches)) {
        Ok(outcome) => ExitCode::from(outcome.exit_code()),
        Err(failure) => {
            output::remark(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn call(matches: &ArgMatches) -> Result<Outcome, Failure> {
    let (name, matches) = matches.subcommand().unwrap_or(("", matches));
    let mut call = Call { matches, out: Output::new(), client: None };
    let outcome = match name {
        "get" => things::get(&mut call).await,
        "set" => things::set(&mut call).await,
        "unset" => things::unset(&mut call).await,
        "rm" => things::forget(&mut call).await,
        "ls" => rows::list(&mut call).await,
        "group" => group::call(&mut call).await,
        "watch" => watch::watch(&mut call).await,
        "listen" => listen::listen(&mut call).await,
        "ping" => ping::ping(&mut call).await,
        "completions" => files::completions(&mut call),
        "man" => files::manual(&mut call),
        other => Err(Failure::Usage(format!("{other:?} is no command"))),
    };
    if let Some(client) = call.client.take() {
        client.close().await;
    }
    outcome
}
