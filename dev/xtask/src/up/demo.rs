//! The demo accounts of the generated data, and the check that they work.

use std::time::Duration;

use reqwest::{Client, StatusCode};

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
    let client = Client::new();
    for shop in LocalShop::BOTH {
        let request = client
            .post(format!("{}/v1/sessions", shop.url()))
            .timeout(DEADLINE);
        let credentials = serde_json::json!({ "email": CUSTOMER_EMAIL, "password": PASSWORD });
        let response = request.json(&credentials).send().await;
        if !matches!(response, Ok(response) if response.status() == StatusCode::CREATED) {
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
