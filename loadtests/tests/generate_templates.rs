//! Template databases: made once, cloned, and never half made.

#![allow(
    clippy::unwrap_used,
    reason = "functions that tests share may fail as tests do"
)]

mod generate_support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use dataset::{Scale, load};
use generate_support::server_url;
use loadtests::database::{Server, clone_database, drop_database, ensure_template, template};

/// A program in place of `backstock-api`, which another crate builds.
struct StandIn(PathBuf);

impl StandIn {
    fn new(name: &str, script: &str) -> Self {
        let path = std::env::temp_dir().join(format!("backstock-stand-in-{name}-{}", std::process::id()));
        std::fs::write(&path, format!("#!/bin/sh\nset -e\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_build_that_fails_leaves_no_template() {
    let (_services, server_url) = server_url().await;
    // A seed of its own keeps this test apart from templates that are in use.
    let seed = 4_000_000_001;
    let failing = StandIn::new("failing", "echo 'no such arm' >&2; exit 1");
    let fault = ensure_template(&server_url, &failing.0, Scale::Xs, seed, "chosen")
        .await
        .unwrap_err();
    assert!(fault.to_string().contains("no such arm"), "{fault}");
    let full = StandIn::new(
        "full",
        "echo 'could not extend file: No space left on device' >&2; exit 1",
    );
    let fault = ensure_template(&server_url, &full.0, Scale::Xs, seed, "chosen")
        .await
        .unwrap_err();
    assert!(fault.to_string().contains("disk"), "{fault}");

    let mut server = Server::connect(&server_url).await.unwrap();
    let left = server
        .with_prefix(&format!("{}xs_{seed}_", template::PREFIX))
        .await
        .unwrap();
    assert_eq!(left, [], "what was half made looks finished");
}

#[tokio::test]
async fn a_clone_has_what_its_template_has() {
    let (_services, server_url) = server_url().await;
    let (template, clone) = (
        format!("generate_t_{}", std::process::id()),
        format!("generate_c_{}", std::process::id()),
    );
    let mut server = Server::connect(&server_url).await.unwrap();
    let building = format!("{template}_building");
    server.create(&building).await.unwrap();
    let mut connection = load::connect(&server.url_of(&building)).await.unwrap();
    sqlx::raw_sql("create table kept as select 42 as answer")
        .execute(&mut connection)
        .await
        .unwrap();
    drop(connection);
    server.seal(&building, &template).await.unwrap();
    load::connect(&server.url_of(&template))
        .await
        .expect_err("a template takes no connections");

    // Twice: the second replaces the first, although somebody is connected.
    for _ in 0..2 {
        clone_database(&server_url, &template, &clone).await.unwrap();
        let mut connection = load::connect(&server.url_of(&clone)).await.unwrap();
        let answer: i32 = sqlx::query_scalar("select answer from kept")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(answer, 42);
    }
    for name in [&clone, &template] {
        drop_database(&server_url, name).await.unwrap();
        assert!(!server.has(name).await.unwrap());
    }
}
