-- How many products differ from what their variants, images and reviews say; the rules are those of the triggers.
select count(*)
from products p
where (p.price_cents, p.compare_at_cents) is distinct from (
        select (v.price_cents, v.compare_at_cents)
        from variants v where v.product_id = p.id
        order by v.price_cents, v.position, v.id limit 1)
   or p.in_stock <> exists (select from variants v where v.product_id = p.id and v.stock_quantity > 0)
   or (p.image_url, p.image_alt) is distinct from (
        select (i.url, i.alt) from images i where i.product_id = p.id order by i.position, i.id limit 1)
   or (p.review_count, p.rating_hundredths) is distinct from (
        select (count(*)::integer, coalesce(round(avg(r.rating) * 100), 0)::smallint)
        from reviews r where r.product_id = p.id)
