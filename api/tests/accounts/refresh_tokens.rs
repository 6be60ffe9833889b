//! Refresh tokens are single-use; reusing one revokes its token family.

use base64::Engine;
use futures_util::future::join_all;

use super::people::{PASSWORD, Person, refresh, sign_in};
use crate::support::arms::each_arm;
use crate::support::shop::{Changes, TestShop};

#[tokio::test]
async fn each_refresh_returns_new_tokens() {
    each_arm("sessions", async || {
        let shop = TestShop::start().await;
        let mut ada = Person::new(&shop, "ada").await;
        for _ in 0..3 {
            let next = Person::signed_in(&ada.email, &refresh(&shop, &ada.refresh_token).await);
            assert_ne!(next.refresh_token, ada.refresh_token);
            assert!(next.is_signed_in(&shop).await);
            ada = next;
        }
        assert_eq!(shop.database.number("select count(*) from sessions").await, 1);
        assert_eq!(
            shop.database
                .number("select count(*) from refresh_tokens where used_at is null")
                .await,
            1
        );
    })
    .await;
}

#[tokio::test]
async fn reusing_a_token_revokes_its_family_and_no_other() {
    each_arm("sessions", async || {
        let shop = TestShop::start().await;
        let stolen = Person::new(&shop, "ada").await;
        let other = Person::signed_in(&stolen.email, &sign_in(&shop, &stolen.email, PASSWORD).await);
        let next = Person::signed_in(&stolen.email, &refresh(&shop, &stolen.refresh_token).await);
        assert!(next.is_signed_in(&shop).await);
        refresh(&shop, &stolen.refresh_token)
            .await
            .problem(401, "refresh_token_refused");
        refresh(&shop, &next.refresh_token)
            .await
            .problem(401, "refresh_token_refused");
        assert!(other.is_signed_in(&shop).await);
        assert_eq!(refresh(&shop, &other.refresh_token).await.status, 201);
    })
    .await;
}

/// A signed access token isn't looked up, so it remains valid until it expires.
#[tokio::test]
async fn an_access_token_outlives_its_revoked_family() {
    let shop = TestShop::start().await;
    assert!(reuse_a_token(&shop).await.is_signed_in(&shop).await);
}

/// Reuses a refresh token, and returns the newest tokens of the family that this revokes.
pub async fn reuse_a_token(shop: &TestShop) -> Person {
    let stolen = Person::new(shop, "ada").await;
    let next = Person::signed_in(&stolen.email, &refresh(shop, &stolen.refresh_token).await);
    assert!(next.is_signed_in(shop).await);
    refresh(shop, &stolen.refresh_token)
        .await
        .problem(401, "refresh_token_refused");
    next
}

#[tokio::test]
async fn reusing_a_token_revokes_its_family_even_after_its_row_was_deleted() {
    each_arm("sessions", async || {
        let shop = TestShop::start().await;
        let stolen = Person::new(&shop, "ada").await;
        let other = Person::signed_in(&stolen.email, &sign_in(&shop, &stolen.email, PASSWORD).await);
        let next = Person::signed_in(&stolen.email, &refresh(&shop, &stolen.refresh_token).await);
        let used = "select count(*) from refresh_tokens where used_at is not null";
        assert_eq!(shop.database.json(used).await, 1);
        shop.database
            .execute("delete from refresh_tokens where used_at is not null")
            .await;
        for token in [&stolen.refresh_token, &next.refresh_token] {
            refresh(&shop, token).await.problem(401, "refresh_token_refused");
        }
        assert_eq!(refresh(&shop, &other.refresh_token).await.status, 201);
    })
    .await;
}

/// Such tokens were issued before tokens named their family.
#[tokio::test]
async fn a_token_without_a_family_is_exchanged_for_one_with_a_family() {
    let shop = TestShop::start().await;
    let ada = Person::new(&shop, "ada").await;
    let old = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([7; 32]);
    let hash = "update refresh_tokens set token_hash = sha256(decode(repeat('07', 32), 'hex'))";
    shop.database.execute(hash).await;
    let next = Person::signed_in(&ada.email, &refresh(&shop, &old).await);
    assert!(next.is_signed_in(&shop).await);
    assert_eq!(refresh(&shop, &next.refresh_token).await.status, 201);
    shop.database
        .execute("delete from refresh_tokens where used_at is not null")
        .await;
    refresh(&shop, &next.refresh_token)
        .await
        .problem(401, "refresh_token_refused");
    let revoked = "select count(*) from sessions where revoked_at is not null";
    assert_eq!(shop.database.number(revoked).await, 1);
}

#[tokio::test]
async fn one_of_twenty_concurrent_refreshes_with_one_token_succeeds() {
    each_arm("sessions", async || {
        let changes = Changes::default().set("--database-connections", 8);
        let shop = TestShop::start_with(changes).await;
        let ada = Person::new(&shop, "ada").await;
        let responses = join_all((0..20).map(|_| refresh(&shop, &ada.refresh_token))).await;
        let (won, lost): (Vec<_>, Vec<_>) =
            responses.into_iter().partition(|response| response.status == 201);
        assert_eq!((won.len(), lost.len()), (1, 19));
        for response in lost {
            response.problem(401, "refresh_token_refused");
        }
        // The other requests count as reuse.
        let won = Person::signed_in(&ada.email, &won[0]);
        refresh(&shop, &won.refresh_token)
            .await
            .problem(401, "refresh_token_refused");
    })
    .await;
}

#[tokio::test]
async fn an_unknown_expired_or_signed_out_token_is_rejected() {
    each_arm("sessions", async || {
        let shop = TestShop::start().await;
        let ada = Person::new(&shop, "ada").await;
        for unknown in [
            "x",
            &"A".repeat(43),
            &ada.access_token.chars().take(200).collect::<String>(),
        ] {
            refresh(&shop, unknown)
                .await
                .problem(401, "refresh_token_refused");
        }
        assert!(ada.is_signed_in(&shop).await);
        let signed_out = Person::signed_in(&ada.email, &sign_in(&shop, &ada.email, PASSWORD).await);
        assert_eq!(signed_out.delete(&shop, "/v1/sessions/current").await.status, 204);
        refresh(&shop, &signed_out.refresh_token)
            .await
            .problem(401, "refresh_token_refused");
        shop.database
            .execute("update refresh_tokens set expires_at = now() - interval '1 second'")
            .await;
        refresh(&shop, &ada.refresh_token)
            .await
            .problem(401, "refresh_token_refused");
    })
    .await;
}
