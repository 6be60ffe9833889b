//! What Postgres does with the same statements when no service stands before it: `pgbench -M prepared`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Execution;

/// A script of statements with their parameters, ready to run.
#[derive(Debug)]
pub struct Pgbench {
    program: PathBuf,
    database_url: String,
    /// Of several, each transaction takes one at random.
    scripts: Vec<Script>,
    /// `name=value` for each parameter.
    variables: Vec<String>,
    /// A variable that begins with a number which no earlier run reached.
    counter: Option<&'static str>,
}

impl Pgbench {
    /// Prepares to run these statements in turn. `program` is a path, or `pgbench` where it is in PATH.
    pub fn new(program: &Path, database_url: &str, statements: &[Execution]) -> Result<Pgbench> {
        ensure!(
            !statements.is_empty(),
            "there are no statements for pgbench to run"
        );
        let mut text = String::new();
        let mut variables = Vec::new();
        for (number, statement) in statements.iter().enumerate() {
            let mut sql = statement.sql.trim().trim_end_matches(';').to_owned();
            // From the last on, so that $1 does not match within $10.
            for (index, value) in statement.parameters.iter().enumerate().rev() {
                let name = format!("s{number}p{}", index + 1);
                sql = sql.replace(&format!("${}", index + 1), &format!(":{name}"));
                variables.push(format!("{name}={value}"));
            }
            text.push_str(&sql);
            text.push_str(";\n");
        }
        let (program, database_url) = (program.to_owned(), database_url.to_owned());
        Ok(Pgbench {
            program,
            database_url,
            scripts: vec![Script::write(&text)?],
            variables,
            counter: None,
        })
    }

    /// Prepares to run one of these scripts a transaction, drawn at random. `counter` names a variable that begins with
    /// a number which no earlier run has reached, as long as a connection counts by one a transaction.
    pub(crate) fn of_scripts(
        program: &Path,
        database_url: &str,
        scripts: &[String],
        variables: Vec<String>,
        counter: &'static str,
    ) -> Result<Pgbench> {
        let scripts = scripts.iter().map(|text| Script::write(text));
        Ok(Pgbench {
            program: program.to_owned(),
            database_url: database_url.to_owned(),
            scripts: scripts.collect::<Result<_>>()?,
            variables,
            counter: Some(counter),
        })
    }

    /// Runs the script over so many connections; returns how often a second it was run, connecting not counted.
    pub async fn run(&self, connections: usize, duration: Duration) -> Result<f64> {
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(connections);
        let seconds = duration.as_secs_f64().ceil().max(1.0);
        let mut command = Command::new(&self.program);
        command
            .args(["--no-vacuum", "--protocol=prepared"])
            .args(
                self.scripts
                    .iter()
                    .map(|script| format!("--file={}", script.path.display())),
            )
            .args(
                self.counter
                    .map(|name| format!("--define={name}={}", number_of_now())),
            )
            .arg(format!("--client={connections}"))
            .arg(format!("--jobs={threads}"))
            .arg(format!("--time={seconds}"))
            .args(
                self.variables
                    .iter()
                    .map(|variable| format!("--define={variable}")),
            )
            .arg(&self.database_url);
        let package = "Postgres' server package, which contains it";
        let said = child_process::output(command, package).await?;
        transactions_per_second(&said).with_context(|| format!("pgbench printed no rate: {said}"))
    }
}

/// Grows by 16 a millisecond: faster than any connection runs transactions.
fn number_of_now() -> i128 {
    const BEGIN_MS: i128 = 1_767_225_600_000; // 2026
    (time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000 - BEGIN_MS) * 16
}

fn transactions_per_second(output: &str) -> Option<f64> {
    let rate = output
        .lines()
        .find_map(|line| line.trim().strip_prefix("tps = "))?;
    rate.split_whitespace().next()?.parse().ok()
}

/// A file that is removed with this value.
#[derive(Debug)]
struct Script {
    path: PathBuf,
}

impl Script {
    fn write(text: &str) -> Result<Script> {
        let path = std::env::temp_dir().join(format!("backstock-{}.sql", uuid::Uuid::now_v7()));
        let mut file = std::fs::File::create_new(&path).context("cannot write a script for pgbench")?;
        file.write_all(text.as_bytes())?;
        Ok(Script { path })
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // What stays behind is a small file in the system's directory for such.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_variables() {
        let parameters: Vec<String> = (1..=10).map(|number| format!("value {number}")).collect();
        let sql = "select $1, $10 where a = any($2)".to_owned();
        let pgbench = Pgbench::new(Path::new("pgbench"), "url", &[Execution { sql, parameters }]).unwrap();
        let script = std::fs::read_to_string(&pgbench.scripts[0].path).unwrap();
        assert_eq!(script, "select :s0p1, :s0p10 where a = any(:s0p2);\n");
        assert!(pgbench.variables.contains(&"s0p10=value 10".to_owned()));
        let path = pgbench.scripts[0].path.clone();
        drop(pgbench);
        assert!(!path.exists());
    }

    #[test]
    fn the_rate_is_read_from_the_summary() {
        let output = "number of failed transactions: 0 (0.000%)\nlatency average = 0.4 ms\n\
            tps = 19876.543210 (without initial connection time)\n";
        assert_eq!(transactions_per_second(output), Some(19_876.543_21));
        assert_eq!(transactions_per_second("nothing"), None);
    }
}
