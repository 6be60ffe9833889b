//! Customers in these tests.

use axum::http::Request;
use axum::http::request::Builder;
use serde_json::{Value, json};

use crate::support::response::TestResponse;
use crate::support::shop::TestShop;

pub const PASSWORD: &str = "correct horse";

/// A signed-in customer.
#[derive(Debug, Clone)]
pub struct Person {
    pub email: String,
    pub access_token: String,
    pub refresh_token: String,
}

impl Person {
    /// Registers and signs in.
    pub async fn new(shop: &TestShop, name: &str) -> Self {
        let email = format!("{name}@example.com");
        let registration = json!({ "email": email, "password": PASSWORD, "name": name });
        let response = post(shop, "/v1/accounts", &registration).await;
        assert_eq!(response.status, 201, "{}", response.text());
        Self::signed_in(&email, &sign_in(shop, &email, PASSWORD).await)
    }

    pub fn signed_in(email: &str, response: &TestResponse) -> Self {
        assert_eq!(response.status, 201, "{}", response.text());
        let tokens = response.json();
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        Self {
            email: email.to_owned(),
            access_token: text("access_token"),
            refresh_token: text("refresh_token"),
        }
    }

    pub async fn get(&self, shop: &TestShop, path: &str) -> TestResponse {
        shop.send(self.authorize(Request::get(path))).await
    }

    pub async fn delete(&self, shop: &TestShop, path: &str) -> TestResponse {
        shop.send(self.authorize(Request::delete(path))).await
    }

    pub async fn post(&self, shop: &TestShop, path: &str, body: &Value) -> TestResponse {
        shop.send_json(self.authorize(Request::post(path)), body).await
    }

    pub fn authorize(&self, request: Builder) -> Builder {
        request.header("authorization", format!("Bearer {}", self.access_token))
    }

    pub async fn is_signed_in(&self, shop: &TestShop) -> bool {
        let response = self.get(shop, "/v1/me").await;
        if response.status == 401 {
            assert_eq!(
                response.problem(401, "unauthenticated")["code"],
                "unauthenticated"
            );
            assert_eq!(response.header("www-authenticate"), Some("Bearer"));
            return false;
        }
        assert_eq!(response.ok().json()["email"], self.email.as_str());
        true
    }
}

pub async fn post(shop: &TestShop, path: &str, body: &Value) -> TestResponse {
    shop.send_json(Request::post(path), body).await
}

pub async fn sign_in(shop: &TestShop, email: &str, password: &str) -> TestResponse {
    post(
        shop,
        "/v1/sessions",
        &json!({ "email": email, "password": password }),
    )
    .await
}

pub async fn refresh(shop: &TestShop, token: &str) -> TestResponse {
    post(shop, "/v1/sessions/refresh", &json!({ "refresh_token": token })).await
}

pub fn address(city: &str) -> Value {
    json!({ "name": "Ada Lovelace", "line1": "1 Harbour Street", "city": city, "postal_code": "5003", "country": "NO" })
}
