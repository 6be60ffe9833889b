//! The banner that is printed when everything is ready: URLs, demo accounts, first commands.

use local_services::home_dir;
use techniques::Selection;

use super::demo::{ADMIN_EMAIL, CUSTOMER_EMAIL, DemoSignIn, PASSWORD};
use super::shop::LocalShop;
use super::third_parties::{CARRIER_PORT, INBOX_PORT, PAYMENT_PORT};

pub(crate) fn print(shops: &[(LocalShop, Selection); 2], demo: DemoSignIn) {
    println!();
    for (shop, selection) in shops {
        println!("{:9}  {}  {selection}", shop.name(), shop.url());
    }
    println!("{:9}  http://127.0.0.1:{INBOX_PORT}  the shops' emails", "mail");
    println!(
        "{:9}  http://127.0.0.1:{PAYMENT_PORT}  simulated; the parcel carrier is on {CARRIER_PORT}",
        "payments"
    );
    println!();
    match demo {
        DemoSignIn::Accepted => {
            println!("Sign in as {CUSTOMER_EMAIL}, or as {ADMIN_EMAIL}, with the password {PASSWORD}.");
        }
        DemoSignIn::Rejected => println!(
            "{CUSTOMER_EMAIL} can't sign in to both shops: their data is older, or was changed. \
            `make clean` removes it, and the next `make up` regenerates it."
        ),
    }
    let (right, _) = &shops[1];
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
        "API documentation: {}/docs. Metrics: {}/metrics. README.md has a complete purchase to paste.",
        right.url(),
        right.internal_url()
    );
    if let Ok(home) = home_dir() {
        println!("Logs: {}. Ctrl-C stops everything.", home.join("logs").display());
    }
}
