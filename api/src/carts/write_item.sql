-- Writes a line if the cart may hold it and its version is unchanged (optimistic lock). Returns the state it found.
with seen as (
    select c.id, c.updated_at, exists (select from orders o where o.cart_id = c.id) as ordered
    from carts c
    where c.id = $1 and (c.customer_id = $2 or c.token_hash = $3)
), variant as (
    select v.id, p.active, p.currency
    from variants v
    join products p on p.id = v.product_id
    where v.sku = $4
), others as (
    select count(*) as lines, min(p.currency) as currency
    from seen
    join cart_items i on i.cart_id = seen.id
    join variants v on v.id = i.variant_id
    join products p on p.id = v.product_id
    where v.sku <> $4
), cart as (
    update carts c
    set updated_at = greatest(clock_timestamp(), c.updated_at + interval '1 microsecond')
    from seen, variant, others
    where c.id = seen.id
      and c.updated_at = seen.updated_at
      and not seen.ordered
      and variant.active
      and others.lines < $6
      and (others.currency is null or others.currency = variant.currency)
    returning c.id, variant.id as variant_id
), line as (
    insert into cart_items (cart_id, variant_id, quantity)
    select id, variant_id, $5
    from cart
    on conflict (cart_id, variant_id) do update set quantity = excluded.quantity
)
select exists (select from cart) as "written!",
       seen.ordered as "ordered!",
       variant.active as "active?",
       variant.currency as "currency?",
       others.lines as "other_lines!",
       others.currency as "cart_currency?"
from seen
cross join others
left join variant on true
