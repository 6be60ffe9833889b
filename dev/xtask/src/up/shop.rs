//! The two local shops. They share no database, Redis database or virtual host, so that one's caches and queues can't
//! affect the other.

use std::env;

use local_services::Services;
use techniques::Selection;

use super::processes::{Health, ProcessSpec};
use super::secrets::Secrets;
use super::third_parties;

/// The first list of a cold baseline reads its whole table. The default of 500 ms would cancel it.
const READ_STATEMENT_TIMEOUT: &str = "BACKSTOCK_DATABASE_READ_STATEMENT_TIMEOUT_MS";

/// One of the two shops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LocalShop {
    /// On :8081, the baseline by default.
    Left,
    /// On :8080, the optimized shop by default.
    Right,
}

impl LocalShop {
    pub(crate) const BOTH: [LocalShop; 2] = [LocalShop::Left, LocalShop::Right];

    /// Also the name of its virtual host.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            LocalShop::Left => "left",
            LocalShop::Right => "right",
        }
    }

    pub(crate) const fn database(self) -> &'static str {
        match self {
            LocalShop::Left => "backstock_left",
            LocalShop::Right => "backstock_right",
        }
    }

    pub(crate) const fn redis_database(self) -> u8 {
        match self {
            LocalShop::Left => 1,
            LocalShop::Right => 0,
        }
    }

    const fn last_digit(self) -> u16 {
        match self {
            LocalShop::Left => 1,
            LocalShop::Right => 0,
        }
    }

    /// The public port, then the internal ports of the api and the worker.
    pub(crate) const fn ports(self) -> [u16; 3] {
        let digit = self.last_digit();
        [8080 + digit, 9080 + digit, 9090 + digit]
    }

    pub(crate) fn url(self) -> String {
        format!("http://127.0.0.1:{}", self.ports()[0])
    }

    pub(crate) fn internal_url(self) -> String {
        format!("http://127.0.0.1:{}", self.ports()[1])
    }

    const fn other(self) -> LocalShop {
        match self {
            LocalShop::Left => LocalShop::Right,
            LocalShop::Right => LocalShop::Left,
        }
    }

    /// The shop's processes: its api and its worker.
    pub(crate) fn processes(self, environment: &[(&'static str, String)]) -> [ProcessSpec; 2] {
        let [_, api, worker] = self.ports();
        let programs = [
            ("api", "backstock-api", api),
            ("worker", "backstock-worker", worker),
        ];
        programs.map(|(name, program, port)| {
            let mut environment = environment.to_vec();
            environment.push(("BACKSTOCK_INTERNAL_LISTEN", format!("127.0.0.1:{port}")));
            ProcessSpec {
                name: format!("{name}-{}", self.name()),
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
    pub(crate) fn environment(
        self,
        services: &Services,
        selection: &Selection,
        secrets: &Secrets,
    ) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("BACKSTOCK_DATABASE_URL", services.database_url(self.database())),
            ("BACKSTOCK_REDIS_URL", services.redis_url(self.redis_database())),
            ("BACKSTOCK_AMQP_URL", services.amqp_url(self.name())),
            ("BACKSTOCK_VARIANTS", selection.to_string()),
            ("BACKSTOCK_JWT_SECRETS", secrets.jwt.clone()),
            ("BACKSTOCK_LISTEN", format!("127.0.0.1:{}", self.ports()[0])),
            ("BACKSTOCK_OTHER_SHOP_URL", self.other().url()),
        ];
        if env::var_os(READ_STATEMENT_TIMEOUT).is_none() {
            environment.push((READ_STATEMENT_TIMEOUT, "10000".to_owned()));
        }
        environment.extend(third_parties::environment(self, &secrets.carrier));
        environment
    }
}
