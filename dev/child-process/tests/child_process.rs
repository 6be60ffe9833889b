//! Child processes: shell scripts stand for the programs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use child_process::{ChildProcess, command, run};

const PATIENCE: Duration = Duration::from_secs(30);

fn shell(script: &str) -> Command {
    let mut shell = command(Path::new("/bin/sh"));
    shell.args(["-c", script]);
    shell
}

#[tokio::test]
async fn captured_lines_are_returned_in_order_and_the_end_of_the_log_is_an_error() {
    let script =
        r#"echo one >&2; echo '{"fields":{"message":"serving","port":7}}' >&2; echo two >&2; exit 3"#;
    let mut child = ChildProcess::start_captured("it", shell(script)).unwrap();
    assert_eq!(child.next_logged("serving").await["port"], 7);
    assert_eq!(child.exited().await.code(), Some(3));
    assert_eq!(child.rest_of_log(), "two");
    let error = child.next_line(|line| line == "one").await.unwrap_err();
    assert!(error.to_string().contains("ended:\none"), "{error}");
}

#[tokio::test]
async fn a_program_that_shuts_down_stops_and_one_that_does_not_is_killed() {
    let mut polite = ChildProcess::start_captured(
        "it",
        shell("trap 'exit 0' TERM; echo up >&2; while :; do sleep 0.01; done"),
    );
    polite
        .as_mut()
        .unwrap()
        .next_line(|line| line == "up")
        .await
        .unwrap();
    polite.unwrap().stop(PATIENCE).await.unwrap();

    let mut stubborn = ChildProcess::start_captured(
        "it",
        shell("trap '' TERM; echo up >&2; exec 2>&-; while :; do :; done"),
    );
    stubborn
        .as_mut()
        .unwrap()
        .next_line(|line| line == "up")
        .await
        .unwrap();
    let stubborn = stubborn.unwrap();
    let process = PathBuf::from(format!("/proc/{}", stubborn.pid()));
    let error = stubborn.stop(Duration::from_millis(50)).await.unwrap_err();
    assert!(format!("{error:#}").contains("did not stop"), "{error:#}");
    assert!(!process.exists());
}

#[tokio::test]
async fn a_process_that_exits_before_it_is_ready_says_why() {
    let log = std::env::temp_dir().join(format!("backstock-child-{}", std::process::id()));
    let child = ChildProcess::start("the shop", shell("echo 'no such setting' >&2; exit 2"), &log).unwrap();
    let error = child
        .wait_until_ready(PATIENCE, || std::future::ready(false))
        .await
        .unwrap_err();
    let _ = std::fs::remove_file(&log);
    assert!(error.to_string().contains("exit status: 2"), "{error}");
    assert!(error.to_string().contains("no such setting (log: "), "{error}");
    let error = ChildProcess::start("it", command(Path::new("/nowhere")), &log).unwrap_err();
    let _ = std::fs::remove_file(&log);
    assert!(format!("{error:#}").contains("build it first"), "{error:#}");
}

#[tokio::test]
async fn a_command_runs_to_its_end() {
    let output = run(shell(r#"echo '{"a":1}'; echo problem >&2; exit 4"#)).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(4), "problem\n"));
    assert_eq!(output.json()["a"], 1);
}
