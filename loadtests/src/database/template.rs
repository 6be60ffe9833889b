//! Template databases: a catalogue with an index set, made once and cloned for every use. Here they are generated;
//! `imported.rs` has those that come from a file.
//!
//! The *base* holds the rows, with the smallest index set; from it comes one template for each further set. A name
//! says what is inside: scale, seed, and a digest of the generator's output and of the schema, so that a change to
//! either makes new templates. A template is built under another name, and renamed when it is complete: a build that
//! was interrupted is never taken for one.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use sqlx::Connection;
use sqlx::migrate::Migrator;
use techniques::{LESSONS, Lesson};
use tokio::process::Command as Process;

use super::imported;
use super::server::Server;
use dataset::load::{self, Existing};
use dataset::progress::Stage;
use dataset::{Catalogue, Scale, tables};

/// What the names of all templates begin with.
pub const PREFIX: &str = "backstock_template_";

/// The template that is being built: one at a time, under the lock. What an interrupted build left is replaced.
pub(super) const BUILDING: &str = "backstock_template_building";

/// A template is idle while it is made.
pub(super) const OFFLINE: [&str; 1] = ["--offline"];

/// The key of the advisory lock under which templates are built: "template" in ASCII.
const LOCK: i64 = 0x7465_6D70_6C61_7465;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Returns the name of the template with this data and index set, and makes it first if it is missing.
///
/// Templates that another generator or schema made are dropped when a new one is made.
pub async fn ensure_template(
    server_url: &str,
    api_binary: &Path,
    scale: Scale,
    seed: u64,
    indexes_arm: &str,
) -> Result<String> {
    let names = Names::of(scale, seed, indexes_arm)?;
    let base = async |server: &mut Server| -> Result<()> {
        drop_outdated(server, &names.digest, |name| !imported::is_imported(name)).await?;
        build_base(server, api_binary, scale, seed, &names.base).await
    };
    ensure(server_url, api_binary, &names, indexes_arm, base).await
}

/// Makes the template that is named, from a base that `build_base` makes when it is missing, too.
pub(super) async fn ensure(
    server_url: &str,
    api_binary: &Path,
    names: &Names,
    indexes_arm: &str,
    build_base: impl AsyncFnOnce(&mut Server) -> Result<()>,
) -> Result<String> {
    let mut server = Server::connect(server_url).await?;
    // Two labs that need the same template take turns. The lock ends with the connection.
    sqlx::query("select pg_advisory_lock($1)")
        .bind(LOCK)
        .execute(server.connection())
        .await?;
    if server.has(&names.template).await? {
        return Ok(names.template.clone());
    }
    if !server.has(&names.base).await? {
        build_base(&mut server).await?;
    }
    if names.template != names.base {
        let stage = Stage::start(format!("template for `{indexes_arm}`"), 0);
        server.clone(&names.base, BUILDING).await?;
        migrate(api_binary, &server.url_of(BUILDING), indexes_arm, &OFFLINE).await?;
        server.seal(BUILDING, &names.template).await?;
        stage.finish();
    }
    Ok(names.template.clone())
}

/// Every template on the server, with its size in bytes.
pub async fn list(server: &mut Server) -> Result<Vec<(String, i64)>> {
    server.with_prefix(PREFIX).await
}

/// What a template and its base are called.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) digest: String,
    pub(super) base: String,
    pub(super) template: String,
}

impl Names {
    fn of(scale: Scale, seed: u64, indexes_arm: &str) -> Result<Self> {
        Self::new(&format!("{scale}_{seed}"), digest(), indexes_arm)
    }

    /// The names of templates with this content, whose makers have this digest.
    pub(super) fn new(content: &str, digest: String, indexes_arm: &str) -> Result<Self> {
        let arms: Vec<&str> = index_sets().arms.iter().map(|arm| arm.name).collect();
        if !arms.contains(&indexes_arm) {
            bail!(
                "there is no index set `{indexes_arm}`; there are: {}",
                arms.join(", ")
            );
        }
        let name = |arm: &str| format!("{PREFIX}{content}_{digest}_{arm}");
        let (base, template) = (name(smallest_index_set()), name(indexes_arm));
        Ok(Self {
            digest,
            base,
            template,
        })
    }
}

fn index_sets() -> &'static Lesson {
    LESSONS
        .iter()
        .find(|lesson| lesson.name == "indexes")
        .expect("there is a lesson `indexes`")
}

/// The index set of a base. The arms are ordered from the baselines on: the first is the smallest set.
pub(super) fn smallest_index_set() -> &'static str {
    index_sets().arms[0].name
}

/// Seven digits of a hash over what the generator makes, what the schema says and what the index sets say.
fn digest() -> String {
    let mut hash = Sha256::new();
    // The smallest catalogue stands for the generator: what changes it changes the others, too.
    for (_, digest) in tables::digests(&Catalogue::new(Scale::Xs, 1)) {
        hash.update(digest);
    }
    for scale in Scale::ALL {
        hash.update(format!(
            "{} {} {:?} {} {};",
            scale.products(),
            scale.brands(),
            scale.tree(),
            scale.customers(),
            scale.orders()
        ));
    }
    hash_schema(&mut hash);
    digits(hash)
}

/// Adds what the schema says and what the index sets say.
pub(super) fn hash_schema(hash: &mut Sha256) {
    for migration in MIGRATIONS.iter() {
        hash.update(&migration.checksum);
    }
    for set in [
        include_str!("../../../migrations/indexes/none.sql"),
        include_str!("../../../migrations/indexes/foreign_keys.sql"),
        include_str!("../../../migrations/indexes/chosen.sql"),
    ] {
        hash.update(set);
    }
}

/// As many digits of a hash as names have room for.
pub(super) fn digits(hash: Sha256) -> String {
    let mut digits = tables::hex(&hash.finalize());
    digits.truncate(7);
    digits
}

async fn build_base(
    server: &mut Server,
    api_binary: &Path,
    scale: Scale,
    seed: u64,
    base: &str,
) -> Result<()> {
    eprintln!("Making the template database for scale {scale}, seed {seed}; it is kept for later runs.");
    let url = server.url_of(BUILDING);
    server.create(BUILDING).await?;
    migrate(api_binary, &url, smallest_index_set(), &OFFLINE).await?;
    let catalogue = Arc::new(Catalogue::new(scale, seed));
    let mut connection = load::connect(&url).await?;
    load::check(&mut connection, Existing::Refuse).await?;
    load::load(&url, &mut connection, &catalogue).await?;
    connection.close().await?;
    server.seal(BUILDING, base).await
}

/// Drops the templates of a kind that have another digest.
pub(super) async fn drop_outdated(
    server: &mut Server,
    digest: &str,
    is_of_the_kind: impl Fn(&str) -> bool,
) -> Result<()> {
    for (name, bytes) in list(server).await? {
        if name != BUILDING && is_of_the_kind(&name) && !name.contains(digest) {
            eprintln!(
                "Dropping {name} ({} MB): what it was made by has changed since.",
                bytes >> 20
            );
            server.drop(&name).await?;
        }
    }
    Ok(())
}

/// Runs `backstock-api migrate` on a database.
pub(crate) async fn migrate(
    api_binary: &Path,
    database_url: &str,
    indexes_arm: &str,
    options: &[&str],
) -> Result<()> {
    let mut arguments: Vec<&OsStr> = vec!["migrate".as_ref(), "--indexes".as_ref(), indexes_arm.as_ref()];
    arguments.extend(options.iter().map(AsRef::<OsStr>::as_ref));
    let output = run_api(api_binary, &arguments, database_url).await?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    if message.contains("No space left on device") {
        bail!("the disk of the Postgres server is full: free some space, or use a smaller --scale");
    }
    bail!(
        "`backstock-api migrate --indexes {indexes_arm}` failed: {}",
        message.trim()
    )
}

/// Runs a command of the api on a database, to its end.
pub(crate) async fn run_api(api_binary: &Path, arguments: &[&OsStr], database_url: &str) -> Result<Output> {
    Process::new(api_binary)
        .args(arguments)
        .env("BACKSTOCK_DATABASE_URL", database_url)
        // The arm is named; what the lab itself runs with must not be taken for it, or be refused.
        .env_remove("BACKSTOCK_VARIANTS")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| {
            format!(
                "cannot run {}; build it with `cargo build --release -p api`",
                api_binary.display()
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_and_fit() {
        let seed = u64::MAX;
        let chosen = Names::of(Scale::Xs, seed, "chosen").expect("an arm");
        #[cfg(feature = "baselines")]
        assert!(
            Names::of(Scale::Xs, seed, "foreign_keys")
                .expect("an arm")
                .template
                .len()
                <= 63
        );
        assert_eq!(
            chosen.template,
            Names::of(Scale::Xs, seed, "chosen").expect("an arm").template
        );
        assert_ne!(
            chosen.base,
            Names::of(Scale::S, seed, "chosen").expect("an arm").base
        );
        assert_ne!(
            chosen.base,
            Names::of(Scale::Xs, 1, "chosen").expect("an arm").base
        );
    }

    #[test]
    fn an_unknown_arm_is_answered_with_those_that_exist() {
        let fault = Names::of(Scale::Xs, 1, "fastest")
            .expect_err("no arm")
            .to_string();
        assert!(fault.contains("`fastest`") && fault.contains("chosen"), "{fault}");
    }
}
