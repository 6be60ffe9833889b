//! The third parties, which both shops share: one `backstock-simulators` process for the payment gateway, the parcel
//! carrier and the mail server.

use super::processes::{Health, ProcessSpec};
use super::shop::LocalShop;

/// The name of the process and of its log.
pub(crate) const NAME: &str = "simulators";

pub(crate) const PAYMENT_PORT: u16 = 8090;
pub(crate) const CARRIER_PORT: u16 = 8091;
pub(crate) const SMTP_PORT: u16 = 8025;
pub(crate) const INBOX_PORT: u16 = 8026;

pub(crate) const PORTS: [u16; 4] = [PAYMENT_PORT, CARRIER_PORT, SMTP_PORT, INBOX_PORT];

/// The median and 99th percentile of each service's latency, in milliseconds. They are plausible for services on the
/// internet, but not measured. `PUT /control` changes them at run time; see `dev/simulators/PROTOCOLS.md`.
const LATENCIES_MS: [(&str, &str, &str); 3] = [
    ("payment", "120", "400"),
    ("carrier", "150", "500"),
    ("smtp", "30", "150"),
];

/// The specification of the process. `secret` signs the carrier's callbacks.
pub(crate) fn process(secret: &str) -> ProcessSpec {
    let listens = [
        ("--payment-listen", PAYMENT_PORT),
        ("--carrier-listen", CARRIER_PORT),
        ("--smtp-listen", SMTP_PORT),
        ("--inbox-listen", INBOX_PORT),
    ];
    let listens = listens.map(|(flag, port)| format!("{flag}=127.0.0.1:{port}"));
    let latencies = LATENCIES_MS.iter().flat_map(|(service, median, p99)| {
        [
            format!("--{service}-latency-median-ms={median}"),
            format!("--{service}-latency-p99-ms={p99}"),
        ]
    });
    ProcessSpec {
        name: NAME.to_owned(),
        program: "backstock-simulators",
        arguments: listens.into_iter().chain(latencies).collect(),
        environment: vec![("BACKSTOCK_CARRIER_SECRET", secret.to_owned())],
        // One health check is enough, because all four listeners are bound before any of them serves.
        health: Health {
            port: PAYMENT_PORT,
            path: "/livez",
        },
    }
}

/// The URLs of the third parties, the shop's URL for the carrier's callbacks, and the secret that signs them.
pub(crate) fn environment(shop: LocalShop, secret: &str) -> [(&'static str, String); 5] {
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
            format!("{}/v1/webhooks/carrier", shop.url()),
        ),
        ("BACKSTOCK_CARRIER_SECRET", secret.to_owned()),
        ("BACKSTOCK_SMTP_URL", format!("smtp://127.0.0.1:{SMTP_PORT}")),
    ]
}
