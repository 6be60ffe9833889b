//! The shop's process is kept as it should be, whatever the program does: here, shell scripts stand for the api.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use loadtests::shop::{Shop, ShopSettings};

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("backstock-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn settings(directory: &Path, script: &str) -> ShopSettings {
    let program = directory.join("backstock-api");
    // Written by another process: a program that is open for writing in any process here cannot be run, and a test
    // beside this one may be about to start a child with a copy of our descriptors.
    let write = "printf '#!/bin/sh\n%s\n' \"$2\" > \"$1\" && chmod 755 \"$1\"";
    let arguments = ["-c", write, "sh", program.to_str().unwrap(), script];
    assert!(
        std::process::Command::new("sh")
            .args(arguments)
            .status()
            .unwrap()
            .success()
    );
    ShopSettings {
        api_binary: program,
        variants: "optimized".to_owned(),
        database_url: "postgres://nowhere/shop".to_owned(),
        redis_url: "redis://nowhere".to_owned(),
        amqp_url: None,
        log_path: directory.join("logs/api.log"),
        extra_env: vec![("BACKSTOCK_EXTRA".to_owned(), "yes".to_owned())],
        is_other_build: false,
    }
}

#[tokio::test]
async fn a_shop_that_does_not_start_says_why() {
    let directory = Directory::new("fails");
    let script = "echo first; echo \"BACKSTOCK_THREADS must be a number\" >&2; exit 2";
    let error = Shop::start(settings(&directory.0, script))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("BACKSTOCK_THREADS must be a number"), "{error}");
    assert!(
        error.contains("exit status: 2") && error.contains("api.log"),
        "{error}"
    );

    let mut missing = settings(&directory.0, "");
    missing.api_binary = directory.0.join("not-built");
    let error = format!("{:#}", Shop::start(missing).await.unwrap_err());
    assert!(error.contains("build it first"), "{error}");
}

#[tokio::test]
async fn a_shop_gets_its_settings_and_nothing_else_of_ours() {
    let directory = Directory::new("environment");
    // Cargo gives tests this variable, so it stands for the rest of the environment.
    let script = "env | grep -E '^(BACKSTOCK_|CARGO_PKG_NAME)' | sort; echo $1; exit 1";
    Shop::start(settings(&directory.0, script)).await.unwrap_err();
    let log = std::fs::read_to_string(directory.0.join("logs/api.log")).unwrap();
    for expected in [
        "BACKSTOCK_VARIANTS=optimized",
        "BACKSTOCK_EXTRA=yes",
        "BACKSTOCK_LISTEN=127.0.0.1:",
        "CARGO_PKG_NAME=",
        "serve",
    ] {
        assert!(log.contains(expected), "{expected} in {log}");
    }
    for ours in ["BACKSTOCK_HOME", "BACKSTOCK_AMQP_URL", "BACKSTOCK_PORT_BASE"] {
        assert!(!log.contains(ours), "{ours} in {log}");
    }
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_no_process() {
    let directory = Directory::new("given-up");
    let pid_file = directory.0.join("pid");
    let script = format!("echo $$ > {}; exec sleep 600", pid_file.display());
    let settings = settings(&directory.0, &script);
    let start = tokio::spawn(Shop::start(settings));
    let pid = loop {
        match std::fs::read_to_string(&pid_file) {
            Ok(pid) if pid.ends_with('\n') => break pid.trim().to_owned(),
            // Between two looks: the loop waits for the file.
            _ => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
        }
    };
    let process = PathBuf::from(format!("/proc/{pid}"));
    assert!(process.exists());
    start.abort();
    assert!(start.await.unwrap_err().is_cancelled());
    assert!(!process.exists(), "process {pid} still runs");
}
