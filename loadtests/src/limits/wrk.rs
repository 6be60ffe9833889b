//! A load generator that nobody here wrote, to check ours against: wrk.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// What wrk saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct WrkRun {
    pub(super) requests_per_s: f64,
    pub(super) p50_ms: f64,
}

/// Runs wrk against a URL with one thread, as ours has.
pub(super) async fn run(url: &str, connections: usize, duration: Duration) -> Result<WrkRun> {
    let seconds = duration.as_secs_f64().ceil().max(1.0);
    let mut command = Command::new("wrk");
    command
        .args([
            "--threads",
            "1",
            "--latency",
            "--connections",
            &connections.to_string(),
        ])
        .arg(format!("--duration={seconds}s"))
        .arg(url);
    let said = child_process::output(command, "the package wrk").await?;
    ensure!(
        !said.contains("Non-2xx"),
        "the server answered wrk with errors: {said}"
    );
    read(&said).with_context(|| format!("wrk printed something else: {said}"))
}

fn read(output: &str) -> Option<WrkRun> {
    let value = |label: &str| {
        output
            .lines()
            .find_map(|line| line.trim().strip_prefix(label))
            .map(str::trim)
    };
    Some(WrkRun {
        requests_per_s: value("Requests/sec:")?.parse().ok()?,
        p50_ms: milliseconds(value("50%")?)?,
    })
}

fn milliseconds(text: &str) -> Option<f64> {
    let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.parse().ok()?;
    match unit {
        "us" => Some(number / 1e3),
        "ms" => Some(number),
        "s" => Some(number * 1e3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrks_summary_is_read() {
        let output = "Running 2s test @ http://127.0.0.1:1/\n  1 threads and 8 connections\n  Latency Distribution\n\
            \x20    50%  119.00us\n     75%    1.20ms\n  201000 requests in 2.00s, 24.00MB read\n\
            Requests/sec: 100500.12\nTransfer/sec:     12.00MB\n";
        assert_eq!(
            read(output),
            Some(WrkRun {
                requests_per_s: 100_500.12,
                p50_ms: 0.119
            })
        );
        assert_eq!(milliseconds("1.50s"), Some(1500.0));
        assert_eq!(read("nothing"), None);
    }
}
