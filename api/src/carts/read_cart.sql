-- A cart of this customer or token with its lines, and its coupon or a candidate coupon.
select c.id,
       exists (select from orders o where o.cart_id = c.id) as "ordered!",
       co.code as "coupon_code?",
       co.percent as "percent?",
       co.amount_cents as "amount_cents?",
       co.currency as "coupon_currency?",
       co.minimum_cents as "minimum_cents?",
       case
           when now() < co.valid_from then 'coupon_not_yet_valid'
           when now() >= co.valid_until then 'coupon_expired'
           when co.uses >= co.max_uses then 'coupon_used_up'
       end as "coupon_unusable?",
       i.quantity as "quantity?",
       v.sku as "sku?",
       v.title as "variant_title?",
       v.price_cents as "price_cents?",
       v.stock_quantity as "stock_quantity?",
       p.active as "active?",
       p.slug as "slug?",
       p.title as "title?",
       p.currency as "currency?",
       p.image_url as "image_url?",
       p.image_alt as "image_alt?"
from carts c
left join coupons co on co.code = coalesce($4::text, c.coupon_code)
left join cart_items i on i.cart_id = c.id
left join variants v on v.id = i.variant_id
left join products p on p.id = v.product_id
where c.id = $1 and (c.customer_id = $2 or c.token_hash = $3)
order by i.added_at, i.variant_id
