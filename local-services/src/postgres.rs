//! The private Postgres: its cluster, its settings, its start.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::Purpose;
use crate::binaries::postgres_directory;
use crate::place::Place;
use crate::ports::check_free;
use crate::process::{Process, Starting, clean_command, last_telling_line};

/// The role that the cluster is made with. A superuser, since the lab resets statistics and tests clone databases.
pub(crate) const ROLE: &str = "backstock";

pub(crate) const SERVER: &str = "postgres";

/// The directory of programs that fit the cluster: a cluster opens only with the major version that made it.
pub(crate) fn programs(place: &Place) -> Result<PathBuf> {
    let made_by = fs::read_to_string(place.data.join(SERVER).join("PG_VERSION"));
    postgres_directory(made_by.ok().and_then(|version| version.trim().parse().ok()))
}

/// Starts Postgres and waits until it answers a query.
pub(crate) fn start(place: &Place, port: u16) -> Result<(Process, String)> {
    let directory = place.server_directory(SERVER)?;
    let programs = programs(place)?;
    discard_after_power_cut(place, &directory)?;
    if !directory.join("PG_VERSION").exists() {
        make_cluster(place, &programs, &directory)?;
    }
    remove_stale_pid_file(&directory)?;
    check_free(port, "Postgres")?;
    let hba = place.write_config("pg_hba.conf", HBA)?;
    let config = place.write_config("postgresql.conf", &settings(place.purpose, port, &hba))?;
    let mut command = clean_command(&programs.join("postgres"), &directory);
    command
        .arg("-D")
        .arg(&directory)
        .arg("-c")
        .arg(format!("config_file={}", config.display()));
    Starting::spawn(place, SERVER, command, port)?.wait_until(|| version(place, &programs, port))
}

/// The server's version, asked by a query: the proof that it accepts our password and answers.
pub(crate) fn version(place: &Place, programs: &Path, port: u16) -> Option<String> {
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
        .env("PGPASSWORD", &place.password)
        .env("PGCONNECT_TIMEOUT", "5")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().next().map(str::to_owned)
}

/// Makes the cluster beside its place and moves it there, so that a half-made one is never taken for a whole one.
fn make_cluster(place: &Place, programs: &Path, directory: &Path) -> Result<()> {
    let draft = place.server_directory("postgres.draft")?;
    fs::remove_dir_all(&draft).context("cannot remove a half-made cluster")?;
    let draft = place.server_directory("postgres.draft")?;
    let password_file = place.write_config("initdb-password", &place.password)?;
    let log_path = place.log_path("initdb");
    let log = place.new_log("initdb")?;
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
    if place.purpose == Purpose::Tests {
        command.arg("--no-sync");
    }
    place.account.apply(&mut command);
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
            last_telling_line(&log_path),
            log_path.display()
        );
    }
    fs::remove_dir(directory).context("the cluster's place is not empty")?;
    fs::rename(&draft, directory).context("cannot move the new cluster to its place")
}

/// A test cluster never waits for the disk, so after a power cut it may be broken without showing it. If it ran when
/// the machine went down, it is made anew.
fn discard_after_power_cut(place: &Place, directory: &Path) -> Result<()> {
    if place.purpose == Purpose::Shop {
        return Ok(());
    }
    let this_boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let boot_path = place.state.join("boot-id");
    let last_boot = fs::read_to_string(&boot_path).unwrap_or_else(|_| this_boot.clone());
    if last_boot != this_boot && directory.join("postmaster.pid").exists() {
        fs::remove_dir_all(directory).context("cannot remove the broken test cluster")?;
        place.server_directory(SERVER)?;
    }
    fs::write(&boot_path, this_boot).context("cannot note this boot's id")
}

/// After a crash, the process id in the cluster's `postmaster.pid` may belong to another program by now, and Postgres
/// would refuse to start. Only a process that works in the cluster's directory is a Postgres of ours.
fn remove_stale_pid_file(directory: &Path) -> Result<()> {
    let path = directory.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&path) else {
        return Ok(());
    };
    let pid = text.lines().next().unwrap_or_default().trim();
    let works_in = fs::read_link(format!("/proc/{pid}/cwd"));
    if works_in.is_ok_and(|cwd| cwd == directory) {
        bail!(
            "a Postgres that is not on record runs in {} (process {pid}): end it with `kill {pid}`",
            directory.display()
        );
    }
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
}

const HBA: &str = "\
# Only from this machine, and only with the password in .backstock/: other users of the machine can reach the port.
host all all 127.0.0.1/32 scram-sha-256
";

fn settings(purpose: Purpose, port: u16, hba: &Path) -> String {
    let memory_mb = memory_mb();
    let (shared_buffers_mb, durability) = match purpose {
        Purpose::Shop => ((memory_mb / 8).clamp(128, 2048), DURABLE),
        Purpose::Tests => ((memory_mb / 32).clamp(64, 256), VOLATILE),
    };
    let watched = match purpose {
        Purpose::Shop => WATCHED,
        Purpose::Tests => COUNTED,
    };
    let maintenance_mb = (memory_mb / 16).clamp(64, 512);
    let address = Ipv4Addr::LOCALHOST;
    let hba = hba.display().to_string().replace('\'', "''");
    format!(
        "\
# Written by local-services at each start: changes here are lost.

listen_addresses = '{address}'
port = {port}
# No socket file: its path may be too long (107 bytes) in a deep clone, and the lab's proxy needs TCP anyway.
unix_socket_directories = ''
hba_file = '{hba}'
# Pools of both shops, the lab's own connections, and psql.
max_connections = 200

# An eighth of the memory: the usual quarter assumes a machine of its own, here the shops and the lab share it.
shared_buffers = {shared_buffers_mb}MB
# Sorts of a page's candidates stay in memory; times 200 connections this must stay harmless.
work_mem = 16MB
# Building the index sets.
maintenance_work_mem = {maintenance_mb}MB
# What the kernel's cache may be trusted to hold besides.
effective_cache_size = {cache_mb}MB
# A local SSD reads anywhere at about the price of reading on.
random_page_cost = 1.1

{durability}
# `create table … as` and `copy` into a table made or emptied in the same transaction need no log of their own:
# generating data writes each page once. It costs replication and point-in-time recovery, which nothing here uses.
wal_level = minimal
max_wal_senders = 0
# A checkpoint in the middle of a measurement makes one arm pay for what both wrote.
checkpoint_timeout = 30min
max_wal_size = 8GB

# Compiling an expression takes longer than any query of the storefront; it would show up as noise.
jit = off
{watched}
# Enough that no statement is evicted while its cost is counted.
pg_stat_statements.max = 20000
pg_stat_statements.track = top
# Counting plans takes a lock for each and answers no question of ours.
pg_stat_statements.track_planning = off
track_io_timing = on
# Without it the planner would know nothing of the generated tables, and updated ones would grow.
autovacuum = on

timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %d '
",
        cache_mb = memory_mb / 2,
    )
}

/// What the log says of slow statements, for whoever tries the shops by hand.
const WATCHED: &str = "\
shared_preload_libraries = 'pg_stat_statements, auto_explain'
# What the shop promises is answered in 500 ms: a statement that takes half of it alone is a finding.
log_min_duration_statement = 250ms
# The plan of what is slower still, as it was estimated. To time each of its steps (log_analyze) would make every statement
# slower, and measure that.
auto_explain.log_min_duration = 500ms
auto_explain.log_analyze = off
# Who waits for another's lock for a second.
log_lock_waits = on
";

/// Tests count statements, and have nobody who reads a log.
const COUNTED: &str = "\
shared_preload_libraries = 'pg_stat_statements'
";

const DURABLE: &str = "\
# What a commit costs is part of what is measured: it is on disk before it is acknowledged.
fsync = on
synchronous_commit = on
full_page_writes = on
";

const VOLATILE: &str = "\
# Tests: nothing has to survive a power cut, so nothing waits for the disk.
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
