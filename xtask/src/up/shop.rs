//! What tells the two shops apart. They share no database, no Redis database and no virtual host, so that one's caches
//! and queues cannot touch the other's answers.

use local_services::Services;
use storefront::variants::Variants;

use super::children::{Child, Health};
use super::secrets::Secrets;
use super::third_parties;

/// One of the two shops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// On :8081, the baseline unless said otherwise.
    Left,
    /// On :8080, the optimized shop unless said otherwise.
    Right,
}

impl Side {
    pub(crate) const BOTH: [Side; 2] = [Side::Left, Side::Right];

    /// Also the name of its virtual host.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Side::Left => "left",
            Side::Right => "right",
        }
    }

    pub(crate) const fn database(self) -> &'static str {
        match self {
            Side::Left => "backstock_left",
            Side::Right => "backstock_right",
        }
    }

    pub(crate) const fn redis_database(self) -> u8 {
        match self {
            Side::Left => 1,
            Side::Right => 0,
        }
    }

    const fn last_digit(self) -> u16 {
        match self {
            Side::Left => 1,
            Side::Right => 0,
        }
    }

    /// The shop's, then the internal ones of its api and its worker.
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

    const fn other(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }

    /// The shop's processes: its api and its worker.
    pub(crate) fn children(self, environment: &[(&'static str, String)]) -> [Child; 2] {
        let [_, api, worker] = self.ports();
        let programs = [
            ("api", "backstock-api", api),
            ("worker", "backstock-worker", worker),
        ];
        programs.map(|(name, program, port)| {
            let mut environment = environment.to_vec();
            environment.push(("BACKSTOCK_INTERNAL_LISTEN", format!("127.0.0.1:{port}")));
            Child {
                name: format!("{name}-{}", self.name()),
                program,
                // What both do without a command is to serve.
                arguments: Vec::new(),
                environment,
                health: Health {
                    port,
                    path: "/readyz",
                },
            }
        })
    }

    /// The settings of this shop's programs, apart from where each listens.
    pub(crate) fn environment(
        self,
        services: &Services,
        variants: &Variants,
        secrets: &Secrets,
    ) -> Vec<(&'static str, String)> {
        let mut environment = vec![
            ("BACKSTOCK_DATABASE_URL", services.database_url(self.database())),
            ("BACKSTOCK_REDIS_URL", services.redis_url(self.redis_database())),
            ("BACKSTOCK_AMQP_URL", services.amqp_url(self.name())),
            ("BACKSTOCK_VARIANTS", variants.to_string()),
            ("BACKSTOCK_JWT_SECRETS", secrets.jwt.clone()),
            ("BACKSTOCK_LISTEN", format!("127.0.0.1:{}", self.ports()[0])),
            ("BACKSTOCK_OTHER_SHOP_URL", self.other().url()),
        ];
        environment.extend(third_parties::environment(self, &secrets.carrier));
        environment
    }
}
