//! The banner that is printed when everything is ready: URLs, the admin's account, first commands.

use local_services::home_dir;

use super::shop;
use super::third_parties::{CARRIER_PORT, INBOX_PORT, PAYMENT_PORT};

pub(crate) fn print(admin_password: &str) {
    let url = shop::url();
    println!();
    println!("{:9}  {url}", "shop");
    println!("{:9}  http://127.0.0.1:{INBOX_PORT}  the shop's emails", "mail");
    println!(
        "{:9}  http://127.0.0.1:{PAYMENT_PORT}  simulated; the parcel carrier is on {CARRIER_PORT}",
        "payments"
    );
    println!();
    println!("Sign in as {}, an admin, with the password {admin_password}.", shop::ADMIN_EMAIL);
    println!("Try: curl -i '{url}/v1/products?sort=best_selling&limit=3'");
    println!(
        "API documentation: {url}/docs. Metrics: {}/metrics. README.md has a complete purchase to paste.",
        shop::internal_url()
    );
    if let Ok(home) = home_dir() {
        println!("Logs: {}. Ctrl-C stops everything.", home.join("logs").display());
    }
}
