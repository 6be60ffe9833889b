-- Triggers that keep the derived columns of `products` and the search documents true, whoever writes.
--
-- Each fires only when something that it derives from has changed: a sale that leaves stock behind costs nothing
-- here. Bulk loaders disable them and write the derived values themselves.

create function product_search_document(title text, description text) returns tsvector
language sql immutable parallel safe
as $$
    select setweight(to_tsvector('pg_catalog.english', title), 'A')
        || setweight(to_tsvector('pg_catalog.english', description), 'D')
$$;

create function write_product_search() returns trigger language plpgsql as $$
begin
    insert into product_search (product_id, document)
    values (new.id, product_search_document(new.title, new.description))
    on conflict (product_id) do update set document = excluded.document;
    return null;
end $$;

create trigger product_search_on_insert after insert on products
for each row execute function write_product_search();

create trigger product_search_on_update after update of title, description on products
for each row
when (old.title is distinct from new.title or old.description is distinct from new.description)
execute function write_product_search();

-- Prices and stock of a product's variants.
create function summarize_variants() returns trigger language plpgsql as $$
declare
    product uuid := coalesce(new.product_id, old.product_id);
begin
    -- Two variants of one product that change at once take turns here, so that the later one sees the earlier.
    perform from products where id = product for no key update;
    update products
    set price_cents = coalesce(cheapest.price_cents, 0),
        compare_at_cents = cheapest.compare_at_cents,
        in_stock = exists (select from variants where product_id = product and stock_quantity > 0)
    from (select) one_row
    left join lateral (
        select price_cents, compare_at_cents
        from variants
        where product_id = product
        order by price_cents, position, id
        limit 1
    ) cheapest on true
    where products.id = product;
    return null;
end $$;

create trigger summarize_variants_on_insert_or_delete after insert or delete on variants
for each row execute function summarize_variants();

create trigger summarize_variants_on_update after update of price_cents, compare_at_cents, stock_quantity, position
on variants
for each row
when (
    old.price_cents <> new.price_cents
    or old.compare_at_cents is distinct from new.compare_at_cents
    or (old.stock_quantity > 0) <> (new.stock_quantity > 0)
    or old.position <> new.position
)
execute function summarize_variants();

-- The first image.
create function summarize_images() returns trigger language plpgsql as $$
declare
    product uuid := coalesce(new.product_id, old.product_id);
begin
    perform from products where id = product for no key update;
    update products
    set image_url = first_image.url, image_alt = first_image.alt
    from (select) one_row
    left join lateral (
        select url, alt from images where product_id = product order by position, id limit 1
    ) first_image on true
    where products.id = product;
    return null;
end $$;

create trigger summarize_images_on_change after insert or delete or update of position, url, alt on images
for each row execute function summarize_images();

-- The mean and the number of reviews.
create function summarize_reviews() returns trigger language plpgsql as $$
declare
    product uuid := coalesce(new.product_id, old.product_id);
begin
    perform from products where id = product for no key update;
    update products
    set review_count = summary.review_count, rating_hundredths = summary.rating_hundredths
    from (
        select count(*)::integer as review_count,
               coalesce(round(avg(rating) * 100), 0)::smallint as rating_hundredths
        from reviews
        where product_id = product
    ) summary
    where products.id = product;
    return null;
end $$;

create trigger summarize_reviews_on_change after insert or delete or update of rating on reviews
for each row execute function summarize_reviews();
