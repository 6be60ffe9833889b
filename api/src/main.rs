//! `backstock-api`: the command line. Each command is a few lines around the library.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use api::accounts::create_admin::{AdminOutcome, create_admin};
use api::accounts::password::NewPassword;
use api::import::{ImportOptions, import_file};
use api::migrate::{self, MigrationSettings};
use api::settings::Settings;
use clap::{Parser, Subcommand};
use platform::settings::{DatabaseSettings, LogSettings};
use platform::telemetry;
use secrecy::{ExposeSecret, SecretString};
use shop::email_address::EmailAddress;
use shop::money::Currency;
use sqlx::{ConnectOptions, PgConnection};
use techniques::Selection;

#[cfg(feature = "allocator-mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// The least resident memory among those within 3 % of the best throughput: "Memory of the api" in docs/OPERATIONS.md.
#[cfg(not(any(feature = "allocator-mimalloc", feature = "allocator-system")))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The storefront's HTTP service. Every setting is a flag or an environment variable.
#[derive(Debug, Parser)]
#[command(name = "backstock-api", version, flatten_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves the shop (the default command)
    Serve(Box<Settings>),
    /// Brings the schema up to date and applies an index set
    Migrate(MigrateCommand),
    /// Imports a Shopify product export
    Import(ImportCommand),
    /// Gives an account the admin role, and creates the account if there is none
    CreateAdmin(CreateAdminCommand),
    /// Checks the health of the process that serves on this host; needs no shell
    Health(HealthCommand),
}

#[derive(Debug, clap::Args)]
struct MigrateCommand {
    /// The index set: an arm of the lesson `indexes` [default: that of BACKSTOCK_VARIANTS]
    #[arg(long, value_name = "ARM")]
    indexes: Option<String>,

    /// The default index set is taken from these arms
    #[arg(
        long = "variants",
        value_name = "VARIANTS",
        env = "BACKSTOCK_VARIANTS",
        default_value = "optimized"
    )]
    selection: Selection,

    #[command(flatten)]
    migration: MigrationSettings,

    #[command(flatten)]
    database: DatabaseSettings,

    #[command(flatten)]
    log: LogSettings,
}

#[derive(Debug, clap::Args)]
struct ImportCommand {
    /// A Shopify product export (CSV)
    file: PathBuf,

    /// The currency of its prices: an ISO 4217 code
    #[arg(long, default_value = "EUR")]
    currency: Currency,

    /// Import nothing when any row is bad
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    database: DatabaseSettings,

    #[command(flatten)]
    log: LogSettings,
}

#[derive(Debug, clap::Args)]
struct CreateAdminCommand {
    /// The account's email address
    email: EmailAddress,

    /// The password of a new account, 8 to 256 characters [default: the first line of piped standard input, otherwise
    /// one is generated and printed]
    #[arg(long, env = "BACKSTOCK_ADMIN_PASSWORD", hide_env_values = true)]
    admin_password: Option<SecretString>,

    #[command(flatten)]
    database: DatabaseSettings,

    #[command(flatten)]
    log: LogSettings,
}

#[derive(Debug, clap::Args)]
struct HealthCommand {
    /// The address of that process's internal listener
    #[arg(long, env = "BACKSTOCK_INTERNAL_LISTEN", default_value = "127.0.0.1:9080")]
    internal_listen: SocketAddr,
}

fn main() -> ExitCode {
    let arguments = with_default_command(std::env::args_os().collect());
    let Cli { command } = match platform::command_line::read(&arguments) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let outcome = match command {
        Command::Serve(settings) => api::server::serve::run(*settings),
        Command::Migrate(command) => on_one_thread(run_migrate(command)),
        Command::Import(command) => on_one_thread(run_import(command)),
        Command::CreateAdmin(command) => on_one_thread(run_create_admin(command)),
        Command::Health(command) => return platform::healthcheck::run(command.internal_listen),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("backstock-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// An empty command line, or one that begins with a setting, means `serve`.
fn with_default_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    const GLOBAL_FLAGS: [&str; 4] = ["-h", "--help", "-V", "--version"];
    let first = arguments
        .get(1)
        .map(|argument| argument.to_string_lossy().into_owned());
    let serves = match first.as_deref() {
        None => true,
        Some(first) => first.starts_with('-') && !GLOBAL_FLAGS.contains(&first),
    };
    if serves && !arguments.is_empty() {
        arguments.insert(1, "serve".into());
    }
    arguments
}

fn on_one_thread(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

async fn connect(settings: &DatabaseSettings) -> anyhow::Result<PgConnection> {
    let options = platform::postgres::connect_options(settings, "backstock-api")?;
    options
        .connect()
        .await
        .context("can't connect to Postgres at BACKSTOCK_DATABASE_URL")
}

async fn run_migrate(command: MigrateCommand) -> anyhow::Result<ExitCode> {
    telemetry::init_logs(&command.log)?;
    let mut selection = command.selection;
    if let Some(arm) = &command.indexes {
        // The one parser of switches reports an unknown arm and lists the known ones.
        selection = match format!("optimized,indexes={arm}").parse() {
            Ok(selection) => selection,
            Err(error) => {
                eprintln!("backstock-api: --indexes {arm}: {error}");
                return Ok(ExitCode::from(2));
            }
        };
    }
    let mut connection = connect(&command.database).await?;
    migrate::migrate(&mut connection, selection.indexes, &command.migration).await?;
    println!(
        "The schema is up to date, with the index set `{}`.",
        selection.indexes.as_str()
    );
    Ok(ExitCode::SUCCESS)
}

async fn run_import(command: ImportCommand) -> anyhow::Result<ExitCode> {
    telemetry::init_logs(&command.log)?;
    let mut connection = connect(&command.database).await?;
    let options = ImportOptions {
        currency: command.currency,
        strict: command.strict,
    };
    let report = import_file(&mut connection, &command.file, &options).await?;
    println!("{report}");
    let refused = !report.imported && !report.rows_skipped.is_empty();
    Ok(if refused {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

async fn run_create_admin(command: CreateAdminCommand) -> anyhow::Result<ExitCode> {
    telemetry::init_logs(&command.log)?;
    let given = match &command.admin_password {
        Some(password) => Some(password.expose_secret().to_owned()),
        None => first_line_of_input()?,
    };
    let password = match given.map(NewPassword::new).transpose() {
        Ok(password) => password,
        Err(error) => {
            eprintln!("backstock-api: BACKSTOCK_ADMIN_PASSWORD {error}");
            return Ok(ExitCode::from(2));
        }
    };
    let mut connection = connect(&command.database).await?;
    let email = &command.email;
    match create_admin(&mut connection, email, password).await? {
        AdminOutcome::Promoted => {
            println!("{email} is an admin from the next sign-in on. The password is unchanged.")
        }
        AdminOutcome::CreatedWithGivenPassword => println!("{email} is an admin, with the given password."),
        AdminOutcome::CreatedWithGeneratedPassword(password) => {
            println!("{email} is an admin. The password, which is not shown again: {password}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The first line of piped input. At a terminal there is no prompt.
fn first_line_of_input() -> anyhow::Result<Option<String>> {
    if std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let line = line.trim_end_matches(['\r', '\n']);
    Ok((!line.is_empty()).then(|| line.to_owned()))
}
