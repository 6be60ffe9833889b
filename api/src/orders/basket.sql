-- $1 cart, $2 customer, $3 hash of the cart's token, $4 and $5 owner and text of the request's key.
-- A row an item; the cart, its coupon and the key are the same in each. Without items, or with a key and no cart, one row.
-- Orders that wait for their payment are among a customer's newest. Only the newest 100 are read, which bounds the cost.
-- The key takes precedence over the cart.
-- `(select $2)` hides the value from the planner. It would see that a guest's statement costs less than a customer's, and
-- plan it again for each order, which takes longer than the statement.
select coupon.code as "coupon_code?", coupon.percent as "coupon_percent?",
       coupon.amount_cents as "coupon_amount_cents?", coupon.currency as "coupon_currency?",
       coupon.minimum_cents as "coupon_minimum_cents?",
       coalesce(coupon.valid_from <= now() and now() < coupon.valid_until
                and (coupon.max_uses is null or coupon.uses < coupon.max_uses), false) as "coupon_usable!",
       cart.updated_at as "cart_version?",
       (select email from customers where id = (select $2::uuid)) as customer_email,
       (select count(*)
        from (select status from orders where customer_id = (select $2::uuid) order by id desc limit 100) as newest
        where status = 'pending_payment') as "open_orders!",
       exists (select from orders where orders.cart_id = cart.id) as "is_ordered!",
       known.request_hash as "request_hash?", known.order_id as "key_order_id?",
       coalesce(known.locked_until > now(), false) as "is_locked!",
       (select token_hash from orders where orders.id = known.order_id) as order_token_hash,
       known.answer_status as "answer_status?", known.answer as "answer?",
       item.quantity as "quantity?", variant.id as "variant_id?", variant.product_id as "product_id?",
       variant.price_cents as "price_cents?", variant.stock_quantity as "stock_quantity?", variant.sku as "sku?",
       variant.title as "variant_title?", product.title as "title?", product.active as "active?",
       product.currency as "currency?"
from (values ($4::bytea, $5::text)) as asked (owner, key)
left join idempotency_keys known on known.owner = asked.owner and known.key = asked.key
left join carts cart on cart.id = $1 and (cart.customer_id = $2 or cart.token_hash = $3)
left join coupons coupon on coupon.code = cart.coupon_code
left join cart_items item on item.cart_id = cart.id
left join variants variant on variant.id = item.variant_id
left join products product on product.id = variant.product_id
where known.order_id is not null or cart.id is not null
order by variant.id
