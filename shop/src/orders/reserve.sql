-- $1 to $22: as in `insert_order.sql`. $23 to $29: the lines, as arrays of the columns of `order_lines`. $30: for how many
-- seconds the prices are valid.
-- Returns null when the key exists already. Fails with `reservation_conflict()` when anything else no longer holds, so that
-- nothing is written.
-- `(select $23)` hides the length of an array from the planner, which would plan this again for each order.
-- Locks the key, then the cart, then the variants by (product_id, id): each reads from the one before. `created` and `lines`,
-- which nothing reads, run last.
with claimed as (
    insert into idempotency_keys (owner, key, request_hash, expires_at, locked_until, order_id)
    values ($1, $2, $3, now() + make_interval(hours => $4), now() + make_interval(secs => $5), $6)
    on conflict (owner, key) do nothing
    returning order_id
), cart as (
    update carts set updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond')
    from claimed
    where id = $7 and updated_at = $22
    returning id
), placed as (
    insert into orders (id, cart_id, customer_id, created_at, updated_at, reserved_until, subtotal_cents,
                        discount_cents, shipping_cents, total_cents, currency, shipping_method, email, token_hash,
                        coupon_code, shipping_address)
    select $6, cart.id, $8, $9, $9, now() + make_interval(secs => $10), $11, $12, $13, $14, $15, $16, $17, $18,
           $19, $20
    from cart
    returning id, number
), created as (
    insert into order_events (order_id, id, at, event) select id, $21, $9, 'created' from placed
), lines as (
    insert into order_lines (order_id, position, variant_id, product_id, quantity, unit_price_cents, sku, title,
                             variant_title)
    select placed.id, position - 1, variant_id, product_id, quantity, unit_price_cents, sku, title, variant_title
    from placed
    cross join unnest((select $23::uuid[]), (select $24::uuid[]), (select $25::int[]), (select $26::bigint[]),
                      (select $27::text[]), (select $28::text[]), (select $29::text[])) with ordinality
               as line (variant_id, product_id, quantity, unit_price_cents, sku, title, variant_title, position)
), taken as (
    update variants set stock_quantity = stock_quantity - wanted.quantity
    from (
        select variant_id, quantity, unit_price_cents
        from placed
        cross join unnest((select $23::uuid[]), (select $24::uuid[]), (select $25::int[]), (select $26::bigint[]))
                   as line (variant_id, product_id, quantity, unit_price_cents)
        order by product_id, variant_id
    ) as wanted
    -- Not the last unit: its triggers lock the product after this statement has compared the clock.
    where variants.id = wanted.variant_id and stock_quantity > wanted.quantity
      and variants.price_cents = wanted.unit_price_cents
    returning variants.id
)
select case
           when not exists (select from claimed) then null
           when (select count(*) from taken) = cardinality($23::uuid[])
                and clock_timestamp() < now() + make_interval(secs => $30)
               then (select number from placed)
           else reservation_conflict()
       end as number
