//! Postgres, Redis and RabbitMQ: those that the environment names, else private ones that live as long as a test runs.

use std::env;
use std::sync::OnceLock;

use local_services::{Purpose, Services};
use sqlx::postgres::PgConnectOptions;

pub struct Servers {
    /// The database `postgres`, as a role that may create databases.
    pub postgres: PgConnectOptions,
    pub redis_url: String,
    /// A broker, where the environment that names the others names one.
    pub amqp_url: Option<String>,
    /// Given up when the process ends, by the kernel.
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
