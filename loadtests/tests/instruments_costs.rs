//! The counters of costs against work whose cost is known.

#![allow(clippy::unwrap_used)]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use loadtests::costs::{Cpu, LAB_MARK, Processes, Statements, resident_bytes};
use local_services::{Purpose, Services};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Ends its process with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn shell(script: &str) -> Running {
    let child = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    Running(child.unwrap())
}

/// Waits until the script has printed a line.
fn await_line(process: &mut Running) {
    use std::io::BufRead;
    let output = process.0.stdout.as_mut().unwrap();
    std::io::BufReader::new(output)
        .read_line(&mut String::new())
        .unwrap();
}

#[test]
fn an_idle_process_uses_no_cpu_and_a_busy_one_does() {
    let mut idle = shell("echo ready; read -r never");
    await_line(&mut idle);
    let busy = shell("while :; do :; done");
    let processes = Processes {
        api: Some(busy.0.id()),
        redis: Some(idle.0.id()),
        ..Processes::default()
    };
    let before = Cpu::read(&processes).unwrap();
    // The loop's own CPU time is the clock here: however busy the machine is, some of it comes.
    let used = loop {
        // Between two looks; what ends the loop is the CPU time that was used.
        std::thread::sleep(Duration::from_millis(20));
        let used = Cpu::read(&processes).unwrap().since(&before);
        if used.api.unwrap() > Duration::from_millis(50) {
            break used;
        }
    };
    // What it still did on its way to waiting.
    assert!(used.redis.unwrap() < Duration::from_millis(10), "{used:?}");
    assert_eq!(used.postgres, None, "what is not local is not known");
}

#[test]
fn children_count_also_after_they_have_ended() {
    // Each word from the pipe makes the shell run a child that counts for a while and ends.
    let mut parent = shell(
        "while read -r word; do sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'; echo done; done",
    );
    let processes = Processes {
        postgres: Some(parent.0.id()),
        ..Processes::default()
    };
    let before = Cpu::read(&processes).unwrap();
    use std::io::Write;
    parent.0.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    await_line(&mut parent);
    let used = Cpu::read(&processes).unwrap().since(&before).postgres.unwrap();
    assert!(used >= Duration::from_millis(20), "{used:?}");
}

#[test]
fn a_process_that_does_not_run_is_named() {
    let mut ended = shell("exit 0");
    ended.0.wait().unwrap();
    let processes = Processes {
        api: Some(ended.0.id()),
        ..Processes::default()
    };
    let error = Cpu::read(&processes).unwrap_err().to_string();
    assert!(error.contains("does not run"), "{error}");
    assert!(resident_bytes(ended.0.id()).is_err());
    assert!(resident_bytes(std::process::id()).unwrap() > 1_000_000);
}

#[tokio::test]
async fn statements_are_counted_exactly() {
    let services = Services::start(Purpose::Tests).unwrap();
    let name = format!("costs_{}", std::process::id());
    let mut admin = PgConnection::connect(&services.database_url("postgres"))
        .await
        .unwrap();
    sqlx::query(AssertSqlSafe(format!("create database {name}")))
        .execute(&mut admin)
        .await
        .unwrap();
    let mut database = PgConnection::connect(&services.database_url(&name))
        .await
        .unwrap();
    Statements::enable(&mut database).await.unwrap();
    for statement in [
        "create table numbers (number int)",
        "create table catalog_epoch (epoch int)",
    ] {
        sqlx::query(statement).execute(&mut database).await.unwrap();
    }

    let before = Statements::snapshot(&mut database).await.unwrap();
    sqlx::query("insert into numbers select generate_series(1, 1000)")
        .execute(&mut database)
        .await
        .unwrap();
    for limit in [5, 7, 8] {
        sqlx::query("select number from numbers limit $1")
            .bind(limit)
            .fetch_all(&mut database)
            .await
            .unwrap();
    }
    sqlx::query("select epoch from catalog_epoch")
        .fetch_all(&mut database)
        .await
        .unwrap();
    let own = format!("select {LAB_MARK} count(*) from numbers");
    sqlx::query(AssertSqlSafe(own))
        .fetch_all(&mut database)
        .await
        .unwrap();
    let after = Statements::snapshot(&mut database).await.unwrap();
    let costs = Statements::delta(&before, &after).unwrap();

    let seen: Vec<(i64, i64)> = costs
        .statements
        .iter()
        .map(|cost| (cost.calls, cost.rows))
        .collect();
    assert_eq!(seen, [(3, 20), (1, 1000)], "{:#?}", costs.statements);
    assert_eq!((costs.total.calls, costs.total.rows), (4, 1020));
    assert_eq!(costs.statements[0].query, "select number from numbers limit $1");
    assert!(
        costs.statements[0].buffers >= 3,
        "each of three reads looks at a page at least"
    );
    assert!(costs.statements[1].wal_bytes > 1000, "a thousand rows are logged");
    assert_eq!(costs.statements[0].wal_bytes, 0, "reading logs nothing");
    assert_eq!(costs.per_request(4).rows, 255.0);

    let nothing = Statements::delta(&after, &after).unwrap();
    assert_eq!((nothing.statements.len(), nothing.total.calls), (0, 0));
    let backwards = Statements::delta(&after, &before).unwrap_err().to_string();
    assert!(backwards.contains("reset"), "{backwards}");
    database.close().await.unwrap();
    sqlx::query(AssertSqlSafe(format!("drop database {name}")))
        .execute(&mut admin)
        .await
        .unwrap();
}
