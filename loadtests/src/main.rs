//! `backstock-lab`: the command line of the lab. Each command is a module's own; here they get a runtime and an exit
//! code: 0 done, 1 a check failed (named on the last line), 2 wrong use.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use loadtests::{compare, database, lessons, limits, load, report, side_by_side};

/// Measures what each technique of the storefront costs and saves.
#[derive(Debug, Parser)]
#[command(name = "backstock-lab", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fills a database with a catalogue that is the same for the same seed
    Generate(dataset::Command),
    /// Makes, lists and drops databases of generated data
    #[command(subcommand)]
    Database(database::Command),
    /// Measures the arms of each lesson side by side
    Compare(compare::Command),
    /// Measures the product against what its stores and the machine allow
    Limits(limits::Command),
    #[command(name = "bare-server", hide = true)]
    BareServer(limits::BareServerCommand),
    /// Puts one workload on a URL
    Load(load::Command),
    /// Shows two running shops side by side
    SideBySide(side_by_side::Command),
    /// Rebuilds the page from a report.json
    Report(report::Command),
    /// Lists the lessons
    Lessons(lessons::Command),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(fault) => return failed(&anyhow::Error::from(fault).context("cannot start the runtime")),
    };
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = run(cli.command) => outcome,
            // What runs is dropped, and with it every process that it has started.
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => failed(&fault),
    }
}

async fn run(command: Command) -> anyhow::Result<bool> {
    let done = |()| true;
    match command {
        Command::Generate(command) => command.run().await.map(done),
        Command::Database(command) => command.run().await.map(done),
        Command::Compare(command) => {
            let plans = command.check().unwrap_or_else(|fault| wrong_use(&fault));
            command.run(plans).await
        }
        Command::Limits(command) => command.run().await,
        Command::BareServer(command) => command.run().await.map(done),
        Command::Load(command) => command.run().await.map(done),
        Command::SideBySide(command) => command.run().await.map(done),
        Command::Report(command) => command.run().map(done),
        Command::Lessons(command) => command.run().map(done),
    }
}

/// Says what is wrong as clap does, and exits with its code, 2.
fn wrong_use(fault: &anyhow::Error) -> ! {
    Cli::command()
        .error(clap::error::ErrorKind::ValueValidation, format!("{fault:#}"))
        .exit()
}

fn failed(fault: &anyhow::Error) -> ExitCode {
    eprintln!("backstock-lab: {fault:#}");
    ExitCode::FAILURE
}
