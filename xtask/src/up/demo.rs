//! The accounts of the generated data that anyone may sign in as, and whether they can.

use std::time::Duration;

use tokio::time::timeout;

use super::http;
use super::side::Side;

// As the lab generates them; the test below compares.
pub(crate) const CUSTOMER_EMAIL: &str = "customer@example.com";
pub(crate) const ADMIN_EMAIL: &str = "admin@example.com";
pub(crate) const PASSWORD: &str = "backstock-demo";

/// More than a sign-in takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(10);

/// Whether the accounts work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demo {
    Works,
    /// By a shop whose database is from before there were accounts, or whose accounts were changed.
    Refused,
}

/// Signs in to both shops.
pub(crate) async fn try_sign_in() -> Demo {
    for side in Side::BOTH {
        let [port, ..] = side.ports();
        let body = format!(r#"{{"email":"{CUSTOMER_EMAIL}","password":"{PASSWORD}"}}"#);
        let answer = timeout(DEADLINE, http::post_json(port, "/v1/sessions", &body)).await;
        if !matches!(answer, Ok(Ok(201))) {
            return Demo::Refused;
        }
    }
    Demo::Works
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounts_are_those_that_the_lab_generates() {
        let generator = include_str!("../../../loadtests/src/generate/tables/customers.rs");
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
