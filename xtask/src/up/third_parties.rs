//! The third parties of both shops: one `backstock-simulators` process in place of a payment gateway, a parcel carrier
//! and a mail server. Two shops in one town may well have the same.

use super::children::{Child, Health};
use super::side::Side;

/// Its name, also that of its log.
pub(crate) const NAME: &str = "simulators";

pub(crate) const PAYMENT_PORT: u16 = 8090;
pub(crate) const CARRIER_PORT: u16 = 8091;
pub(crate) const SMTP_PORT: u16 = 8025;
pub(crate) const INBOX_PORT: u16 = 8026;

pub(crate) const PORTS: [u16; 4] = [PAYMENT_PORT, CARRIER_PORT, SMTP_PORT, INBOX_PORT];

/// How slow each is: the median and the 99th percentile of its answers, in milliseconds. Plausible numbers for companies
/// on the internet, measured nowhere. `PUT /control` changes them while the shops run, see simulators/PROTOCOLS.md.
const LATENCIES_MS: [(&str, &str, &str); 3] = [
    ("payment", "120", "400"),
    ("carrier", "150", "500"),
    ("smtp", "30", "150"),
];

/// The process; `secret` signs what the carrier calls back with.
pub(crate) fn child(secret: &str) -> Child {
    let listens = [
        ("--payment-listen", PAYMENT_PORT),
        ("--carrier-listen", CARRIER_PORT),
        ("--smtp-listen", SMTP_PORT),
        ("--inbox-listen", INBOX_PORT),
    ];
    let listens = listens.map(|(flag, port)| format!("{flag}=127.0.0.1:{port}"));
    let latencies = LATENCIES_MS.iter().flat_map(|(party, median, p99)| {
        [
            format!("--{party}-latency-median-ms={median}"),
            format!("--{party}-latency-p99-ms={p99}"),
        ]
    });
    Child {
        name: NAME.to_owned(),
        program: "backstock-simulators",
        arguments: listens.into_iter().chain(latencies).collect(),
        environment: vec![("BACKSTOCK_CARRIER_SECRET", secret.to_owned())],
        // All four listen before any answers.
        health: Health {
            port: PAYMENT_PORT,
            path: "/livez",
        },
    }
}

/// Where a shop's programs find them, and where the carrier finds that shop.
pub(crate) fn environment(side: Side, secret: &str) -> [(&'static str, String); 5] {
    [
        (
            "BACKSTOCK_PAYMENT_URL",
            format!("http://127.0.0.1:{PAYMENT_PORT}"),
        ),
        (
            "BACKSTOCK_CARRIER_URL",
            format!("http://127.0.0.1:{CARRIER_PORT}"),
        ),
        (
            "BACKSTOCK_CARRIER_CALLBACK_URL",
            format!("{}/v1/webhooks/carrier", side.url()),
        ),
        ("BACKSTOCK_CARRIER_SECRET", secret.to_owned()),
        ("BACKSTOCK_SMTP_URL", format!("smtp://127.0.0.1:{SMTP_PORT}")),
    ]
}
