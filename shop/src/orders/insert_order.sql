-- $1 to $5: the request's key, as owner, text, hash of its request, retention in hours, and lease in seconds.
-- $6 to $20: the order. $21: the id of its first event. $22: the version of the cart that was priced.
-- Returns no row when the key exists already, or the cart has changed since it was priced.
-- Locks the key, then the cart. A concurrent write to the cart that waits here finds another version than it has read,
-- reads again, and sees the order.
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
)
select number from placed
