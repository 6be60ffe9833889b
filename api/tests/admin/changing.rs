//! Changes: what they do, what the log says of them, what they cost.

use serde_json::{Value, json};

use super::{Office, eur};
use crate::support::database::execute;
use crate::support::shop::TestShop;
use crate::support::until;

#[tokio::test]
async fn a_change_is_done_noted_and_announced_together() {
    let shop = TestShop::start("optimized").await;
    let office = Office::of(&shop).await;
    let changes = office.changes().await;
    let change = json!({
        "title": " A quieter lantern ",
        "description": "<p onclick=\"x()\">It <b>glows</b>.</p><script>alert(1)</script>",
        "prices": [
            { "sku": "SKU-1-0", "price": eur(5000), "compare_at_price": eur(9799) },
            { "sku": "SKU-1-1", "price": eur(9949) },
        ],
    });
    let changed = office.change("product-1", &change).await.ok();
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!("admin_product", changed.json());
    });
    let changes_after = office.changes().await;
    assert!(changes_after > changes);
    let log = office.get("/v1/admin/audit-log").await.ok();
    insta::with_settings!({ prepend_module_to_snapshot => false }, {
        insta::assert_json_snapshot!("audit_log", log.json(), {
            ".items[].id" => "[id]", ".items[].at" => "[at]", ".items[].customer_id" => "[customer]",
            ".items[].email" => "[email]", ".items[].before.description" => "[description]",
        });
    });
    assert_eq!(log.items()[0]["customer_id"], json!(office.admin.id));

    // The same again changes nothing: there is nothing to note, and nobody to tell.
    let again = office.change("product-1", &change).await.ok();
    assert_eq!(again.json(), changed.json());
    assert_eq!(
        (office.log().await.len(), office.changes().await),
        (1, changes_after)
    );
}

#[tokio::test]
async fn readers_find_the_product_as_it_is_now() {
    let shop = TestShop::start("optimized").await;
    let office = Office::of(&shop).await;
    let product = async || {
        shop.get("/v1/products/product-1?include=variants")
            .await
            .ok()
            .json()
    };
    let seen = async |what: &str, is_so: fn(&Value) -> bool| {
        until(what, async || is_so(&product().await).then_some(())).await;
    };
    office
        .change("product-1", &json!({ "title": "Xylophone" }))
        .await
        .ok();
    seen("the title", |product| product["title"] == "Xylophone").await;
    let found = shop.get("/v1/products?q=xylophone").await.ok();
    assert_eq!(found.each("slug"), [json!("product-1")]);

    let prices = json!({ "prices": [{ "sku": "SKU-1-1", "price": eur(1), "compare_at_price": eur(2) }] });
    office.change("product-1", &prices).await.ok();
    seen("the price", |product| product["price"] == eur(1)).await;
    assert_eq!(product().await["compare_at_price"], eur(2));
    assert_eq!(
        shop.get("/v1/products?sort=price_asc&limit=1")
            .await
            .ok()
            .each("slug"),
        [json!("product-1")]
    );
    let prices = json!({ "prices": [{ "sku": "SKU-1-1", "compare_at_price": null }] });
    office.change("product-1", &prices).await.ok();
    seen("the former price is gone", |product| {
        product["compare_at_price"].is_null()
    })
    .await;

    office.change("product-1", &json!({ "active": false })).await.ok();
    until("it is no longer shown", async || {
        (shop.get("/v1/products/product-1").await.status == 404).then_some(())
    })
    .await;
    assert!(shop.get("/v1/products?q=xylophone").await.ok().items().is_empty());
    office.change("product-1", &json!({ "active": true })).await.ok();
    until("it is shown again", async || {
        (shop.get("/v1/products/product-1").await.status == 200).then_some(())
    })
    .await;
    let logged: Vec<Value> = office
        .log()
        .await
        .into_iter()
        .map(|[_, _, _, after]| after)
        .collect();
    assert_eq!(
        logged,
        [
            json!({ "active": true }),
            json!({ "active": false }),
            json!({ "prices": { "SKU-1-1": { "compare_at_price": null } } }),
            json!({ "prices": { "SKU-1-1": { "price": eur(1), "compare_at_price": eur(2) } } }),
            json!({ "title": "Xylophone" }),
        ]
    );
}

#[tokio::test]
async fn a_product_of_one_variant_has_one_price() {
    let shop = TestShop::start("optimized").await;
    let office = Office::of(&shop).await;
    let changed = office
        .change("product-3", &json!({ "price": eur(1234) }))
        .await
        .ok()
        .json();
    assert_eq!(changed["variants"][0]["price"], eur(1234));
    office
        .change("product-1", &json!({ "price": eur(1234) }))
        .await
        .problem(409, "several_variants");
}

#[tokio::test]
async fn stock_is_counted_anew_and_readers_hear_when_it_matters() {
    let shop = TestShop::start("optimized").await;
    let office = Office::of(&shop).await;
    // One of it, and two of its sister.
    let shown = async || {
        let product = shop
            .get("/v1/products/product-1?include=variants")
            .await
            .ok()
            .json();
        (
            product["in_stock"] == true,
            product["variants"][0]["available"] == true,
        )
    };
    assert_eq!(shown().await, (true, true));
    let changes = office.changes().await;
    let set = office.set_stock("SKU-1-0", 50).await.ok();
    assert_eq!(
        set.json(),
        json!({ "sku": "SKU-1-0", "old_quantity": 1, "quantity": 50 })
    );
    // Nothing that is kept of it says how many there are.
    assert_eq!((set.statements(), office.changes().await), (3, changes));

    let set = office.set_stock("SKU-1-0", 0).await.ok();
    assert_eq!(
        (set.json()["old_quantity"].clone(), set.statements()),
        (json!(50), 3)
    );
    assert!(office.changes().await > changes);
    until("the variant is sold out", async || {
        (shown().await == (true, false)).then_some(())
    })
    .await;
    office.set_stock("SKU-1-1", 0).await.ok();
    until("all of it is", async || {
        (shown().await == (false, false)).then_some(())
    })
    .await;
    office.set_stock("SKU-1-0", 3).await.ok();
    until("it is back", async || {
        (shown().await == (true, true)).then_some(())
    })
    .await;

    let changes = office.changes().await;
    office.set_stock("SKU-1-0", 3).await.ok();
    assert_eq!(
        (office.changes().await, office.log().await.len()),
        (changes, 4),
        "nothing has changed"
    );
    let newest = &office.log().await[0];
    assert_eq!(
        newest,
        &[
            json!("stock.set"),
            json!("SKU-1-0"),
            json!({ "quantity": 0 }),
            json!({ "quantity": 3 })
        ]
    );
}

#[tokio::test]
async fn each_change_costs_so_many_statements() {
    let shop = TestShop::start("optimized").await;
    let office = Office::of(&shop).await;
    // Begin, lock twice, write, commit.
    let change = json!({ "title": "New", "prices": [{ "sku": "SKU-2-0", "price": eur(1) }, { "sku": "SKU-2-1", "price": eur(2) }] });
    assert_eq!(office.change("product-2", &change).await.ok().statements(), 5);
    assert_eq!(office.change("product-2", &change).await.ok().statements(), 4);
    assert_eq!(office.get("/v1/admin/audit-log").await.ok().statements(), 1);
    assert_eq!(office.get("/v1/admin/orders").await.ok().statements(), 1);
    assert_eq!(
        office.get("/v1/admin/orders?status=paid").await.ok().statements(),
        1
    );
}

/// A log that missed one would be no log; one that had a change that wasn't made would be a lie.
#[tokio::test]
async fn what_can_not_be_noted_is_not_done() {
    let shop = TestShop::start("optimized").await;
    let office = Office::of(&shop).await;
    shop.database.execute("delete from customers").await;
    let products = "select jsonb_build_array((select jsonb_agg(p order by id) from products p), (select jsonb_agg(v order by id) from variants v))";
    let before = shop.database.json(products).await;
    let changes = office.changes().await;
    office
        .change("product-1", &json!({ "title": "New" }))
        .await
        .problem(401, "unauthenticated");
    office
        .set_stock("SKU-1-0", 0)
        .await
        .problem(401, "unauthenticated");
    assert_eq!(shop.database.json(products).await, before);
    assert_eq!(office.changes().await, changes);
}

/// Both are done, one after the other, and the log has what each of them replaced.
#[tokio::test]
async fn changes_at_once_take_turns() {
    let shop = TestShop::start("optimized").await;
    let office = Office::of(&shop).await;
    for round in 0..10 {
        let (one, other) = (
            json!({ "price": eur(1000 + round) }),
            json!({ "price": eur(2000 + round) }),
        );
        let (a, b) = tokio::join!(
            office.change("product-3", &one),
            office.change("product-3", &other)
        );
        a.ok();
        b.ok();
    }
    let mut log = office.log().await;
    log.reverse();
    assert_eq!(log.len(), 20);
    for pair in log.windows(2) {
        assert_eq!(pair[0][3], pair[1][2], "each begins where the one before ended");
    }
}

/// A sale locks a variant, and its product when it sells out. Who locked them the other way round would wait for the sale
/// while the sale waits for them.
#[tokio::test]
async fn a_change_and_a_sale_never_wait_for_each_other() {
    let shop = TestShop::start("optimized").await;
    let office = Office::of(&shop).await;
    for change in [
        json!({ "price": eur(1), "title": "New" }),
        json!({ "title": "Newer" }),
    ] {
        office.set_stock("SKU-3-0", 2).await.ok();
        let mut sale = shop.database.connect().await;
        execute(
            &mut sale,
            "begin; update variants set stock_quantity = 1 where sku = 'SKU-3-0'",
        )
        .await;
        let selling = async {
            until("the change waits for the sale", async || {
                let waiting = "select count(*) from pg_stat_activity
                               where datname = current_database() and wait_event_type = 'Lock'";
                (shop.database.number(waiting).await > 0).then_some(())
            })
            .await;
            execute(
                &mut sale,
                "update variants set stock_quantity = 0 where sku = 'SKU-3-0'; commit",
            )
            .await;
        };
        let (changed, ()) = tokio::join!(office.change("product-3", &change), selling);
        assert_eq!(
            changed.ok().json()["variants"][0]["stock_quantity"],
            0,
            "it has seen the sale"
        );
    }
}
