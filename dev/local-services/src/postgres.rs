//! The private Postgres: cluster, settings, start.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::Purpose;
use crate::binaries::postgres_directory;
use crate::data_dirs::DataDirs;
use crate::ports::check_free;
use crate::process::{Process, StartingServer, clean_command, last_error_line};

/// The cluster's superuser. Tests clone databases and tools reset statistics, which need one.
pub(crate) const ROLE: &str = "backstock";

pub(crate) const SERVER: &str = "postgres";

/// The directory of the programs whose major version has created the cluster.
pub(crate) fn programs(dirs: &DataDirs) -> Result<PathBuf> {
    let created_by = fs::read_to_string(dirs.data.join(SERVER).join("PG_VERSION"));
    postgres_directory(created_by.ok().and_then(|version| version.trim().parse().ok()))
}

/// Starts Postgres and waits until it is ready.
pub(crate) fn start(dirs: &DataDirs, port: u16) -> Result<(Process, String)> {
    let directory = dirs.server_directory(SERVER)?;
    let programs = programs(dirs)?;
    discard_after_power_failure(dirs, &directory)?;
    if !directory.join("PG_VERSION").exists() {
        create_cluster(dirs, &programs, &directory)?;
    }
    remove_stale_pid_file(&directory)?;
    check_free(port, "Postgres")?;
    let hba = dirs.write_config("pg_hba.conf", HBA)?;
    let config = dirs.write_config("postgresql.conf", &settings(dirs.purpose, port, &hba))?;
    let mut command = clean_command(&programs.join("postgres"), &directory);
    command
        .arg("-D")
        .arg(&directory)
        .arg("-c")
        .arg(format!("config_file={}", config.display()));
    StartingServer::spawn(dirs, SERVER, command, port)?.wait_until(|| version(dirs, &programs, port))
}

/// The readiness check: queries the server's version with the password.
pub(crate) fn version(dirs: &DataDirs, programs: &Path, port: u16) -> Option<String> {
    let output = Command::new(programs.join("psql"))
        .args(["--no-psqlrc", "--no-password", "--tuples-only", "--no-align"])
        .args([
            "--host",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--username",
            ROLE,
            "--dbname",
            "postgres",
        ])
        .args(["--command", "show server_version"])
        .env("PGPASSWORD", &dirs.password)
        .env("PGCONNECT_TIMEOUT", "5")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().next().map(str::to_owned)
}

/// Creates the cluster in a draft directory and renames it, so that an incomplete one is never used.
fn create_cluster(dirs: &DataDirs, programs: &Path, directory: &Path) -> Result<()> {
    let draft = dirs.server_directory("postgres.draft")?;
    fs::remove_dir_all(&draft).context("cannot remove an incomplete cluster")?;
    let draft = dirs.server_directory("postgres.draft")?;
    let password_file = dirs.write_config("initdb-password", &dirs.password)?;
    let log_path = dirs.log_path("initdb");
    let log = dirs.new_log("initdb")?;
    let mut command = clean_command(&programs.join("initdb"), &draft);
    command
        .arg("--pgdata")
        .arg(&draft)
        .arg("--pwfile")
        .arg(&password_file);
    command.args([
        "--username",
        ROLE,
        "--auth=scram-sha-256",
        "--locale=C.UTF-8",
        "--encoding=UTF8",
    ]);
    if dirs.purpose == Purpose::Tests {
        command.arg("--no-sync");
    }
    dirs.os_user.apply(&mut command);
    let status = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status();
    let status = status.with_context(|| format!("cannot run {}", programs.join("initdb").display()))?;
    fs::remove_file(&password_file).context("cannot remove initdb's password file")?;
    if !status.success() {
        bail!(
            "initdb failed: {} (log: {})",
            last_error_line(&log_path),
            log_path.display()
        );
    }
    fs::remove_dir(directory).context("the cluster's directory is not empty")?;
    fs::rename(&draft, directory).context("cannot rename the new cluster's directory")
}

/// A test cluster runs with `fsync = off`, so a power failure may have silently corrupted it. If it was running when the
/// machine went down, it is recreated.
fn discard_after_power_failure(dirs: &DataDirs, directory: &Path) -> Result<()> {
    if dirs.purpose == Purpose::Shop {
        return Ok(());
    }
    let this_boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot_path = dirs.state.join("boot-id");
    let last_boot = fs::read_to_string(&boot_path).unwrap_or_else(|_| this_boot.clone());
    if last_boot != this_boot && directory.join("postmaster.pid").exists() {
        fs::remove_dir_all(directory).context("cannot remove the broken test cluster")?;
        dirs.server_directory(SERVER)?;
    }
    fs::write(&boot_path, this_boot).context("cannot note this boot's id")
}

/// After a crash the process id in `postmaster.pid` may have been reused, and then Postgres refuses to start. Only a
/// process whose working directory is the cluster's is that Postgres.
fn remove_stale_pid_file(directory: &Path) -> Result<()> {
    let path = directory.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&path) else {
        return Ok(());
    };
    let pid = text.lines().next().unwrap_or_default().trim();
    let works_in = fs::read_link(format!("/proc/{pid}/cwd"));
    if works_in.is_ok_and(|cwd| cwd == directory) {
        bail!(
            "an unrecorded Postgres is running in {} (process {pid}): stop it with `kill {pid}`",
            directory.display()
        );
    }
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
}

const HBA: &str = "\
# Loopback only, and with a password, because other users of the machine can reach the port.
host all all 127.0.0.1/32 scram-sha-256
";

fn settings(purpose: Purpose, port: u16, hba: &Path) -> String {
    let memory_mb = memory_mb();
    let (shared_buffers_mb, durability) = match purpose {
        Purpose::Shop => ((memory_mb / 8).clamp(128, 2048), DURABLE),
        Purpose::Tests => ((memory_mb / 32).clamp(64, 256), VOLATILE),
    };
    let monitoring = match purpose {
        Purpose::Shop => SLOW_STATEMENT_LOG,
        Purpose::Tests => STATEMENT_COUNTS,
    };
    let maintenance_mb = (memory_mb / 16).clamp(64, 512);
    let address = Ipv4Addr::LOCALHOST;
    let hba = hba.display().to_string().replace('\'', "''");
    format!(
        "\
# Generated by local-services at each start: changes are lost.

listen_addresses = '{address}'
port = {port}
# No Unix socket: its path (at most 107 bytes) may be too long in a deep clone, and proxies need TCP.
unix_socket_directories = ''
hba_file = '{hba}'
# The pools of each shop, those of tools, and psql.
max_connections = 200

# An eighth of the memory. The usual quarter is for a dedicated machine; here other programs share it.
shared_buffers = {shared_buffers_mb}MB
# Keeps the sort of a page's candidates in memory, and stays affordable with 200 connections.
work_mem = 16MB
# For building the index sets.
maintenance_work_mem = {maintenance_mb}MB
# The size of the kernel's page cache, as the planner may assume it.
effective_cache_size = {cache_mb}MB
# On a local SSD, random reads cost about as much as sequential ones.
random_page_cost = 1.1

{durability}
# `create table … as` and `copy` into a table created or truncated in the same transaction skip the write-ahead log, so
# generating data writes each page once. It gives up replication and point-in-time recovery, which nothing here uses.
wal_level = minimal
max_wal_senders = 0
# Fewer checkpoints, so that a shop doesn't pay for the writes of another.
checkpoint_timeout = 30min
max_wal_size = 8GB

# Compiling an expression takes longer than any query of the shop and would add noise.
jit = off
{monitoring}
# Large enough that no statement is evicted.
pg_stat_statements.max = 20000
pg_stat_statements.track = top
# Counting plans costs a lock per plan.
pg_stat_statements.track_planning = off
track_io_timing = on
# Without it the generated tables would have no statistics, and updated ones would bloat.
autovacuum = on

timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %d '
",
        cache_mb = memory_mb / 2,
    )
}

/// Logs slow statements and lock waits, for manual use of the shops.
const SLOW_STATEMENT_LOG: &str = "\
shared_preload_libraries = 'pg_stat_statements, auto_explain'
# The shop's latency objective is 500 ms, so a statement that takes half of it is worth a look.
log_min_duration_statement = 250ms
# Logs the estimated plan of even slower ones. log_analyze would slow every statement down.
auto_explain.log_min_duration = 500ms
auto_explain.log_analyze = off
# Logs lock waits of more than deadlock_timeout (1 s).
log_lock_waits = on
";

/// Tests count statements and need no log.
const STATEMENT_COUNTS: &str = "\
shared_preload_libraries = 'pg_stat_statements'
";

const DURABLE: &str = "\
# Durable commits, as in production.
fsync = on
synchronous_commit = on
full_page_writes = on
";

const VOLATILE: &str = "\
# Tests: data needn't survive a power failure.
fsync = off
synchronous_commit = off
full_page_writes = off
";

fn memory_mb() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.map_or(2048, |kilobytes| kilobytes >> 10)
}
