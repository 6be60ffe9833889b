-- The catalogue: what the shop sells.
--
-- Ids are UUIDv7, made by the application, so that keys grow with time and inserts go to the right edge of each
-- index. Money is in minor units of the product's currency. Texts are bounded, because every answer is.
--
-- Only primary keys and unique constraints are made here. All other indexes are a lesson: see indexes/.

-- Trigram similarity, for search that forgives typos.
create extension if not exists pg_trgm;

-- A tree of categories. A product hangs on any node of it, in practice on a leaf.
create table categories (
    id        uuid     primary key,
    parent_id uuid     references categories (id),
    slug      text     not null constraint categories_slug_key unique check (length(slug) between 1 and 255),
    name      text     not null check (length(name) between 1 and 255),
    -- Among its siblings, from 0.
    position  integer  not null default 0
);

create table brands (
    id   uuid primary key,
    slug text not null constraint brands_slug_key unique check (length(slug) between 1 and 255),
    name text not null check (length(name) between 1 and 255)
);

-- One product, in one or more variants. What a list of products shows of its variants, images and reviews is kept
-- here as well (`price_cents` to `review_count`), because a list sorts and filters by it: no index can span tables.
-- Triggers below keep it true. The columns of fixed width come first, which saves padding.
create table products (
    id                 uuid        primary key,
    brand_id           uuid        not null constraint products_brand_id_fkey references brands (id),
    category_id        uuid        not null constraint products_category_id_fkey references categories (id),
    created_at         timestamptz not null default now(),
    updated_at         timestamptz not null default now(),
    -- Units sold: the popularity that `best_selling` sorts by.
    sales_count        bigint      not null default 0 check (sales_count >= 0),
    -- The lowest price of its variants, and that variant's former price.
    price_cents        bigint      not null default 0 check (price_cents >= 0),
    compare_at_cents   bigint      check (compare_at_cents >= 0),
    review_count       integer     not null default 0 check (review_count >= 0),
    -- The mean of its reviews' stars times 100: 437 is 4.37. An integer, so that a cursor can hold it exactly.
    rating_hundredths  smallint    not null default 0 check (rating_hundredths between 0 and 500),
    -- Whether any of its variants is in stock.
    in_stock           boolean     not null default false,
    -- Shown in the shop.
    active             boolean     not null default true,
    -- ISO 4217. All variants of a product have one currency.
    currency           char(3)     not null default 'EUR' check (currency ~ '^[A-Z]{3}$'),
    slug               text        not null constraint products_slug_key unique check (length(slug) between 1 and 255),
    title              text        not null check (length(title) between 1 and 255),
    -- Sanitized HTML or plain text, about 1 KB.
    description        text        not null default '' check (length(description) <= 65536),
    -- The first image's address.
    image_url          text,
    image_alt          text,
    -- Names and values that are shown, not filtered by: {"Material": "Wool"}.
    attributes         jsonb       not null default '{}'::jsonb check (jsonb_typeof(attributes) = 'object')
);

-- What is bought: a size, a colour. Known to the outside by its SKU.
create table variants (
    id                uuid     primary key,
    product_id        uuid     not null constraint variants_product_id_fkey references products (id) on delete cascade,
    price_cents       bigint   not null check (price_cents >= 0),
    compare_at_cents  bigint   check (compare_at_cents >= 0),
    -- Never below zero: an oversale is an error here, whatever the code above believes.
    stock_quantity    integer  not null default 0 constraint variants_stock_quantity_check check (stock_quantity >= 0),
    -- Within its product, from 0.
    position          smallint not null default 0,
    sku               text     not null constraint variants_sku_key unique check (length(sku) between 1 and 255),
    title             text     not null check (length(title) between 1 and 255),
    -- {"Size": "M", "Colour": "Navy"}
    options           jsonb    not null default '{}'::jsonb check (jsonb_typeof(options) = 'object')
);
-- Stock changes with every order. Room on each page keeps those updates on it (HOT), so that no index is touched.
alter table variants set (fillfactor = 90);

create table images (
    id         uuid     primary key,
    product_id uuid     not null constraint images_product_id_fkey references products (id) on delete cascade,
    -- Within its product, from 0; the first is the one that lists show.
    position   smallint not null default 0,
    url        text     not null check (length(url) between 1 and 2048),
    alt        text     not null default ''
);

create table reviews (
    id          uuid        primary key,
    product_id  uuid        not null constraint reviews_product_id_fkey references products (id) on delete cascade,
    created_at  timestamptz not null default now(),
    rating      smallint    not null check (rating between 1 and 5),
    author_name text        not null check (length(author_name) between 1 and 255),
    title       text        not null default '' check (length(title) <= 255),
    body        text        not null check (length(body) <= 10000)
);

-- The searchable form of a product's texts: the title weighs A, the description D. In a table of its own, so that
-- its width burdens no list, and a changed price rewrites no search document.
create table product_search (
    product_id uuid     primary key constraint product_search_product_id_fkey references products (id) on delete cascade,
    document   tsvector not null
);

-- The catalogue's epoch: one row, raised in the same transaction as any change that readers must see. Cached answers
-- carry it in their keys, and every process polls it, so that an invalidation reaches them even when the cache was
-- away while it was made. It is a time in microseconds, or one more than before: a database that is restored from a
-- backup, or made anew, doesn't come back to an epoch that caches know.
create table catalog_epoch (
    only_row boolean primary key default true check (only_row),
    epoch    bigint  not null
);
insert into catalog_epoch (epoch) values ((extract(epoch from clock_timestamp()) * 1000000)::bigint);

-- Which index set `backstock-api migrate --indexes ARM` applied last. The api refuses to start on another.
create table index_set (
    only_row boolean primary key default true check (only_row),
    arm      text    not null,
    -- The indexes that it made, so that another set replaces these and no others.
    indexes  text[]  not null default '{}'
);
insert into index_set (arm) values ('none');
