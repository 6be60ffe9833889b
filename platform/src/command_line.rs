//! Parses the command line and the environment, and reports all invalid settings at once, not one per start.
//!
//! clap stops at the first error. So the faulty argument is recorded and made lenient, and parsing is
//! repeated until there is no new error. Constraints between settings are checked by the programs afterwards.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, Parser};

/// Parses arguments and environment. If they are invalid, prints the errors and returns the exit code: 2, or
/// 0 for `--help`.
///
/// # Errors
/// The exit code.
pub fn read<C: Parser>(arguments: &[OsString]) -> Result<C, ExitCode> {
    let faults = match C::try_parse_from(arguments) {
        Ok(parsed) => return Ok(parsed),
        Err(help) if !help.use_stderr() => {
            let _ = help.print();
            return Err(ExitCode::SUCCESS);
        }
        Err(first) => all_faults(first, &C::command(), arguments),
    };
    let subject = match faults.len() {
        1 => "A setting or an argument".to_owned(),
        several => format!("{several} settings or arguments"),
    };
    // Printed first, so that the last line, which supervisors show, is about an error.
    eprintln!("{subject} can't be used. All are documented by --help.\n");
    for fault in faults {
        eprintln!("{fault}");
    }
    Err(ExitCode::from(2))
}

/// The first error and those that it hides, as texts.
fn all_faults(first: clap::Error, command: &Command, arguments: &[OsString]) -> Vec<String> {
    let (mut faults, mut lenient) = (Vec::new(), BTreeSet::new());
    let mut found = Some(first);
    while let Some(error) = found.take() {
        let faulty = faulty_arguments(&error, command);
        faults.push(describe(&error, &faulty));
        let known = lenient.len();
        lenient.extend(faulty.iter().map(|argument| argument.get_id().clone()));
        // An error of the line itself, say an unknown flag, hides all later ones.
        if lenient.len() > known {
            found = with_lenient_arguments(command.clone(), &lenient)
                .try_get_matches_from(arguments)
                .err();
        }
    }
    faults
}

/// The arguments that clap names, in any subcommand.
fn faulty_arguments<'a>(error: &clap::Error, command: &'a Command) -> Vec<&'a Arg> {
    let named: Vec<&str> = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(one)) => vec![one],
        Some(ContextValue::Strings(several)) => several.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let flags: Vec<&str> = named
        .iter()
        .filter_map(|text| text.split([' ', '=']).next()?.strip_prefix("--"))
        .collect();
    let is_named = |argument: &&Arg| argument.get_long().is_some_and(|flag| flags.contains(&flag));
    let (mut found, mut known) = (Vec::new(), BTreeSet::new());
    // Several subcommands may share a setting.
    for argument in with_subcommands(command)
        .flat_map(Command::get_arguments)
        .filter(is_named)
    {
        if known.insert(argument.get_id()) {
            found.push(argument);
        }
    }
    found
}

fn with_subcommands(command: &Command) -> impl Iterator<Item = &Command> {
    std::iter::once(command).chain(command.get_subcommands())
}

/// Makes these arguments optional, with any value.
fn with_lenient_arguments(command: Command, lenient: &BTreeSet<clap::Id>) -> Command {
    let accept = |argument: Arg| match lenient.contains(argument.get_id()) {
        true => argument
            .required(false)
            .value_parser(clap::value_parser!(OsString)),
        false => argument,
    };
    command
        .mut_args(accept)
        .mut_subcommands(|subcommand| subcommand.mut_args(accept))
}

/// clap's message with the setting's variable: clap names the flag, and most settings
/// come from the environment.
fn describe(error: &clap::Error, faulty: &[&Arg]) -> String {
    let message = error.render().to_string();
    // The hint at `--help` is printed once.
    let mut text = match message.split_once("\n\nFor more information") {
        Some((error, _)) => error.to_owned(),
        None => message.trim_end().to_owned(),
    };
    let holds_secret = faulty.iter().any(|argument| argument.is_hide_env_values_set());
    if let Some(ContextValue::String(secret)) = error.get(ContextKind::InvalidValue)
        && holds_secret
        && !secret.is_empty()
    {
        // clap's message repeats the invalid value, and secrets must not reach a log.
        text = text.replace(&format!("'{secret}'"), "(not shown)");
    }
    text.push('\n');
    for argument in faulty {
        let (Some(flag), Some(variable)) = (argument.get_long(), argument.get_env()) else {
            continue;
        };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        text += &format!("The setting is {}, or --{flag}: {help}\n", variable.display());
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::settings::{DatabaseSettings, parse_millis};

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Sub,
    }

    #[derive(Debug, clap::Subcommand)]
    enum Sub {
        Run(Run),
        Migrate(Migrate),
    }

    #[derive(Debug, clap::Args)]
    struct Run {
        /// Where customers connect
        #[arg(long, env = "COMMAND_LINE_TEST_LISTEN")]
        listen: std::net::SocketAddr,

        /// Pauses
        #[arg(long = "pauses-ms", env = "COMMAND_LINE_TEST_PAUSES_MS", value_delimiter = ',', default_value = "1,2",
              value_parser = parse_millis)]
        pauses: Vec<std::time::Duration>,

        #[command(flatten)]
        database: DatabaseSettings,

        /// The broker
        #[arg(long, env = "COMMAND_LINE_TEST_BROKER")]
        broker: String,
    }

    #[derive(Debug, clap::Args)]
    struct Migrate {
        #[command(flatten)]
        database: DatabaseSettings,
    }

    fn faults(arguments: &[&str]) -> Vec<String> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let first = Cli::try_parse_from(&arguments).unwrap_err();
        all_faults(first, &Cli::command(), &arguments)
    }

    #[test]
    fn each_fault_is_reported_once_with_its_variable_and_no_secret() {
        let found = faults(&[
            "shop",
            "run",
            "--database-url=postgres://shop:hunter2@127.0.0.1:port/shop",
            "--listen=8080",
            "--pauses-ms=1,two",
            "--database-connections=0",
        ]);
        assert_eq!(found.len(), 5, "{found:#?}");
        for (fault, expected) in [
            ("COMMAND_LINE_TEST_LISTEN", "socket address"),
            ("COMMAND_LINE_TEST_PAUSES_MS", "whole milliseconds"),
            ("BACKSTOCK_DATABASE_URL", "postgres://shop:secret@"),
            ("BACKSTOCK_DATABASE_CONNECTIONS", "1..=1000"),
            ("COMMAND_LINE_TEST_BROKER", "required"),
        ] {
            let about: Vec<_> = found.iter().filter(|text| text.contains(fault)).collect();
            assert_eq!(about.len(), 1, "{fault}: {found:#?}");
            assert!(about[0].contains(expected), "{about:?}");
        }
        assert!(!found.concat().contains("hunter2"), "{found:#?}");
    }

    #[test]
    fn a_flag_that_does_not_exist_ends_the_search() {
        let found = faults(&["shop", "run", "--listn=127.0.0.1:1", "--listen=8080"]);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains("--listn"));
    }

    #[test]
    fn a_missing_value_is_reported_once() {
        let found = faults(&["shop", "run", "--listen"]);
        assert!(found[0].contains("COMMAND_LINE_TEST_LISTEN"), "{found:#?}");
        assert!(found.len() < 4, "{found:#?}");
    }
}
