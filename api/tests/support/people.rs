//! Signed-in customers and admins, without the cost of hashing a password.

use std::time::Duration;

use axum::http::request::Builder;
use shop::access_token::AccessTokens;
use uuid::Uuid;

use super::shop::{SECRETS, TestShop};

/// A customer or admin with a signed access token.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: Uuid,
    token: String,
}

impl Person {
    pub async fn customer(shop: &TestShop) -> Self {
        Self::new(shop, "customer").await
    }

    pub async fn admin(shop: &TestShop) -> Self {
        Self::new(shop, "admin").await
    }

    async fn new(shop: &TestShop, role: &str) -> Self {
        let id = Uuid::now_v7();
        let email = format!("{}@example.com", id.simple());
        shop.database
            .execute(&format!(
                "insert into customers (id, role, email, name, password_hash)
                 values ('{id}', '{role}', '{email}', 'Ada', 'none')"
            ))
            .await;
        let tokens = AccessTokens::new(&SECRETS.parse().unwrap());
        let token = tokens.sign(id, Uuid::now_v7(), role, Duration::from_secs(600));
        Self { id, token }
    }

    /// Adds the access token to a request.
    pub fn authorize(&self, request: Builder) -> Builder {
        request.header("authorization", format!("Bearer {}", self.token))
    }
}
