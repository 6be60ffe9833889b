-- FROZEN: rows for the schema of the migrations up to 20261121000006, which later schemas are upgraded from and measured
-- against. The generator follows the living schema; this does not.
--
-- `{products}`, `{customers}` and `{orders}` are replaced by numbers. As many rows as the generator makes of each, as wide
-- and as skewed as its rows are. Derived columns are written here, so triggers and foreign keys are off.

set local session_replication_role = replica;
set local work_mem = '128MB';
set local maintenance_work_mem = '256MB';

-- A UUIDv7 of a time, a kind and a number.
create function pg_temp.id(kind integer, n bigint, at timestamptz) returns uuid language sql immutable as $$
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(kind), 3, '0')
        || '8' || lpad(to_hex(n), 15, '0'))::uuid
$$;
-- A number that looks drawn: the same each time.
create function pg_temp.drawn(n bigint, purpose integer, below bigint) returns bigint language sql immutable as $$
    select (hashint8extended(n, purpose) & 9007199254740991) % below
$$;
-- When the thing of a number was made, of so many in three years.
create function pg_temp.moment(n bigint, count bigint) returns timestamptz language sql immutable as $$
    select timestamptz '2023-11-01 00:00:00+00' + interval '1096 days' * (n::double precision / count)
$$;

-- 12 departments, 5 categories each, 6 leaves each: 432 nodes, the leaves from 72 on.
insert into categories (id, parent_id, slug, name, position)
select pg_temp.id(1, n, '2023-10-01'),
       case when n < 12 then null
            when n < 72 then pg_temp.id(1, (n - 12) / 5, '2023-10-01')
            else pg_temp.id(1, 12 + (n - 72) / 6, '2023-10-01') end,
       'category-' || n, 'Category ' || n, n
from generate_series(0, 431) n;

insert into brands (id, slug, name)
select pg_temp.id(2, n, '2023-10-01'), 'brand-' || n, 'Brand ' || n
from generate_series(0, least(2000, greatest(40, {products} / 100)) - 1) n;

insert into products (id, brand_id, category_id, created_at, updated_at, sales_count, price_cents, compare_at_cents,
                      review_count, rating_hundredths, in_stock, active, currency, slug, title, description, image_url,
                      image_alt, attributes)
select pg_temp.id(3, n, at), brand.id, pg_temp.id(1, 72 + pg_temp.drawn(n, 2, 360), '2023-10-01'), at, at,
       -- Zipf-Mandelbrot over a shuffled rank.
       ({orders} / (((n * 7919) % {products}) + {products} / 5000.0 + 1))::bigint,
       499 + pg_temp.drawn(n, 3, 40000), case when n % 4 = 0 then 60000 end,
       2, (100 + pg_temp.drawn(n, 4, 401))::smallint, n % 12 <> 0, n % 100 <> 99, 'EUR',
       'product-' || n, initcap(word[1 + pg_temp.drawn(n, 5, 16)]) || ' ' || word[1 + pg_temp.drawn(n, 6, 16)] || ' '
           || noun[1 + pg_temp.drawn(n, 7, 16)] || ' ' || (n / 50),
       (select string_agg(phrase[1 + pg_temp.drawn(n * 16 + place, 8, 12)], ' ') from generate_series(1, 14) place),
       'https://img.example/' || n || '/0.jpg', 'Product ' || n,
       jsonb_build_object('Material', word[1 + pg_temp.drawn(n, 6, 16)], 'Country', 'Italy', 'Care', 'Wipe clean')
from (select n, pg_temp.moment(n, {products}) as at from generate_series(0, {products} - 1) n) numbered
cross join (select
    array['linen','walnut','ivory','granite','amber','copper','velvet','bamboo','slate','maple','indigo','cotton','brass',
          'marble','cedar','wool'] as word,
    array['lamp','chair','table','jacket','kettle','blanket','mirror','shelf','backpack','notebook','speaker','drill',
          'helmet','candle','carpet','bottle'] as noun,
    array['Made to be used every day, and to look better for it.', 'The finish is applied by hand and cures for a week.',
          'It folds flat, so that it fits behind a door or under a bed.', 'Tested for ten years of ordinary use.',
          'A spare part for everything that wears out is in the shop.', 'Comes assembled; two people carry it easily.',
          'The fabric is woven in a mill that has run since 1931.', 'Suitable for indoor use and for covered terraces.',
          'Wipe with a damp cloth, and dry it afterwards.', 'The colour differs a little from one batch to the next.',
          'Packed without plastic in a box that can be used again.', 'Five years of guarantee, also on the moving parts.']
          as phrase) texts
join lateral (select pg_temp.id(2, pg_temp.drawn(n, 1, least(2000, greatest(40, {products} / 100))), '2023-10-01') as id)
     brand on true;

insert into variants (id, product_id, price_cents, compare_at_cents, stock_quantity, position, sku, title, options)
select pg_temp.id(4, n * 8 + place, at), pg_temp.id(3, n, at), 499 + pg_temp.drawn(n, 3, 40000) + place * 100,
       case when n % 4 = 0 then 60000 end, case when n % 12 = 0 then 0 else 5 + pg_temp.drawn(n, 9, 200) end, place,
       'SKU-' || n || '-' || place, 'Size ' || place, jsonb_build_object('Size', place)
from (select n, pg_temp.moment(n, {products}) as at from generate_series(0, {products} - 1) n) numbered
cross join lateral generate_series(0, (n % 5)::integer) place;

insert into images (id, product_id, position, url, alt)
select pg_temp.id(5, n * 8 + place, at), pg_temp.id(3, n, at), place, 'https://img.example/' || n || '/' || place || '.jpg',
       'Product ' || n
from (select n, pg_temp.moment(n, {products}) as at from generate_series(0, {products} - 1) n) numbered
cross join generate_series(0, 1) place;

insert into reviews (id, product_id, created_at, rating, author_name, title, body)
select pg_temp.id(6, n, at + interval '30 days'), pg_temp.id(3, n / 2, at), at + interval '30 days', 1 + n % 5,
       'Reader ' || n, 'As described', repeat('It does what it should, and the box was whole. ', 4)
from (select n, pg_temp.moment(n / 2, {products}) as at from generate_series(0, 2 * {products} - 1) n) numbered;

insert into product_search (product_id, document)
select id, product_search_document(title, description) from products;

insert into customers (id, created_at, email, name, password_hash)
select pg_temp.id(7, n, pg_temp.moment(n, {customers})), pg_temp.moment(n, {customers}), 'customer' || n || '@example.com',
       'Customer ' || n, '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$' || repeat('A', 43)
from generate_series(0, {customers} - 1) n;

insert into addresses (id, customer_id, name, line1, city, postal_code, country)
select pg_temp.id(8, n, pg_temp.moment(n, {customers})), pg_temp.id(7, n, pg_temp.moment(n, {customers})), 'Customer ' || n,
       n || ' Station Road', 'Bonn', '53111', 'DE'
from generate_series(0, {customers} - 1) n;

insert into sessions (id, customer_id, created_at, expires_at)
select pg_temp.id(9, n, '2026-10-01'), pg_temp.id(7, n, pg_temp.moment(n, {customers})), '2026-10-01', '2027-10-01'
from generate_series(0, {customers} - 1) n;

insert into refresh_tokens (token_hash, session_id, created_at, expires_at)
select sha256(('token ' || n)::bytea), pg_temp.id(9, n % {customers}, '2026-10-01'), '2026-10-01', '2027-10-01'
from generate_series(0, 3 * {customers} - 1) n;

insert into coupons (code, percent, valid_from, valid_until)
select 'WELCOME' || n, 10, '2023-01-01', '2030-01-01' from generate_series(1, 20) n;

insert into orders (id, cart_id, customer_id, created_at, updated_at, reserved_until, subtotal_cents, shipping_cents,
                    total_cents, currency, status, shipping_method, email, payment_id, shipping_address)
select pg_temp.id(10, n, at), pg_temp.id(11, n, at), pg_temp.id(7, n % {customers}, pg_temp.moment(n % {customers}, {customers})),
       at, at, at + interval '15 minutes', 6000, 490, 6490, 'EUR',
       case when n % 50 = 0 then 'cancelled' else 'delivered' end, 'standard',
       'customer' || n % {customers} || '@example.com', 'pay_' || n,
       '{"name": "Ada Lovelace", "line1": "1 Analytical Way", "city": "Bonn", "postal_code": "53111", "country": "DE"}'
from (select n, pg_temp.moment(n, {orders}) as at from generate_series(0, {orders} - 1) n) numbered;

insert into order_lines (order_id, position, variant_id, product_id, quantity, unit_price_cents, sku, title, variant_title)
select pg_temp.id(10, n, at), place, pg_temp.id(4, product * 8, made), pg_temp.id(3, product, made), 1, 2000,
       'SKU-' || product || '-0', 'Product ' || product, 'Size 0'
from (select n, pg_temp.moment(n, {orders}) as at from generate_series(0, {orders} - 1) n) numbered
cross join generate_series(0, 2) place
cross join lateral (select pg_temp.drawn(n * 4 + place, 10, {products}) as product) drawn
cross join lateral (select pg_temp.moment(product, {products}) as made) dated;

insert into order_events (order_id, id, at, event)
select pg_temp.id(10, n, at), pg_temp.id(12, n * 8 + place, at), at + place * interval '1 hour',
       (array['created', 'paid', 'confirmation_sent', 'fulfilled', 'delivered'])[place + 1]
from (select n, pg_temp.moment(n, {orders}) as at from generate_series(0, {orders} - 1) n) numbered
cross join generate_series(0, 4) place
where n % 50 <> 0 or place = 0;

insert into shipments (order_id, created_at, carrier_label, tracking_number, delivered_at)
select pg_temp.id(10, n, at), at, 'label_' || n, 'TRACK' || n, at + interval '2 days'
from (select n, pg_temp.moment(n, {orders}) as at from generate_series(0, {orders} - 1) n) numbered
where n % 50 <> 0;

-- What a month of consumers has noted, three rows an order of the last month.
insert into inbox (message_id, consumer, done_at)
select pg_temp.id(13, n, pg_temp.moment(n, {orders})), consumer, '2026-10-15'
from generate_series({orders} - {orders} / 36, {orders} - 1) n
cross join unnest(array['confirmation_email', 'shipping_label', 'popularity']) consumer;

insert into idempotency_keys (owner, key, request_hash, created_at, expires_at, order_id)
select sha256(('owner ' || n)::bytea), 'order-' || n, sha256(('body ' || n)::bytea), '2026-10-31', '2026-11-01',
       pg_temp.id(10, n, pg_temp.moment(n, {orders}))
from generate_series({orders} - {orders} / 1000, {orders} - 1) n;
