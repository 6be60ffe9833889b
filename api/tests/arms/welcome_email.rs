//! With `inline`, the request sends the welcome mail.

use serde_json::json;

use crate::accounts::people::post;
use crate::accounts::welcome_email::{ada, mail_server, shop_without_mail_server};
use crate::support::arms::with_arm;
use crate::support::shop::{Changes, TestShop};

#[tokio::test]
async fn inline_records_a_mail_already_handled_even_if_it_was_not_sent() {
    with_arm("welcome_email", "inline", async || {
        let shop = shop_without_mail_server().await;
        assert_eq!(post(&shop, "/v1/accounts", &ada()).await.status, 201);
        let message = shop.database.json("select message_id from outbox").await;
        let done = "select jsonb_agg(jsonb_build_array(message_id, consumer)) from inbox";
        assert_eq!(
            shop.database.json(done).await,
            json!([[message, "welcome_email"]])
        );
    })
    .await;
}

#[tokio::test]
async fn inline_sends_the_mail_before_it_responds() {
    with_arm("welcome_email", "inline", async || {
        let (url, received) = mail_server().await;
        let shop = TestShop::start_with(Changes::default().set("--smtp-url", url)).await;
        assert_eq!(post(&shop, "/v1/accounts", &ada()).await.status, 201);
        let mail = received.await.unwrap();
        assert!(mail.contains("RCPT TO:<ada@example.com>"), "{mail}");
        assert!(mail.contains("Subject: Welcome, Ada"), "{mail}");
    })
    .await;
}
