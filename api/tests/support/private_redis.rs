//! A Redis of the test's own, to be killed, paused and started again.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use uuid::Uuid;

use super::until;

pub struct PrivateRedis {
    folder: PathBuf,
    server: Child,
}

impl PrivateRedis {
    pub async fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("backstock-{}", Uuid::now_v7().simple()));
        std::fs::create_dir(&folder).unwrap();
        let server = start(&folder);
        let redis = Self { folder, server };
        redis.until_it_answers().await;
        redis
    }

    /// A socket in a folder of its own can't be taken by another process, as a port can.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    /// It ends at once, and forgets everything.
    pub fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    pub async fn start_again(&mut self) {
        self.server = start(&self.folder);
        self.until_it_answers().await;
    }

    /// It takes connections and commands, and answers none.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// It goes on, with everything that it knew.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.server.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    async fn until_it_answers(&self) {
        let client = redis::Client::open(self.url()).unwrap();
        until("Redis answers", async || {
            let mut connection = client.get_multiplexed_async_connection().await.ok()?;
            redis::cmd("PING").query_async::<()>(&mut connection).await.ok()
        })
        .await;
    }

    pub async fn connect(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }
}

fn start(folder: &PathBuf) -> Child {
    let _ = std::fs::remove_file(folder.join("redis.sock"));
    Command::new("redis-server")
        .args([
            "--port",
            "0",
            "--unixsocket",
            "redis.sock",
            "--save",
            "",
            "--appendonly",
            "no",
        ])
        .current_dir(folder)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        // Also ends one that is paused.
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
