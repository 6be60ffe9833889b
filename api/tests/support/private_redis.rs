//! A private Redis for a test that kills, pauses or restarts it.

use std::path::{Path, PathBuf};

use child_process::ChildProcess;
use uuid::Uuid;

use super::until;

pub struct PrivateRedis {
    directory: PathBuf,
    /// `None` after [`PrivateRedis::kill`].
    server: Option<ChildProcess>,
}

impl PrivateRedis {
    pub async fn start() -> Self {
        let directory = std::env::temp_dir().join(format!("backstock-{}", Uuid::now_v7().simple()));
        std::fs::create_dir(&directory).unwrap();
        let server = Some(start(&directory));
        let redis = Self { directory, server };
        redis.wait_until_ready().await;
        redis
    }

    /// The URL of a Unix socket in a new directory. Unlike a port, another process can't take it.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("redis.sock")
    }

    /// Sends SIGKILL. All data is lost, because nothing is persisted.
    pub fn kill(&mut self) {
        self.server = None;
    }

    pub async fn restart(&mut self) {
        self.server = Some(start(&self.directory));
        self.wait_until_ready().await;
    }

    /// Sends SIGSTOP. The kernel still accepts connections and commands, but Redis doesn't respond.
    pub fn pause(&self) {
        self.running().pause();
    }

    /// Sends SIGCONT. Redis continues with all its data.
    pub fn resume(&self) {
        self.running().resume();
    }

    fn running(&self) -> &ChildProcess {
        self.server.as_ref().expect("Redis was not killed")
    }

    async fn wait_until_ready(&self) {
        let client = redis::Client::open(self.url()).unwrap();
        until("Redis responds", async || {
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

fn start(directory: &Path) -> ChildProcess {
    let _ = std::fs::remove_file(directory.join("redis.sock"));
    let mut command = child_process::command(Path::new("redis-server"));
    command.current_dir(directory).args([
        "--port",
        "0",
        "--unixsocket",
        "redis.sock",
        "--save",
        "",
        "--appendonly",
        "no",
    ]);
    ChildProcess::start("redis-server", command, &directory.join("log")).expect("redis-server is installed")
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        // SIGKILL also ends a paused process.
        self.server = None;
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
