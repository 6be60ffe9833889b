//! A database for one test, on the server that `BACKSTOCK_DATABASE_URL` names or on a private one.

use dataset::load;
use loadtests::database::{Server, drop_database};
use local_services::{Purpose, Services};
use sqlx::PgConnection;
use sqlx::migrate::Migrator;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The URL of a server for tests. A private one runs as long as the first value lives.
pub async fn server_url() -> (Option<Services>, String) {
    match std::env::var("BACKSTOCK_DATABASE_URL") {
        Ok(url) => (None, url),
        Err(_) => {
            let started = tokio::task::spawn_blocking(|| Services::start(Purpose::Tests));
            let services = started.await.unwrap().unwrap();
            let url = services.database_url("postgres");
            (Some(services), url)
        }
    }
}

/// A database of its own for each test.
pub struct TestDatabase {
    _services: Option<Services>,
    server_url: String,
    name: String,
    url: String,
}

#[allow(dead_code)] // Not every test binary uses every function.
impl TestDatabase {
    /// Without tables.
    pub async fn empty(test: &str) -> Self {
        let (services, server_url) = server_url().await;
        let name = format!("generate_{test}_{}", std::process::id());
        let mut server = Server::connect(&server_url).await.unwrap();
        server.create(&name).await.unwrap();
        let url = server.url_of(&name);
        Self {
            _services: services,
            server_url,
            name,
            url,
        }
    }

    /// With the schema.
    pub async fn migrated(test: &str) -> Self {
        let database = Self::empty(test).await;
        MIGRATIONS.run(&mut database.connect().await).await.unwrap();
        database
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn connect(&self) -> PgConnection {
        load::connect(&self.url).await.unwrap()
    }

    /// Drops it, with what is still connected.
    pub async fn drop(self) {
        drop_database(&self.server_url, &self.name).await.unwrap();
    }
}
