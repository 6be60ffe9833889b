//! `backstock-worker dead-letters`: lets an operator inspect, redrive or drop
//! messages that failed permanently.
//!
//! Messages are fetched without an acknowledgement while the command runs. When it ends, RabbitMQ requeues
//! the rest. Meanwhile another such command doesn't see them. Read next: `letters.rs`.

mod letters;
mod show;

use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use platform::settings::{AmqpSettings, LogSettings};
use platform::telemetry;
use shop::messages::Consumer;
use uuid::Uuid;

use self::letters::{DeadLetterBatch, with_id};

/// Arguments of `dead-letters`.
#[derive(Debug, Args)]
pub struct DeadLettersCommand {
    #[command(subcommand)]
    action: Action,

    /// Only one consumer's dead letters
    #[arg(long, global = true, value_parser = consumer_parser())]
    consumer: Option<Consumer>,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,

    /// Messages fetched from each queue, oldest first
    #[arg(long, global = true, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,

    #[command(flatten)]
    amqp: AmqpSettings,

    #[command(flatten)]
    log: LogSettings,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists dead letters, one per line
    List,
    /// Shows a dead letter with its body and headers
    Show {
        /// The message's id
        id: Uuid,
    },
    /// Returns one or all dead letters to their consumers, with the attempts reset
    Redrive {
        /// The message's id
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<Uuid>,
        /// Redrive all dead letters
        #[arg(long)]
        all: bool,
    },
    /// Discards a dead letter
    Drop {
        /// The message's id
        id: Uuid,
    },
}

/// Lists the consumers in `--help`.
fn consumer_parser() -> impl TypedValueParser<Value = Consumer> {
    PossibleValuesParser::new(Consumer::ALL.map(Consumer::as_str)).map(|name| {
        let consumer = name.parse::<Consumer>();
        consumer.expect("every possible value is a consumer's name")
    })
}

/// Runs the command. Exit code 1 when the message isn't a dead letter, or the broker is unavailable.
pub async fn run(command: DeadLettersCommand) -> anyhow::Result<ExitCode> {
    if let Err(error) = telemetry::init_logs(&command.log) {
        eprintln!("backstock-worker: BACKSTOCK_LOG: {error}; an example: info,sqlx=warn");
        return Ok(ExitCode::from(2));
    }
    let letters = DeadLetterBatch::fetch(&command.amqp, command.consumer, command.limit).await?;
    let code = execute(&command, &letters).await?;
    letters.requeue_rest().await;
    Ok(code)
}

async fn execute(command: &DeadLettersCommand, letters: &DeadLetterBatch) -> anyhow::Result<ExitCode> {
    match &command.action {
        Action::List => show::list(&letters.all, command.json),
        Action::Show { id } => {
            let found = with_id(&letters.all, *id);
            if found.is_empty() {
                return Ok(missing(*id));
            }
            show::details(&found, command.json);
        }
        Action::Redrive { id: None, .. } => {
            for letter in &letters.all {
                letters.redrive(letter).await?;
            }
            show::summary("redriven", letters.all.len(), command.json);
        }
        Action::Redrive { id: Some(id), .. } => {
            let found = with_id(&letters.all, *id);
            if found.is_empty() {
                return Ok(missing(*id));
            }
            for letter in &found {
                letters.redrive(letter).await?;
            }
            show::summary("redriven", found.len(), command.json);
        }
        Action::Drop { id } => {
            let found = with_id(&letters.all, *id);
            if found.is_empty() {
                return Ok(missing(*id));
            }
            for letter in &found {
                letters.discard(letter).await?;
            }
            show::summary("dropped", found.len(), command.json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn missing(id: Uuid) -> ExitCode {
    eprintln!(
        "backstock-worker: there is no dead letter {id}; list them with `backstock-worker dead-letters list`"
    );
    ExitCode::FAILURE
}
