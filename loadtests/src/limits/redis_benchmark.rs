//! What Redis does when no service stands before it: `redis-benchmark` with GETs of one key.

use std::process::Command;

use anyhow::{Context, Result, bail};
use redis::ConnectionAddr;

/// GETs a second of one key over so many connections.
pub async fn redis_get_rate(redis_url: &str, key: &str, connections: usize, requests: u64) -> Result<f64> {
    let client = redis::Client::open(redis_url)?;
    let server = client.get_connection_info();
    let ConnectionAddr::Tcp(host, port) = server.addr() else {
        bail!("redis-benchmark is only run against plain TCP addresses");
    };
    let settings = server.redis_settings();
    let mut command = Command::new("redis-benchmark");
    // Not as `-u URL`: it takes a URL without a user for one whose user has an empty name.
    command.args([
        "-h",
        host,
        "-p",
        &port.to_string(),
        "--dbnum",
        &settings.db().to_string(),
    ]);
    if let Some(user) = settings.username() {
        command.args(["--user", user]);
    }
    if let Some(password) = settings.password() {
        command.args(["-a", password]);
    }
    command
        .args([
            "--csv",
            "-c",
            &connections.to_string(),
            "-n",
            &requests.to_string(),
        ])
        .args(["get", key]);
    let said = child_process::output(command, "the package redis-tools").await?;
    requests_per_second(&said).with_context(|| format!("redis-benchmark printed no rate: {said}"))
}

/// The second column of the line behind the header.
fn requests_per_second(csv: &str) -> Option<f64> {
    let line = csv
        .lines()
        .rev()
        .find(|line| line.starts_with('"') && !line.starts_with("\"test\""))?;
    line.split("\",\"").nth(1)?.trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_the_second_column() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\"get key\",\"81234.50\",\"0.05\"\n";
        assert_eq!(requests_per_second(csv), Some(81_234.5));
        assert_eq!(requests_per_second("\"test\",\"rps\"\n"), None);
    }
}
