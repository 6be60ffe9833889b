//! Access tokens that are none.

use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use storefront::access_token::{AccessTokens, Claims};
use uuid::Uuid;

use super::people::Person;
use crate::support::answer::Answer;
use crate::support::arms::arms_of;
use crate::support::shop::{SECRETS, TestShop};

async fn me(shop: &TestShop, authorization: &str) -> Answer {
    shop.send(Request::get("/v1/me").header("authorization", authorization))
        .await
}

/// The claims of a token, as they were written.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn what_is_no_token_of_ours_is_refused_by_every_arm() {
    for variants in arms_of("sessions") {
        let shop = TestShop::start(&variants.to_string()).await;
        let ada = Person::new(&shop, "ada").await;
        let token = &ada.access_token;
        assert!(ada.is_known(&shop).await, "{variants}");
        assert_eq!(
            me(&shop, &format!("bEARER {token}")).await.status,
            200,
            "{variants}"
        );
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
        let twice = ada.bearing(ada.bearing(Request::get("/v1/me")));
        shop.send(twice).await.problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn a_signed_token_is_refused_when_anything_of_it_was_changed() {
    let shop = TestShop::start("optimized").await;
    let ada = Person::new(&shop, "ada").await;
    let [header, payload, signature] =
        <[&str; 3]>::try_from(ada.access_token.split('.').collect::<Vec<_>>()).unwrap();
    let mut as_admin = claims(&ada.access_token);
    assert_eq!(as_admin["role"], "customer");
    as_admin["role"] = "admin".into();
    let none = |alg: &str| part(&json!({ "alg": alg, "typ": "JWT", "kid": "test" }));
    for forged in [
        format!("{header}.{}.{signature}", part(&as_admin)),
        format!("{}.{payload}.", none("none")),
        format!("{}.{payload}.{signature}", none("none")),
        format!("{}.{}.", none("None"), part(&as_admin)),
        format!("{}.{payload}.{signature}", none("HS512")),
        format!("{}.{payload}.{signature}", none("RS256")),
        format!(
            "{}.{payload}.{signature}",
            part(&json!({ "alg": "HS256", "kid": "other" }))
        ),
        format!("{}.{payload}.{signature}", part(&json!({ "alg": "HS256" }))),
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
    assert!(ada.is_known(&shop).await);
}

#[tokio::test]
async fn a_signed_token_is_refused_when_it_is_expired_or_anothers() {
    let shop = TestShop::start("optimized").await;
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
    // One whose customer is gone.
    let nobodys = Claims {
        sub: Uuid::now_v7(),
        ..good
    };
    me(&shop, &format!("Bearer {}", ours.sign_claims(&nobodys)))
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_stored_token_ends_with_its_time() {
    for variants in arms_of("sessions") {
        if variants.sessions.as_str() == "jwt" {
            continue;
        }
        let shop = TestShop::start(&variants.to_string()).await;
        let ada = Person::new(&shop, "ada").await;
        shop.database
            .execute("update sessions set access_expires_at = now() - interval '1 second'")
            .await;
        assert!(!ada.is_known(&shop).await, "{variants}");
    }
}
