//! `backstock-lab database`: databases full of generated or imported data, ready in seconds.
//!
//! [`ensure_template`] keeps a template for each scale, seed and index set, [`ensure_imported_template`] for each file and
//! index set, [`clone_database`] makes a copy of it for a shop or a comparison. Read next: [`template`].

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use local_services::{Purpose, Services};
use sqlx::{Connection, PgConnection};

pub mod imported;
pub mod server;
pub mod template;

pub use imported::{ImportFile, ensure_imported_template};
pub use server::Server;
pub(crate) use server::url_of;
pub use template::ensure_template;
pub(crate) use template::{migrate, run_api};

use dataset::{DEFAULT_SEED, Scale, load};

/// Makes, lists and drops databases of generated data.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Makes a database from a template, unless it is there with that index set; prints its URL.
    Prepare(Prepare),
    /// Lists the template databases, with their sizes.
    List(OnServer),
    /// Drops all template databases.
    DropTemplates(OnServer),
}

impl Command {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        match self {
            Command::Prepare(prepare) => prepare.run().await,
            Command::List(on) => {
                let (_services, url) = on.server().await?;
                for (name, bytes) in template::list(&mut Server::connect(&url).await?).await? {
                    println!("{:>8} MB  {name}", bytes >> 20);
                }
                Ok(())
            }
            Command::DropTemplates(on) => {
                let (_services, url) = on.server().await?;
                let mut server = Server::connect(&url).await?;
                for (name, bytes) in template::list(&mut server).await? {
                    server.drop(&name).await?;
                    println!("Dropped {name} ({} MB).", bytes >> 20);
                }
                Ok(())
            }
        }
    }
}

/// Which server.
#[derive(Debug, Clone, Args)]
pub struct OnServer {
    /// Any database of the Postgres server, by a role that may create databases. Without it, the private server of
    /// `make up` is started and used.
    #[arg(long, env = "BACKSTOCK_DATABASE_URL", hide_env_values = true)]
    server_url: Option<String>,
}

impl OnServer {
    /// The server's URL; where it is one of our own, it runs as long as the first value lives.
    async fn server(&self) -> Result<(Option<Services>, String)> {
        if let Some(url) = &self.server_url {
            return Ok((None, url.clone()));
        }
        let services = tokio::task::spawn_blocking(|| Services::start(Purpose::Shop)).await??;
        let url = services.database_url("postgres");
        Ok((Some(services), url))
    }
}

/// Makes a database from a template.
#[derive(Debug, Clone, Args)]
pub struct Prepare {
    /// How large: xs (1 000 products), s (200 000) or m (1 000 000).
    #[arg(long, value_enum, default_value_t = Scale::S)]
    scale: Scale,
    /// The seed of the data.
    #[arg(long, default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// The database to make.
    #[arg(long)]
    name: String,
    /// The index set: an arm of the lesson `indexes`.
    #[arg(long, default_value = "chosen")]
    indexes: String,
    /// Leaves a database that is there as it is, whatever its index set: `backstock-api migrate` swaps that in place.
    /// Prints no URL, since it is for a job whose output is a log.
    #[arg(long)]
    keep: bool,
    /// The api, which applies the schema [default: the backstock-api beside this program].
    #[arg(long)]
    api_binary: Option<PathBuf>,
    #[command(flatten)]
    on: OnServer,
}

impl Prepare {
    async fn run(self) -> Result<()> {
        let (_services, server_url) = self.on.server().await?;
        let mut server = Server::connect(&server_url).await?;
        let api_binary = match self.api_binary {
            Some(path) => path,
            None => beside_this_program("backstock-api")?,
        };
        if self.keep && server.has(&self.name).await? {
            eprintln!("The database `{}` is there: nothing to do.", self.name);
            return Ok(());
        }
        if !is_ready(&mut server, &self.name, &self.indexes).await? {
            let template =
                ensure_template(&server_url, &api_binary, self.scale, self.seed, &self.indexes).await?;
            clone_database(&server_url, &template, &self.name).await?;
            eprintln!("The database `{}` has data of scale {}.", self.name, self.scale);
        }
        if !self.keep {
            println!("{}", server.url_of(&self.name));
        }
        Ok(())
    }
}

/// Sees to it that one command at a time measures on these servers: two would drop each other's databases, and each
/// would measure the other. It holds as long as the connection lives.
///
/// # Errors
/// When another one measures.
pub async fn measure_alone(server_url: &str) -> Result<PgConnection> {
    /// Any number that nobody else locks.
    const LOCK: i64 = 0x006c_6162_5f6f_6e65;
    let mut connection = PgConnection::connect(server_url).await?;
    let alone: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut connection)
        .await?;
    anyhow::ensure!(
        alone,
        "`compare` or `limits` is measuring on these servers already; wait for its end, or stop it"
    );
    Ok(connection)
}

/// Makes a copy of a template in place of any database of that name.
pub async fn clone_database(server_url: &str, template: &str, name: &str) -> Result<()> {
    let mut server = Server::connect(server_url).await?;
    server.clone(template, name).await?;
    server.set_comment(name, &format!("{MADE_FROM}{template}")).await
}

/// Drops a database if it exists, and ends connections to it.
pub async fn drop_database(server_url: &str, name: &str) -> Result<()> {
    Server::connect(server_url).await?.drop(name).await
}

/// What the comment on a database begins with that was made here.
const MADE_FROM: &str = "Made by backstock-lab from ";

/// Whether a database is there with an index set. It may hold changes and imports of the user's: it is kept as it is.
async fn is_ready(server: &mut Server, name: &str, indexes: &str) -> Result<bool> {
    if !server.has(name).await? {
        return Ok(false);
    }
    if !server
        .comment(name)
        .await?
        .is_some_and(|comment| comment.starts_with(MADE_FROM))
    {
        bail!(
            "the database `{name}` was not made by this command: choose another --name, or drop it yourself"
        );
    }
    let mut connection = load::connect(&server.url_of(name)).await?;
    let applied: String = sqlx::query_scalar("select arm from index_set")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    if applied != indexes {
        eprintln!("Replacing the database `{name}`: it has the index set `{applied}`, not `{indexes}`.");
    }
    Ok(applied == indexes)
}

fn beside_this_program(binary: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find the path of this program")?;
    Ok(this.parent().unwrap_or(Path::new(".")).join(binary))
}
