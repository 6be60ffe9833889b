//! `backstock-api create-admin` is the only way to create an admin.

use std::sync::Arc;

use super::people::{PASSWORD, Person, sign_in};
use crate::support::database::{Content, Database};
use crate::support::process::{run, settings};
use crate::support::shop::{Changes, TestShop};

async fn shop() -> TestShop {
    let database = Database::new(Content::Schema).await;
    TestShop::on(Arc::new(database), Changes::default()).await
}

async fn role(shop: &TestShop, email: &str, password: &str) -> String {
    let admin = Person::signed_in(email, &sign_in(shop, email, password).await);
    admin.get(shop, "/v1/me").await.ok().json()["role"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn without_a_password_one_is_generated_and_printed() {
    let shop = shop().await;
    let output = run(&["create-admin", "Root@Example.com"], &settings(&shop.database)).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let password = output.stdout.trim().rsplit(' ').next().unwrap();
    assert_eq!(role(&shop, "root@example.com", password).await, "admin");
}

#[tokio::test]
async fn a_given_password_is_used_and_not_printed() {
    let shop = shop().await;
    let mut settings = settings(&shop.database);
    settings.push(("BACKSTOCK_ADMIN_PASSWORD", PASSWORD.to_owned()));
    let output = run(&["create-admin", "root@example.com"], &settings).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(!output.stdout.contains(PASSWORD));
    assert_eq!(role(&shop, "root@example.com", PASSWORD).await, "admin");
}

#[tokio::test]
async fn a_promoted_customer_keeps_the_password() {
    let shop = shop().await;
    Person::new(&shop, "ada").await;
    assert_eq!(role(&shop, "ada@example.com", PASSWORD).await, "customer");
    let mut settings = settings(&shop.database);
    settings.push(("BACKSTOCK_ADMIN_PASSWORD", "another password".to_owned()));
    let output = run(&["create-admin", "ada@example.com"], &settings).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(role(&shop, "ada@example.com", PASSWORD).await, "admin");
}

#[tokio::test]
async fn an_invalid_email_or_password_is_rejected() {
    let shop = shop().await;
    let output = run(&["create-admin", "root"], &settings(&shop.database)).await;
    assert_eq!(output.code, Some(2));
    assert!(
        output.stderr.contains("not an email address"),
        "{}",
        output.stderr
    );
    let mut settings = settings(&shop.database);
    settings.push(("BACKSTOCK_ADMIN_PASSWORD", "short".to_owned()));
    let output = run(&["create-admin", "root@example.com"], &settings).await;
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("8 to 256"), "{}", output.stderr);
    assert_eq!(shop.database.number("select count(*) from customers").await, 0);
}
