//! Finds the servers' programs. Debian installs those of Postgres and RabbitMQ outside of PATH.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// The oldest major version of Postgres that the project is tested with.
const OLDEST_POSTGRES: u32 = 15;

/// The directory with `postgres`, `initdb`, `psql` and `pgbench` of the given version, or of the newest one.
pub(crate) fn postgres_directory(major: Option<u32>) -> Result<PathBuf> {
    let mut found = installed_postgres();
    found.retain(|(version, _)| *version >= OLDEST_POSTGRES && major.is_none_or(|major| *version == major));
    found.sort();
    match (found.pop(), major) {
        (Some((_, directory)), _) => Ok(directory),
        (None, Some(major)) => bail!(
            "the data was made by Postgres {major}, which is not installed: install it (postgresql-{major}), or remove \
             the data with `make clean`"
        ),
        (None, None) => bail!(
            "Postgres {OLDEST_POSTGRES} or newer is not installed. {}",
            how_to_install("postgresql")
        ),
    }
}

fn installed_postgres() -> Vec<(u32, PathBuf)> {
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut candidates: Vec<PathBuf> = debian
        .map(|version| version.path().join("bin/postgres"))
        .collect();
    candidates.extend(in_path("postgres"));
    let mut found = Vec::new();
    for program in candidates {
        // PATH may contain only a link to the server; the other programs are beside its target.
        if let Ok(program) = fs::canonicalize(&program)
            && let Some(directory) = program.parent()
            && ["initdb", "psql"]
                .iter()
                .all(|companion| directory.join(companion).exists())
            && let Some(version) = postgres_major(&program)
        {
            found.push((version, directory.to_owned()));
        }
    }
    found
}

/// Parses `postgres (PostgreSQL) 15.18 (Debian …)`.
fn postgres_major(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().nth(2)?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

pub(crate) fn redis_server() -> Result<PathBuf> {
    match in_path("redis-server") {
        Some(program) => Ok(program),
        None => bail!("Redis is not installed. {}", how_to_install("redis-server")),
    }
}

/// The directory with RabbitMQ's own scripts. Debian's wrappers in `/usr/sbin` reject ordinary users.
pub(crate) fn rabbitmq_directory() -> Result<PathBuf> {
    let debian = PathBuf::from("/usr/lib/rabbitmq/bin");
    if debian.join("rabbitmq-server").exists() {
        return Ok(debian);
    }
    match in_path("rabbitmq-server").as_deref().and_then(Path::parent) {
        Some(directory) => Ok(directory.to_owned()),
        None => bail!("RabbitMQ is not installed. {}", how_to_install("rabbitmq-server")),
    }
}

/// Erlang's port mapper, which comes with RabbitMQ's Erlang.
pub(crate) fn epmd() -> Result<PathBuf> {
    match in_path("epmd") {
        Some(program) => Ok(program),
        None => bail!(
            "Erlang's epmd is not installed. {}",
            how_to_install("rabbitmq-server")
        ),
    }
}

/// Looks the program up in PATH and in the system directories, which PATH may lack for ordinary users.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(system)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// The hint for missing packages.
pub(crate) fn how_to_install(packages: &str) -> String {
    format!(
        "Install with `make test YES=1`, or yourself (Debian: `sudo apt-get install --no-install-recommends {packages}`)"
    )
}
