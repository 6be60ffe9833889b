//! Generated customers and orders in a database: sums, states and references agree, demand has its skew, and the shop
//! can go on from there.

#![allow(
    clippy::unwrap_used,
    reason = "functions that tests share may fail as tests do"
)]

mod generate_support;

use argon2::{Argon2, PasswordVerifier};
use dataset::tables::customers::{ADMIN_EMAIL, CUSTOMER_EMAIL, DEMO_PASSWORD, DEMO_PASSWORD_HASH};
use dataset::{Command, Scale};
use generate_support::TestDatabase;
use sqlx::PgConnection;

fn command(database: &TestDatabase, replace: bool) -> Command {
    Command {
        scale: Scale::Xs,
        seed: 1,
        database_url: database.url().to_owned(),
        replace,
        print_digest: false,
    }
}

async fn number(connection: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(connection).await.unwrap()
}

/// What must not be found, by name. What the schema checks, such as a total that is no sum, can't be found anyway.
const FAULTS: [(&str, &str); 17] = [
    (
        "a subtotal that isn't the sum of the lines",
        "select count(*) from orders o where subtotal_cents is distinct from
            (select sum(quantity * unit_price_cents) from order_lines where order_id = o.id)",
    ),
    (
        "a shipping price that the api doesn't know",
        "select count(*) from orders where shipping_cents <> case shipping_method when 'express' then 1295 else 495 end",
    ),
    (
        "a discount that its coupon doesn't give",
        "select count(*) from orders o left join coupons c on c.code = o.coupon_code
            where discount_cents <> case
                when c.code is null or subtotal_cents < minimum_cents then 0
                when percent is not null then subtotal_cents * percent / 100
                else least(amount_cents, subtotal_cents) end
               or discount_cents = 0 and c.code is not null",
    ),
    (
        "a coupon outside of its time",
        "select count(*) from orders o join coupons c on c.code = o.coupon_code
            where o.created_at < valid_from or o.created_at >= valid_until",
    ),
    (
        "a coupon whose uses are not those of the orders",
        "select count(*) from coupons c where uses <> (select count(*) from orders
            where coupon_code = c.code and status not in ('payment_failed', 'cancelled'))",
    ),
    (
        "a line that is not as its variant is",
        "select count(*) from order_lines l
            join variants v on v.id = l.variant_id join products p on p.id = l.product_id
            where v.product_id <> l.product_id or v.sku <> l.sku or v.price_cents <> l.unit_price_cents
               or p.title <> l.title or v.title <> l.variant_title",
    ),
    (
        "a product that an order has twice",
        "select count(*) from (select from order_lines group by order_id, product_id having count(*) > 1) twice",
    ),
    (
        "lines that aren't counted from 0",
        "select count(*) from (select from order_lines group by order_id having max(position) <> count(*) - 1) gaps",
    ),
    (
        "something bought before it was sold, or by somebody before they registered",
        "select count(*) from orders o join order_lines l on l.order_id = o.id join products p on p.id = l.product_id
            join customers c on c.id = o.customer_id
            where p.created_at > o.created_at or c.created_at > o.created_at",
    ),
    (
        "a state that the timeline doesn't end in",
        "select count(*) from orders o where (status, updated_at) is distinct from
            (select (event, at) from order_events where order_id = o.id order by id desc limit 1)",
    ),
    (
        "a timeline that no order can have",
        "select count(*) from (
            select string_agg(event, ' ' order by id) as way, string_agg(event, ' ' order by at) as by_time
            from order_events group by order_id) t
         where way <> by_time or way not in ('created payment_failed', 'created paid', 'created paid cancelled',
            'created paid fulfilled', 'created paid fulfilled delivered')",
    ),
    (
        "an order without a timeline that begins with it",
        "select count(*) from orders o where created_at is distinct from
            (select at from order_events where order_id = o.id and event = 'created')",
    ),
    (
        "a payment that doesn't fit the state",
        "select count(*) from orders where (payment_id is null) <> (status = 'payment_failed')
            or (payment_voided_at is not null) <> (status in ('cancelled', 'payment_failed'))",
    ),
    (
        "a parcel that doesn't fit the state",
        "select count(*) from orders o left join shipments s on s.order_id = o.id
            where (s.order_id is not null) <> (status in ('fulfilled', 'delivered'))
               or (s.delivered_at is not null) <> (status = 'delivered')",
    ),
    (
        "an order that isn't sent to an address of its customer, or not told to their email",
        "select count(*) from orders o join customers c on c.id = o.customer_id where o.email <> c.email
            or not exists (select from addresses a where a.customer_id = c.id and o.shipping_address = jsonb_strip_nulls(
                jsonb_build_object('name', a.name, 'line1', line1, 'line2', line2, 'city', city,
                                   'postal_code', postal_code, 'region', region, 'country', country)))",
    ),
    (
        "ids or numbers that don't grow with time",
        "select count(*) from (select number, created_at, lag(number) over w as last, lag(created_at) over w as before
            from orders window w as (order by id)) o where number <> coalesce(last, 0) + 1 or created_at < before",
    ),
    (
        "a mail that could reach somebody",
        "select count(*) from customers where email !~ '@example[.](com|net|org)$'",
    ),
];

#[tokio::test]
async fn orders_add_up_and_agree_with_what_they_refer_to() {
    let database = TestDatabase::migrated("orders").await;
    command(&database, false).run().await.unwrap();
    let mut connection = database.connect().await;
    assert_eq!(
        number(&mut connection, "select count(*) from customers").await,
        200
    );
    assert_eq!(
        number(&mut connection, "select count(*) from orders").await,
        2_000
    );
    for (fault, query) in FAULTS {
        let found = number(&mut connection, query).await;
        assert_eq!(found, 0, "there are {found} cases of {fault}");
    }

    let lines = number(&mut connection, "select count(*) from order_lines").await;
    assert!((5_600..6_400).contains(&lines), "{lines} lines");
    let delivered = "select count(*) from orders where status = 'delivered'";
    let delivered = number(&mut connection, delivered).await;
    assert!((1_800..1_950).contains(&delivered), "{delivered} were delivered");
    // Every state is there to be looked at, and the unfinished are the newest.
    let states = "select count(distinct status) from orders";
    assert_eq!(number(&mut connection, states).await, 5);
    let old = "select count(*) from orders where status in ('paid', 'fulfilled')
        and created_at < (select max(created_at) from orders) - interval '8 days'";
    assert_eq!(number(&mut connection, old).await, 0);
    let used = "select min(uses) from coupons where code in ('WELCOME10', 'THANKS5')";
    let used: i32 = sqlx::query_scalar(used).fetch_one(&mut connection).await.unwrap();
    assert!(used > 20, "{used} uses");
    database.drop().await;
}

#[tokio::test]
async fn demand_has_its_skew_and_grows() {
    let database = TestDatabase::migrated("demand").await;
    command(&database, false).run().await.unwrap();
    let mut connection = database.connect().await;
    let best_fifth = "select sum(n)::bigint * 100 / 2000 from (
        select count(*) as n from orders group by customer_id order by 1 desc limit 40) best";
    let best_fifth = number(&mut connection, best_fifth).await;
    assert!(
        (62..=72).contains(&best_fifth),
        "the best fifth of the customers makes {best_fifth} % of the orders"
    );
    let without =
        "select count(*) from customers c where not exists (select from orders where customer_id = c.id)";
    let without = number(&mut connection, without).await;
    assert!((2..50).contains(&without), "{without} customers have no order");
    // In a small catalogue the best twentieth of the products gets two thirds, as `sales_count` says, but for those
    // that came late.
    let of_best = "select count(*) * 100 / (select count(*) from order_lines) from order_lines
        where product_id in (select id from products order by sales_count desc limit 50)";
    let of_best = number(&mut connection, of_best).await;
    assert!(
        (50..75).contains(&of_best),
        "the best sellers are {of_best} % of the lines"
    );
    let last_quarter = "select count(*) from orders
        where created_at > (select max(created_at) from orders) - interval '182 days'";
    let last_quarter = number(&mut connection, last_quarter).await;
    // (x + x²) / 2 leaves 34 % for the last quarter of the time.
    assert!(
        (650..720).contains(&last_quarter),
        "{last_quarter} orders in the last half year"
    );
    database.drop().await;
}

#[tokio::test]
async fn the_demo_accounts_can_be_signed_in_to() {
    Argon2::default()
        .verify_password(DEMO_PASSWORD.as_bytes(), DEMO_PASSWORD_HASH)
        .expect("the hash is that of the password");
    // The api's parameters: a hash with others would tell the demo accounts by the time that a sign-in takes.
    assert!(DEMO_PASSWORD_HASH.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));

    let database = TestDatabase::migrated("demo").await;
    command(&database, false).run().await.unwrap();
    let mut connection = database.connect().await;
    let admins: Vec<String> = sqlx::query_scalar("select email from customers where role = 'admin'")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(admins, [ADMIN_EMAIL]);
    let orders: i64 = sqlx::query_scalar(
        "select count(*) from orders join customers c on c.id = customer_id where c.email = $1",
    )
    .bind(CUSTOMER_EMAIL)
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!(
        (15..80).contains(&orders),
        "the demo customer has {orders} orders"
    );
    let hashes = "select count(distinct password_hash) from customers";
    assert_eq!(number(&mut connection, hashes).await, 1);
    database.drop().await;
}

#[tokio::test]
async fn a_shop_goes_on_and_is_replaced_with_what_it_wrote() {
    let database = TestDatabase::migrated("goes_on").await;
    command(&database, false).run().await.unwrap();
    let mut connection = database.connect().await;
    // A session, a cart and an order, as the api writes them.
    let write = "
        insert into sessions (id, customer_id, expires_at) select gen_random_uuid(), id, now() from customers limit 1;
        insert into refresh_tokens (token_hash, session_id, expires_at)
            select sha256('token'), id, now() from sessions;
        insert into carts (id, customer_id) select gen_random_uuid(), id from customers limit 1;
        insert into cart_items (cart_id, variant_id, quantity)
            select carts.id, variants.id, 1 from carts, (select id from variants limit 1) variants;
        insert into orders (id, customer_id, reserved_until, subtotal_cents, shipping_cents, total_cents, currency,
                            shipping_method, email, shipping_address)
            select gen_random_uuid(), id, now(), 1, 2, 3, 'EUR', 'standard', email, '{}' from customers limit 1;
        insert into idempotency_keys (owner, key, request_hash, expires_at, order_id)
            select sha256('owner'), 'key', sha256('body'), now(), id from orders where total_cents = 3;
        insert into audit_log (id, customer_id, action, subject, before, after)
            select gen_random_uuid(), id, 'stock.set', 'sku', '{}', '{}' from customers limit 1";
    sqlx::raw_sql(write).execute(&mut connection).await.unwrap();
    let newest = "select number from orders where total_cents = 3";
    assert_eq!(number(&mut connection, newest).await, 2_001);

    command(&database, true).run().await.unwrap();
    assert_eq!(
        number(&mut connection, "select count(*) from orders").await,
        2_000
    );
    let left = "select (select count(*) from sessions) + (select count(*) from refresh_tokens)
        + (select count(*) from carts) + (select count(*) from cart_items)
        + (select count(*) from idempotency_keys) + (select count(*) from audit_log)";
    assert_eq!(number(&mut connection, left).await, 0);
    database.drop().await;
}
