//! What is printed once everything runs: where it is, whom to sign in as, what to try first.

use local_services::home;
use storefront::variants::Variants;

use super::demo::{ADMIN_EMAIL, CUSTOMER_EMAIL, Demo, PASSWORD};
use super::side::Side;
use super::third_parties::{CARRIER_PORT, INBOX_PORT, PAYMENT_PORT};

/// Prints it.
pub(crate) fn announce(sides: &[(Side, Variants); 2], demo: Demo) {
    println!();
    for (side, variants) in sides {
        println!("{:9}  {}  {variants}", side.name(), side.url());
    }
    println!("{:9}  http://127.0.0.1:{INBOX_PORT}  what the shops send", "mail");
    println!(
        "{:9}  http://127.0.0.1:{PAYMENT_PORT}  simulated; the parcel carrier is on {CARRIER_PORT}",
        "payments"
    );
    println!();
    match demo {
        Demo::Works => {
            println!("Sign in as {CUSTOMER_EMAIL}, or as {ADMIN_EMAIL}, with the password {PASSWORD}.");
        }
        Demo::Refused => println!(
            "{CUSTOMER_EMAIL} can't sign in to both shops: they hold older data, or somebody changed it. \
             `make clean` makes them anew."
        ),
    }
    let (right, _) = &sides[1];
    println!(
        "Try: curl -i '{}/v1/products?sort=best_selling&limit=3'",
        right.url()
    );
    println!(
        "     curl -s {}/v1/sessions -H 'content-type: application/json' \\\n          \
         -d '{{\"email\":\"{CUSTOMER_EMAIL}\",\"password\":\"{PASSWORD}\"}}'",
        right.url()
    );
    println!(
        "The API's pages: {}/docs. Metrics: {}/metrics. README.md has a whole purchase to paste.",
        right.url(),
        right.internal_url()
    );
    if let Ok(home) = home() {
        println!("Logs: {}. Ctrl-C stops everything.", home.join("logs").display());
    }
}
