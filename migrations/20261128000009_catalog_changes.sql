-- The change feed of the catalogue: one row for each product that changed and each kind of change, written by triggers,
-- for every writer. Every process reads it a few times a second and lets go of what it keeps in memory or in Redis about
-- exactly these products.
--
-- A commit that comes late is never missed, because no reader goes by time or by a sequence: it remembers the
-- snapshot of its last read, and asks for the rows of transactions that this snapshot didn't show.

set local lock_timeout = '500ms';
-- In the order in which requests lock them, so that neither waits for the other in a circle. Readers of variants wait for
-- a few milliseconds, other readers not at all.
lock table reviews, images in share row exclusive mode;
lock table variants in access exclusive mode;
lock table products, brands, categories in share row exclusive mode;

create table catalog_changes (
    -- The transaction that made the change.
    xid        xid8        not null default pg_current_xact_id(),
    at         timestamptz not null default clock_timestamp(),
    -- Null for brands and categories.
    product_id uuid,
    --   product    anything that is shown of it: texts, images, variants, brand, category, whether it is shown; made; deleted
    --   price      the price of one of its variants
    --   stock      one of its variants ran out or came back
    --   rating     its reviews
    --   reference  a brand or a category
    kind       text        not null check (kind in ('product', 'price', 'stock', 'rating', 'reference')),
    -- What readers look for. A product is named once for a kind, however many of its rows one transaction changes.
    constraint catalog_changes_key unique (xid, product_id, kind)
);
-- The worker deletes rows older than an hour: processes that are further behind load everything again. So it is nearly
-- empty and always changing: vacuum by rows, not by share.
alter table catalog_changes set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Notes a change of one product, or of a row that belongs to one. The kind is the trigger's argument.
create function note_product_change() returns trigger language plpgsql as $$
begin
    insert into catalog_changes (product_id, kind) values (new.id, tg_argv[0]) on conflict do nothing;
    return null;
end $$;

create function note_change_of_product_part() returns trigger language plpgsql as $$
begin
    insert into catalog_changes (product_id, kind)
    values (old.product_id, tg_argv[0]), (new.product_id, tg_argv[0])
    on conflict do nothing;
    return null;
end $$;

-- Products. The prices, the stock and the ratings that a product's row repeats are told by their own tables; how often it
-- was sold is no change that anybody must see at once.
create function note_products() returns trigger language plpgsql as $$
begin
    insert into catalog_changes (product_id, kind) select id, 'product' from changed on conflict do nothing;
    return null;
end $$;
create trigger note_products_on_insert after insert on products
referencing new table as changed for each statement execute function note_products();
create trigger note_products_on_delete after delete on products
referencing old table as changed for each statement execute function note_products();
create trigger note_product_on_update
after update of brand_id, category_id, created_at, active, currency, slug, title, description, image_url, image_alt,
                attributes
on products
for each row
when (
    (old.brand_id, old.category_id, old.created_at, old.active, old.currency, old.slug, old.title, old.description)
    is distinct from
    (new.brand_id, new.category_id, new.created_at, new.active, new.currency, new.slug, new.title, new.description)
    or old.image_url is distinct from new.image_url
    or old.image_alt is distinct from new.image_alt
    or old.attributes is distinct from new.attributes
)
execute function note_product_change('product');

-- Variants: for each row where one is changed, so that a sale that leaves stock behind costs nothing; once a statement
-- where they come and go, as in imports.
create trigger note_variant_on_update after update of product_id, position, sku, title, options on variants
for each row
when (
    (old.product_id, old.position, old.sku, old.title) is distinct from (new.product_id, new.position, new.sku, new.title)
    or old.options is distinct from new.options
)
execute function note_change_of_product_part('product');
create trigger note_price_on_update after update of price_cents, compare_at_cents on variants
for each row
when (old.price_cents <> new.price_cents or old.compare_at_cents is distinct from new.compare_at_cents)
execute function note_change_of_product_part('price');
create trigger note_stock_on_update after update of stock_quantity on variants
for each row
when ((old.stock_quantity > 0) <> (new.stock_quantity > 0))
execute function note_change_of_product_part('stock');

-- Parts of products that came or went. The kind is the trigger's argument.
create function note_parts() returns trigger language plpgsql as $$
begin
    insert into catalog_changes (product_id, kind)
    select distinct product_id, tg_argv[0] from changed
    on conflict do nothing;
    return null;
end $$;
create trigger note_variants_on_insert after insert on variants
referencing new table as changed for each statement execute function note_parts('product');
create trigger note_variants_on_delete after delete on variants
referencing old table as changed for each statement execute function note_parts('product');
create trigger note_images_on_insert after insert on images
referencing new table as changed for each statement execute function note_parts('product');
create trigger note_images_on_delete after delete on images
referencing old table as changed for each statement execute function note_parts('product');
create trigger note_image_on_update after update on images
for each row when (old is distinct from new)
execute function note_change_of_product_part('product');
create trigger note_reviews_on_insert after insert on reviews
referencing new table as changed for each statement execute function note_parts('rating');
create trigger note_reviews_on_delete after delete on reviews
referencing old table as changed for each statement execute function note_parts('rating');
create trigger note_review_on_update after update of product_id, created_at, rating, author_name, title, body on reviews
for each row when (old is distinct from new)
execute function note_change_of_product_part('rating');

-- Brands and categories: what is shown of them stands in many answers.
create function note_reference() returns trigger language plpgsql as $$
begin
    insert into catalog_changes (kind) select 'reference' where exists (select from changed);
    return null;
end $$;
create trigger note_brands_on_insert after insert on brands
referencing new table as changed for each statement execute function note_reference();
create trigger note_brands_on_update after update on brands
referencing new table as changed for each statement execute function note_reference();
create trigger note_brands_on_delete after delete on brands
referencing old table as changed for each statement execute function note_reference();
create trigger note_categories_on_insert after insert on categories
referencing new table as changed for each statement execute function note_reference();
create trigger note_categories_on_update after update on categories
referencing new table as changed for each statement execute function note_reference();
create trigger note_categories_on_delete after delete on categories
referencing old table as changed for each statement execute function note_reference();

-- Stock tells of itself in the feed. `tell_of_stock` and its columns of `catalog_epoch` stay until no process of an earlier
-- release reads them: the next release drops them.
comment on column catalog_epoch.stock_epoch is 'Read by earlier releases only. To be dropped.';
comment on column catalog_epoch.stock_window_us is 'Read by earlier releases only. To be dropped.';
-- `catalog_epoch.epoch` is still read with the feed: raising it makes every process load everything again. That is for
-- operators, after a restore, and for what is loaded past the triggers. No request raises it.
