//! Abandoned carts are deleted, and carts in use stay.

use crate::support::{Shop, until_equal};

#[tokio::test]
async fn abandoned_carts_are_deleted_and_the_rest_stays() {
    let shop = Shop::open().await;
    // More than a batch of carts was abandoned 40 days ago, some with items, some ordered. Each id has its
    // cart's time.
    let id = |days: u32, rest: &str| {
        format!(
            "(lpad(to_hex((extract(epoch from now() - interval '{days} days') * 1000)::bigint), 12, '0')
              || '7000' || '8000' || lpad({rest}, 12, '0'))::uuid"
        )
    };
    let (old, new) = (id(40, "n::text"), id(20, "n::text"));
    shop.database
        .execute(&format!(
            "insert into customers (id, email, name, password_hash) values (gen_random_uuid(), 'a@b.c', 'A', 'x');
             insert into carts (id, token_hash, updated_at)
             select {old}, sha256('a'), now() - interval '40 days' from generate_series(1, 2500) n;
             insert into cart_items (cart_id, variant_id, quantity)
             select carts.id, variants.id, 1 from (select id from carts limit 10) carts, variants;
             insert into orders (id, cart_id, reserved_until, subtotal_cents, shipping_cents, total_cents, currency, status,
                                 shipping_method, email, shipping_address)
             select gen_random_uuid(), id, now(), 0, 0, 0, 'EUR', 'delivered', 'standard', 'a@b.c', '{{}}'
             from carts order by id desc limit 10;
             -- Used yesterday; opened lately; a customer's, used yesterday; and another of theirs, left as well.
             insert into carts (id, token_hash, updated_at)
             select {old}, sha256('a'), now() - interval '1 day' from generate_series(2501, 2501) n;
             insert into carts (id, token_hash, updated_at)
             select {new}, sha256('a'), now() - interval '20 days' from generate_series(1, 1) n;
             insert into carts (id, customer_id, updated_at)
             select {old}, customers.id, now() - interval '1 day' from customers, generate_series(2502, 2502) n;
             insert into carts (id, customer_id, updated_at)
             select {old}, customers.id, now() - interval '40 days' from customers, generate_series(2503, 2503) n;"
        ))
        .await;
    let settings = [("BACKSTOCK_PARTS", "upkeep")];
    let (_first, _second) = tokio::join!(shop.worker(&settings), shop.worker(&settings));
    let left = "select (select count(*) from carts) || ' ' || (select count(*) from cart_items) || ' '
                    || (select count(*) from orders)";
    until_equal(
        "only the carts in use and all orders are left",
        "3 0 10".to_owned(),
        async || shop.database.text(left).await,
    )
    .await;
    shop.close().await;
}

#[tokio::test]
async fn the_retention_of_carts_is_configurable() {
    let shop = Shop::open().await;
    shop.database
        .execute(
            "insert into carts (id, token_hash, updated_at)
             select (lpad(to_hex((extract(epoch from now() - days * interval '1 day') * 1000)::bigint), 12, '0')
                     || '70008000000000000000')::uuid, sha256('a'), now() - days * interval '1 day'
             from unnest(array[1, 3]) days",
        )
        .await;
    let _worker = shop
        .worker(&[
            ("BACKSTOCK_PARTS", "upkeep"),
            ("BACKSTOCK_CART_RETENTION_DAYS", "2"),
        ])
        .await;
    until_equal("only the newer cart is left", 1, async || {
        shop.database.number("select count(*) from carts").await
    })
    .await;
    shop.close().await;
}
