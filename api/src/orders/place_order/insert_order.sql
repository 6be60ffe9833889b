-- $1 to $5 the request's key: owner, text, hash of its request, hours that it is kept, seconds that it is locked.
-- $6 to $20 the order; $21 the id of its first event. No row when the key is there already.
with claimed as (
    insert into idempotency_keys (owner, key, request_hash, expires_at, locked_until, order_id)
    values ($1, $2, $3, now() + make_interval(hours => $4), now() + make_interval(secs => $5), $6)
    on conflict (owner, key) do nothing
    returning order_id
), coupon as (
    update coupons set uses = uses + 1
    from claimed
    where code = $19 and valid_from <= now() and now() < valid_until and (max_uses is null or uses < max_uses)
    returning code
), placed as (
    insert into orders (id, cart_id, customer_id, created_at, updated_at, reserved_until, subtotal_cents,
                        discount_cents, shipping_cents, total_cents, currency, shipping_method, email, token_hash,
                        coupon_code, shipping_address)
    select order_id, $7, $8, $9, $9, now() + make_interval(secs => $10), $11, $12, $13, $14, $15, $16, $17, $18,
           $19, $20
    from claimed
    returning id, number
), created as (
    insert into order_events (order_id, id, at, event) select id, $21, $9, 'created' from placed
)
select number, exists (select from coupon) as "has_coupon!" from placed
