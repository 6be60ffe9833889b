//! `backstock-worker dead-letters`: what couldn't be worked off, and what a person decides about it.
//!
//! A letter is taken from its queue and not acknowledged while it is looked at; when the command ends, RabbitMQ puts
//! back what is left. Meanwhile another such command doesn't see it. Read next: `letters.rs`.

mod letters;
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use storefront::messages::Consumer;
use storefront::settings::{AmqpSettings, LogSettings};
use storefront::telemetry;
use uuid::Uuid;

use self::letters::{Letters, of};

/// What to do about them.
#[derive(Debug, Args)]
pub struct DeadLettersCommand {
    #[command(subcommand)]
    action: Action,

    /// Only those of one consumer: confirmation_email, shipping_label, popularity, cancelled_sales or welcome_email
    #[arg(long, global = true)]
    consumer: Option<Consumer>,

    /// As JSON
    #[arg(long, global = true)]
    json: bool,

    /// How many are looked at in each queue, oldest first
    #[arg(long, global = true, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,

    #[command(flatten)]
    amqp: AmqpSettings,

    #[command(flatten)]
    log: LogSettings,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Shows all, a line each
    List,
    /// Shows one, with its body and headers
    Show {
        /// The message's id
        id: Uuid,
    },
    /// Gives one, or all, back to their consumers, as if they had never been worked on
    Redrive {
        /// The message's id
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        id: Option<Uuid>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
    /// Throws one away
    Drop {
        /// The message's id
        id: Uuid,
    },
}

/// Does it. Exit code 1 when there is no such letter, or no broker.
pub async fn run(command: DeadLettersCommand) -> anyhow::Result<ExitCode> {
    if let Err(error) = telemetry::init_logs(&command.log) {
        eprintln!("backstock-worker: BACKSTOCK_LOG: {error}; an example: info,sqlx=warn");
        return Ok(ExitCode::from(2));
    }
    let letters = Letters::fetch(&command.amqp, command.consumer, command.limit).await?;
    let code = act(&command, &letters).await?;
    letters.put_back().await;
    Ok(code)
}

async fn act(command: &DeadLettersCommand, letters: &Letters) -> anyhow::Result<ExitCode> {
    match &command.action {
        Action::List => show::list(&letters.all, command.json),
        Action::Show { id } => {
            let found = of(&letters.all, *id);
            if found.is_empty() {
                return Ok(missing(*id));
            }
            show::whole(&found, command.json);
        }
        Action::Redrive { id: None, .. } => {
            for letter in &letters.all {
                letters.redrive(letter).await?;
            }
            show::outcome("redriven", letters.all.len(), command.json);
        }
        Action::Redrive { id: Some(id), .. } => {
            let found = of(&letters.all, *id);
            if found.is_empty() {
                return Ok(missing(*id));
            }
            for letter in &found {
                letters.redrive(letter).await?;
            }
            show::outcome("redriven", found.len(), command.json);
        }
        Action::Drop { id } => {
            let found = of(&letters.all, *id);
            if found.is_empty() {
                return Ok(missing(*id));
            }
            for letter in &found {
                letters.throw_away(letter).await?;
            }
            show::outcome("dropped", found.len(), command.json);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn missing(id: Uuid) -> ExitCode {
    eprintln!(
        "backstock-worker: there is no dead letter {id}; `backstock-worker dead-letters list` shows those there are"
    );
    ExitCode::FAILURE
}
