-- A review adds to a product's count and sum. Counting all of its reviews each time made the hundred-thousandth review cost
-- tens of milliseconds, under the lock of a row that sales of the last unit wait for.

set local lock_timeout = '500ms';
lock table reviews in access exclusive mode;

-- The sum of its reviews' stars. Null until it is written first: then, and only then, all reviews are counted. So nothing
-- has to be filled in here.
alter table products add column rating_sum bigint;

-- Adds reviews and their stars to a product; both may be negative.
create function add_to_rating(product uuid, added bigint, stars bigint) returns void language plpgsql as $$
declare
    counted bigint;
    total   bigint;
begin
    -- Reviews of one product take turns here, so that the later one sees the earlier.
    select review_count, rating_sum into counted, total from products where id = product for no key update;
    if not found then
        return; -- Deleted with its reviews.
    end if;
    if total is null then
        select count(*), coalesce(sum(rating), 0) into counted, total from reviews where product_id = product;
    else
        counted := counted + added;
        total := total + stars;
    end if;
    update products
    set review_count = counted,
        rating_sum = total,
        rating_hundredths = case when counted > 0 then round(total * 100.0 / counted) else 0 end
    where id = product;
end $$;

-- Once a statement, each product once, in the order of ids: two statements that review the same products don't wait for
-- each other in a circle.
create function sum_new_reviews() returns trigger language plpgsql as $$
begin
    perform add_to_rating(product_id, reviews, stars)
    from (
        select product_id, count(*) as reviews, sum(rating) as stars from added group by product_id order by product_id
    ) change;
    return null;
end $$;
create function sum_deleted_reviews() returns trigger language plpgsql as $$
begin
    perform add_to_rating(product_id, -reviews, -stars)
    from (
        select product_id, count(*) as reviews, sum(rating) as stars from removed group by product_id order by product_id
    ) change;
    return null;
end $$;
create function sum_changed_reviews() returns trigger language plpgsql as $$
begin
    perform add_to_rating(product_id, reviews, stars)
    from (
        select product_id, sum(reviews)::bigint as reviews, sum(stars)::bigint as stars
        from (
            select product_id, 1 as reviews, rating as stars from added
            union all
            select product_id, -1, -rating from removed
        ) both_sides
        group by product_id
        having sum(reviews) <> 0 or sum(stars) <> 0
        order by product_id
    ) change;
    return null;
end $$;

drop trigger summarize_reviews_on_change on reviews;
drop function summarize_reviews();
create trigger sum_reviews_on_insert after insert on reviews
referencing new table as added for each statement execute function sum_new_reviews();
create trigger sum_reviews_on_delete after delete on reviews
referencing old table as removed for each statement execute function sum_deleted_reviews();
create trigger sum_reviews_on_update after update on reviews
referencing old table as removed new table as added for each statement execute function sum_changed_reviews();

-- What a product's row repeats of its variants and images: it is written only when that changed. A statement that inserts
-- ten variants rewrites it once.
create or replace function summarize_variants() returns trigger language plpgsql as $$
declare
    product uuid := coalesce(new.product_id, old.product_id);
begin
    -- Two variants of one product that change at once take turns here, so that the later one sees the earlier.
    perform from products where id = product for no key update;
    update products
    set price_cents = coalesce(cheapest.price_cents, 0),
        compare_at_cents = cheapest.compare_at_cents,
        in_stock = stock.is_left
    from (select exists (select from variants where product_id = product and stock_quantity > 0) as is_left) stock
    left join lateral (
        select price_cents, compare_at_cents
        from variants
        where product_id = product
        order by price_cents, position, id
        limit 1
    ) cheapest on true
    where products.id = product
      and (products.price_cents, products.compare_at_cents, products.in_stock)
          is distinct from (coalesce(cheapest.price_cents, 0), cheapest.compare_at_cents, stock.is_left);
    return null;
end $$;

create or replace function summarize_images() returns trigger language plpgsql as $$
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
    where products.id = product
      and (products.image_url, products.image_alt) is distinct from (first_image.url, first_image.alt);
    return null;
end $$;
