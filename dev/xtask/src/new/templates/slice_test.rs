//! __Words__: each customer sees only their own.

use axum::http::Request;
use serde_json::json;

use crate::support::people::Person;
use crate::support::shop::TestShop;

const LIST: &str = "/v1/__kebab__";

#[tokio::test]
async fn the_list_of_a_new_customer_is_empty_and_private() {
    let shop = TestShop::start().await;
    let customer = Person::customer(&shop).await;
    let list = shop.send(customer.authorize(Request::get(LIST))).await.ok();
    assert_eq!(list.json(), json!({ "items": [], "next": null }));
    assert_eq!(list.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn the_list_requires_a_sign_in_and_rejects_unknown_parameters() {
    let shop = TestShop::start().await;
    shop.get(LIST).await.problem(401, "unauthenticated");
    let customer = Person::customer(&shop).await;
    let request = Request::get(format!("{LIST}?surely=unknown"));
    let problem = shop
        .send(customer.authorize(request))
        .await
        .problem(400, "invalid_parameter");
    assert_eq!(problem["parameter"], "surely");
}
