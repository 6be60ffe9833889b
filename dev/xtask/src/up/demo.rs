//! The demo accounts of the generated data, and the check that they work.

use std::time::Duration;

use tokio::time::timeout;

use super::http;
use super::shop::LocalShop;

// Copied from the lab's generator; a test below compares them.
pub(crate) const CUSTOMER_EMAIL: &str = "customer@example.com";
pub(crate) const ADMIN_EMAIL: &str = "admin@example.com";
pub(crate) const PASSWORD: &str = "backstock-demo";

/// Far above the duration of a sign-in on a busy machine.
const DEADLINE: Duration = Duration::from_secs(10);

/// Whether the demo accounts can sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DemoSignIn {
    Accepted,
    /// A shop has older data, or its accounts were changed.
    Rejected,
}

/// Signs in to both shops.
pub(crate) async fn try_sign_in() -> DemoSignIn {
    for shop in LocalShop::BOTH {
        let [port, ..] = shop.ports();
        let body = format!(r#"{{"email":"{CUSTOMER_EMAIL}","password":"{PASSWORD}"}}"#);
        let response = timeout(DEADLINE, http::post_json(port, "/v1/sessions", &body)).await;
        if !matches!(response, Ok(Ok(201))) {
            return DemoSignIn::Rejected;
        }
    }
    DemoSignIn::Accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounts_are_those_of_the_generated_data() {
        let generator = include_str!("../../../dataset/src/tables/customers.rs");
        for (name, value) in [
            ("CUSTOMER_EMAIL", CUSTOMER_EMAIL),
            ("ADMIN_EMAIL", ADMIN_EMAIL),
            ("DEMO_PASSWORD", PASSWORD),
        ] {
            let constant = format!("pub const {name}: &str = \"{value}\";");
            assert!(generator.contains(&constant), "{constant}");
        }
    }
}
