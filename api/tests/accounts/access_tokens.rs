//! Invalid access tokens.

use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shop::access_token::{AccessTokens, Claims};
use uuid::Uuid;

use super::people::Person;
use crate::support::arms::each_arm;
use crate::support::response::TestResponse;
use crate::support::shop::{SECRETS, TestShop};

async fn me(shop: &TestShop, authorization: &str) -> TestResponse {
    shop.send(Request::get("/v1/me").header("authorization", authorization))
        .await
}

/// The decoded claims of a token.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn invalid_tokens_are_rejected() {
    each_arm("sessions", async || {
        let shop = TestShop::start().await;
        let ada = Person::new(&shop, "ada").await;
        let token = &ada.access_token;
        assert!(ada.is_signed_in(&shop).await);
        assert_eq!(me(&shop, &format!("bEARER {token}")).await.status, 200);
        for wrong in [
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            token.clone(),
            format!("Basic {token}"),
            format!("Bearer {}", &token[1..]),
            format!("Bearer {token}A"),
            format!("Bearer {token} {token}"),
            format!("Bearer {}", ada.refresh_token),
            format!("Bearer {}", "A".repeat(43)),
            format!("Bearer {}", "x".repeat(10_000)),
            "Bearer a.b.c".to_owned(),
            "Bearer ..".to_owned(),
        ] {
            me(&shop, &wrong).await.problem(401, "unauthenticated");
        }
        let twice = ada.authorize(ada.authorize(Request::get("/v1/me")));
        shop.send(twice).await.problem(401, "unauthenticated");
    })
    .await;
}

#[tokio::test]
async fn a_modified_signed_token_is_rejected() {
    let shop = TestShop::start().await;
    let ada = Person::new(&shop, "ada").await;
    let [header, payload, signature] =
        <[&str; 3]>::try_from(ada.access_token.split('.').collect::<Vec<_>>()).unwrap();
    let mut as_admin = claims(&ada.access_token);
    assert_eq!(as_admin["role"], "customer");
    as_admin["role"] = "admin".into();
    let with_alg = |alg: &str| encoded(&json!({ "alg": alg, "typ": "JWT", "kid": "test" }));
    for forged in [
        format!("{header}.{}.{signature}", encoded(&as_admin)),
        format!("{}.{payload}.", with_alg("none")),
        format!("{}.{payload}.{signature}", with_alg("none")),
        format!("{}.{}.", with_alg("None"), encoded(&as_admin)),
        format!("{}.{payload}.{signature}", with_alg("HS512")),
        format!("{}.{payload}.{signature}", with_alg("RS256")),
        format!(
            "{}.{payload}.{signature}",
            encoded(&json!({ "alg": "HS256", "kid": "other" }))
        ),
        format!("{}.{payload}.{signature}", encoded(&json!({ "alg": "HS256" }))),
        format!("{header}.{payload}."),
        format!("{header}.{payload}"),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!(
            "{header}.{payload}.{}",
            signature.replace(&signature[..4], "AAAA")
        ),
    ] {
        me(&shop, &format!("Bearer {forged}"))
            .await
            .problem(401, "unauthenticated");
    }
    assert!(ada.is_signed_in(&shop).await);
}

#[tokio::test]
async fn an_expired_token_or_one_with_another_key_is_rejected() {
    let shop = TestShop::start().await;
    let ada = Person::new(&shop, "ada").await;
    let good: Claims = serde_json::from_value(claims(&ada.access_token)).unwrap();
    let ours = AccessTokens::new(&SECRETS.parse().unwrap());
    assert_eq!(
        me(&shop, &format!("Bearer {}", ours.sign_claims(&good)))
            .await
            .status,
        200
    );
    let expired = Claims {
        exp: good.iat - 1,
        ..good.clone()
    };
    let unknown = AccessTokens::new(&"other:0123456789abcdef0123456789abcdef".parse().unwrap());
    let another = AccessTokens::new(&"test:another-secret-of-thirty-two-bytes".parse().unwrap());
    for token in [
        ours.sign_claims(&expired),
        unknown.sign_claims(&good),
        another.sign_claims(&good),
    ] {
        me(&shop, &format!("Bearer {token}"))
            .await
            .problem(401, "unauthenticated");
    }
    // The customer of this token was deleted.
    let orphaned = Claims {
        sub: Uuid::now_v7(),
        ..good
    };
    me(&shop, &format!("Bearer {}", ours.sign_claims(&orphaned)))
        .await
        .problem(401, "unauthenticated");
}
