//! The shop's processes and their settings.

use local_services::Services;

use super::processes::{Health, ProcessSpec};
use super::secrets::Secrets;
use super::third_parties;

pub(crate) const DATABASE: &str = "shop";
pub(crate) const VHOST: &str = "shop";
pub(crate) const ADMIN_EMAIL: &str = "admin@example.com";
const REDIS_DATABASE: u8 = 0;

/// The public port, then the internal ports of the api and the worker.
pub(crate) const PORTS: [u16; 3] = [8080, 9080, 9090];

pub(crate) fn url() -> String {
    format!("http://127.0.0.1:{}", PORTS[0])
}

pub(crate) fn internal_url() -> String {
    format!("http://127.0.0.1:{}", PORTS[1])
}

/// The api and the worker.
pub(crate) fn processes(services: &Services, secrets: &Secrets) -> [ProcessSpec; 2] {
    let environment = environment(services, secrets);
    let [_, api, worker] = PORTS;
    let programs = [
        ("api", "backstock-api", api),
        ("worker", "backstock-worker", worker),
    ];
    programs.map(|(name, program, port)| {
        let mut environment = environment.clone();
        environment.push(("BACKSTOCK_INTERNAL_LISTEN", format!("127.0.0.1:{port}")));
        ProcessSpec {
            name: name.to_owned(),
            program,
            // Without a command, both serve.
            arguments: Vec::new(),
            environment,
            health: Health {
                port,
                path: "/readyz",
            },
        }
    })
}

/// The settings that the api and the worker share.
fn environment(services: &Services, secrets: &Secrets) -> Vec<(&'static str, String)> {
    let mut environment = vec![
        ("BACKSTOCK_DATABASE_URL", services.database_url(DATABASE)),
        ("BACKSTOCK_REDIS_URL", services.redis_url(REDIS_DATABASE)),
        ("BACKSTOCK_AMQP_URL", services.amqp_url(VHOST)),
        ("BACKSTOCK_JWT_SECRETS", secrets.jwt.clone()),
        ("BACKSTOCK_LISTEN", format!("127.0.0.1:{}", PORTS[0])),
    ];
    environment.extend(third_parties::environment(&secrets.carrier));
    environment
}
