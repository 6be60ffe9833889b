//! People who use the shop in these tests.

use axum::http::Request;
use axum::http::request::Builder;
use serde_json::{Value, json};
use storefront::variants::Variants;

use crate::support::answer::Answer;
use crate::support::arms::arms_of;
use crate::support::shop::TestShop;

pub const PASSWORD: &str = "correct horse";

/// Every arm of every lesson that this slice has.
pub fn arms() -> Vec<Variants> {
    ["sessions", "password_hashing", "welcome_email"]
        .into_iter()
        .flat_map(arms_of)
        .collect()
}

/// Somebody signed in.
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
        let answer = post(shop, "/v1/accounts", &registration).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        Self::signed_in(&email, &sign_in(shop, &email, PASSWORD).await)
    }

    pub fn signed_in(email: &str, answer: &Answer) -> Self {
        assert_eq!(answer.status, 201, "{}", answer.text());
        let tokens = answer.json();
        let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
        Self {
            email: email.to_owned(),
            access_token: text("access_token"),
            refresh_token: text("refresh_token"),
        }
    }

    pub async fn get(&self, shop: &TestShop, path: &str) -> Answer {
        shop.send(self.bearing(Request::get(path))).await
    }

    pub async fn delete(&self, shop: &TestShop, path: &str) -> Answer {
        shop.send(self.bearing(Request::delete(path))).await
    }

    pub async fn post(&self, shop: &TestShop, path: &str, body: &Value) -> Answer {
        shop.send_json(self.bearing(Request::post(path)), body).await
    }

    pub fn bearing(&self, request: Builder) -> Builder {
        request.header("authorization", format!("Bearer {}", self.access_token))
    }

    pub async fn is_known(&self, shop: &TestShop) -> bool {
        let answer = self.get(shop, "/v1/me").await;
        if answer.status == 401 {
            assert_eq!(answer.problem(401, "unauthenticated")["code"], "unauthenticated");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            return false;
        }
        assert_eq!(answer.ok().json()["email"], self.email.as_str());
        true
    }
}

pub async fn post(shop: &TestShop, path: &str, body: &Value) -> Answer {
    shop.send_json(Request::post(path), body).await
}

pub async fn sign_in(shop: &TestShop, email: &str, password: &str) -> Answer {
    post(
        shop,
        "/v1/sessions",
        &json!({ "email": email, "password": password }),
    )
    .await
}

pub async fn refresh(shop: &TestShop, token: &str) -> Answer {
    post(shop, "/v1/sessions/refresh", &json!({ "refresh_token": token })).await
}

pub fn address(city: &str) -> Value {
    json!({ "name": "Ada Lovelace", "line1": "1 Harbour Street", "city": city, "postal_code": "5003", "country": "NO" })
}
