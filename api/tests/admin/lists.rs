//! The admin lists are ordered and complete across pages.

use serde_json::{Value, json};

use super::AdminClient;
use crate::support::people::Person;
use crate::support::shop::TestShop;

async fn add_orders(shop: &TestShop, customer: &Person) {
    shop.database
        .execute(&format!(
            "insert into orders (id, customer_id, created_at, reserved_until, subtotal_cents, discount_cents,
                                 shipping_cents, total_cents, currency, status, shipping_method, email,
                                 shipping_address)
             select lpad(to_hex(number), 32, '0')::uuid, case when number % 2 = 0 then '{}'::uuid end,
                    '2026-03-01 12:00:00Z'::timestamptz + number * interval '1 minute', now(), 1000 * number, 0, 495,
                    1000 * number + 495, 'EUR', (array['paid', 'fulfilled', 'cancelled'])[1 + number % 3], 'standard',
                    'buyer-' || number || '@example.com', '{{}}'
             from generate_series(1, 25) number",
            customer.id
        ))
        .await;
}

/// One field of all items, across pages.
async fn all_pages(admin: &AdminClient<'_>, path: &str, field: &str) -> Vec<Value> {
    let mut values = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let page = admin.get(&path).await.ok();
        assert!(page.items().len() <= 4);
        let link = page.next().map(|next| format!("<{next}>; rel=\"next\""));
        assert_eq!(page.header("link").map(str::to_owned), link);
        values.extend(page.each(field));
        next = page.next();
    }
    values
}

#[tokio::test]
async fn orders_are_listed_newest_first() {
    let shop = TestShop::start().await;
    let admin = AdminClient::new(&shop).await;
    assert_eq!(
        admin.get("/v1/admin/orders").await.ok().json(),
        json!({ "items": [], "next": null })
    );
    let customer = Person::customer(&shop).await;
    add_orders(&shop, &customer).await;
    let newest = admin.get("/v1/admin/orders?limit=2").await.ok();
    assert_eq!(newest.items()[1]["customer_id"], json!(customer.id));
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!("admin_orders", newest.json(), {
            ".items[].customer_id" => insta::dynamic_redaction(|value, _| {
                if value.is_nil() { value } else { "[customer]".into() }
            }),
            ".next" => "[next]",
        });
    });
    let emails = all_pages(&admin, "/v1/admin/orders?limit=4", "email").await;
    let expected: Vec<Value> = (1..=25)
        .rev()
        .map(|number| json!(format!("buyer-{number}@example.com")))
        .collect();
    assert_eq!(emails, expected);
    let paid = all_pages(&admin, "/v1/admin/orders?limit=4&status=paid", "email").await;
    let expected: Vec<Value> = (1..=25)
        .rev()
        .filter(|number| number % 3 == 0)
        .map(|number| json!(format!("buyer-{number}@example.com")))
        .collect();
    assert_eq!(paid, expected);
    assert!(
        admin
            .get("/v1/admin/orders?status=delivered")
            .await
            .ok()
            .items()
            .is_empty()
    );

    let next = admin.get("/v1/admin/orders?limit=4").await.next().unwrap();
    let cursor = next.split_once("after=").unwrap().1;
    for list in ["/v1/admin/orders?status=paid&", "/v1/admin/audit-log?"] {
        let problem = admin
            .get(&format!("{list}after={cursor}"))
            .await
            .problem(400, "invalid_parameter");
        assert_eq!(problem["parameter"], "after");
    }
}

#[tokio::test]
async fn the_audit_log_is_listed_newest_first() {
    let shop = TestShop::start().await;
    let admin = AdminClient::new(&shop).await;
    for quantity in 101..=109 {
        admin.set_stock("SKU-1-0", quantity).await.ok();
    }
    let after: Vec<Value> = all_pages(&admin, "/v1/admin/audit-log?limit=4", "after").await;
    let expected: Vec<Value> = (101..=109)
        .rev()
        .map(|quantity| json!({ "quantity": quantity }))
        .collect();
    assert_eq!(after, expected);
}

#[tokio::test]
async fn the_audit_log_truncates_long_texts_so_that_pages_stay_small() {
    let shop = TestShop::start().await;
    let admin = AdminClient::new(&shop).await;
    admin.set_stock("SKU-1-0", 7).await.ok();
    shop.database
        .execute(
            "insert into audit_log (id, customer_id, action, subject, before, after)
             select lpad(to_hex(number), 32, '0')::uuid, (select customer_id from audit_log limit 1), 'product.update', 'product-1',
                    jsonb_build_object('description', repeat('ä', 60000), 'active', true),
                    jsonb_build_object('description', repeat('b', number), 'active', false)
             from generate_series(999, 1001) number",
        )
        .await;
    let page = admin.get("/v1/admin/audit-log?limit=100").await.ok();
    assert!(page.body.len() < 20_000, "{} bytes", page.body.len());
    let items = page.items();
    let after = |at: usize| items[at]["after"]["description"].as_str().unwrap().to_owned();
    assert_eq!(items[1]["before"]["description"], json!("ä".repeat(1000) + "…"));
    assert_eq!(items[1]["before"]["active"], json!(true));
    assert_eq!(after(1), "b".repeat(1000) + "…");
    assert_eq!((after(2), after(3)), ("b".repeat(1000), "b".repeat(999)));
    assert_eq!(items[0]["after"], json!({ "quantity": 7 }));
}
