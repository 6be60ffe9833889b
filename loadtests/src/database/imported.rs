//! Template databases with an imported catalogue: what the real `backstock-api import` makes of a file, once.
//!
//! Each arm of a comparison gets a clone, so all have the same ids and times; an import for each arm would give each its
//! own, and the arms would answer differently. A name holds digests of the file, and of what makes something of it: the
//! schema, the index sets and the build of the api that imported. Read next: `template.rs`, which does the rest.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use sqlx::Connection;

use super::server::Server;
use super::template::{self, BUILDING, Names, PREFIX};
use dataset::load;
use dataset::progress::Stage;
use dataset::tables::{Table, hex};

/// What follows the prefix in the name of a template with imported data.
const KIND: &str = "import_";

/// A file to be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportFile {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of its content.
    pub digest: String,
}

impl ImportFile {
    /// Reads a file's content for its digest.
    ///
    /// # Errors
    /// When it is no file, or cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        ensure!(
            path.is_file(),
            "there is no file {}; give the path of a Shopify product export (CSV)",
            path.display()
        );
        let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            digest: hex(&Sha256::digest(&content)),
        })
    }

    /// The name without its folder, for reports.
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }
}

/// Returns the name of the template with this file's products and index set, and makes it first if it is missing.
///
/// # Errors
/// When the file cannot be imported, or nothing in it can; nothing is kept then.
pub async fn ensure_imported_template(
    server_url: &str,
    api_binary: &Path,
    file: &ImportFile,
    indexes_arm: &str,
) -> Result<String> {
    let content = format!("{KIND}{}", &file.digest[..12]);
    let names = Names::new(&content, digest(api_binary)?, indexes_arm)?;
    let base = async |server: &mut Server| -> Result<()> {
        template::drop_outdated(server, &names.digest, is_imported).await?;
        build_base(server, api_binary, file, &names.base).await
    };
    template::ensure(server_url, api_binary, &names, indexes_arm, base).await
}

/// Whether a template holds imported data.
pub(super) fn is_imported(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .is_some_and(|content| content.starts_with(KIND))
}

/// Seven digits of a hash over what the schema and the index sets say, and which build of the api imports. The lab cannot
/// see what the importer does, so every build counts as another importer; an import takes seconds.
fn digest(api_binary: &Path) -> Result<String> {
    let build = std::fs::metadata(api_binary).with_context(|| {
        format!(
            "cannot read {}; build it with `cargo build --release -p api`",
            api_binary.display()
        )
    })?;
    let mut hash = Sha256::new();
    hash.update(format!(
        "{} {}.{};",
        build.len(),
        build.mtime(),
        build.mtime_nsec()
    ));
    template::hash_schema(&mut hash);
    Ok(template::digits(hash))
}

async fn build_base(server: &mut Server, api_binary: &Path, file: &ImportFile, base: &str) -> Result<()> {
    eprintln!(
        "Importing {} into a template database; it is kept for later runs.",
        file.name()
    );
    let url = server.url_of(BUILDING);
    server.create(BUILDING).await?;
    let built = import_into(&url, api_binary, file).await;
    if built.is_err() {
        server.drop(BUILDING).await?;
    }
    built?;
    server.seal(BUILDING, base).await
}

async fn import_into(url: &str, api_binary: &Path, file: &ImportFile) -> Result<()> {
    template::migrate(
        api_binary,
        url,
        template::smallest_index_set(),
        &template::OFFLINE,
    )
    .await?;
    let stage = Stage::start("import", 0);
    let arguments = ["import".as_ref(), file.path.as_os_str()];
    let output = template::run_api(api_binary, &arguments, url).await?;
    stage.finish();
    let (said, wrong) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    // Its last line says what became of the file; those above it are about single rows.
    let outcome = said.lines().last().unwrap_or_default();
    if !output.status.success() {
        let why = wrong.lines().last().unwrap_or(outcome);
        let why = why.trim_start_matches("backstock-api: ");
        bail!("{} cannot be imported: {why}", file.path.display());
    }
    let mut connection = load::connect(url).await?;
    let imported: bool = sqlx::query_scalar("select exists (select from products)")
        .fetch_one(&mut connection)
        .await?;
    ensure!(imported, "{} cannot be imported: {outcome}", file.path.display());
    eprintln!("{outcome}");
    // As after generating: without statistics no plan is a sane one.
    let names = Table::ALL.map(Table::name).join(", ");
    let vacuum = format!("vacuum (analyze) {names}, product_search, search_rows, search_words");
    sqlx::raw_sql(sqlx::AssertSqlSafe(vacuum))
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_are_told_from_generated_ones() {
        let digest = "0123456789abcdef".repeat(4);
        for set in ["chosen", "foreign_keys"] {
            let name = format!("{PREFIX}{KIND}{}_abcdefg_{set}", &digest[..12]);
            assert!(name.len() <= 63 && is_imported(&name), "{name}");
        }
        assert!(!is_imported(&format!("{PREFIX}s_1_abcdefg_chosen")));
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let fault = ImportFile::open(Path::new("/nowhere/products.csv")).expect_err("no such file");
        assert!(fault.to_string().contains("/nowhere/products.csv"), "{fault}");
        assert!(ImportFile::open(Path::new("/")).is_err(), "a folder is no file");
    }
}
