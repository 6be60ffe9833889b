//! Postgres, Redis and RabbitMQ: the servers that the environment names, or else private ones for the
//! duration of a test run.

use std::env;
use std::sync::OnceLock;

use local_services::{Purpose, Services};
use sqlx::postgres::PgConnectOptions;

pub struct Servers {
    /// The database `postgres`, with a role that can create databases.
    pub postgres: PgConnectOptions,
    pub redis_url: String,
    /// The broker, unless the environment names the other servers but no broker.
    pub amqp_url: Option<String>,
    /// Released by the kernel when the process exits.
    _services: Option<Services>,
}

pub fn servers() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(|| {
        if let (Ok(postgres), Ok(redis_url)) = (
            env::var("BACKSTOCK_DATABASE_URL"),
            env::var("BACKSTOCK_REDIS_URL"),
        ) {
            let postgres: PgConnectOptions = postgres.parse().unwrap();
            return Servers {
                postgres: postgres.database("postgres"),
                redis_url,
                amqp_url: env::var("BACKSTOCK_AMQP_URL").ok(),
                _services: None,
            };
        }
        let services = Services::start(Purpose::Tests).unwrap();
        Servers {
            postgres: services.database_url("postgres").parse().unwrap(),
            redis_url: services.redis_url(0),
            amqp_url: Some(services.amqp_url("/")),
            _services: Some(services),
        }
    })
}
