-- 20,000 products with the skew of a shop, to measure the cost of lists: few brands and categories have most products,
-- a few words are in nearly every text and thousands in a few, prices span four orders of magnitude, and one in 25 is
-- sold out. Triggers are disabled, and their results are written directly.
select setseed(0.25);

insert into categories (id, parent_id, slug, name, position)
select md5('c' || n)::uuid, case when n > 12 then md5('c' || 1 + n % 12)::uuid end, 'category-' || n, 'Category ' || n, n
from generate_series(1, 120) n;

insert into brands (id, slug, name)
select md5('b' || n)::uuid, 'brand-' || n, 'Brand ' || n from generate_series(1, 200) n;

-- Letters only, so that a letter can be removed.
create temporary table vocabulary as
select n, 'x' || translate(left(md5(n::text), 8), '0123456789', 'ghijklmnop') as word from generate_series(0, 2999) n;
create unique index on vocabulary (n);

alter table products disable trigger user;
insert into products (id, brand_id, category_id, created_at, sales_count, price_cents, review_count, rating_hundredths, in_stock,
                      active, slug, title, description)
select md5('p' || t.n)::uuid,
       md5('b' || 1 + floor(200 * power(random(), 3)))::uuid,
       md5('c' || 13 + floor(108 * power(random(), 2)))::uuid,
       '2026-01-01Z'::timestamptz + random() * interval '300 days',
       floor(10 / (random() + 0.001)),
       floor(100 * exp(random() * 8)),
       1, 100 + floor(random() * 400), random() < 0.96, random() < 0.99,
       'product-' || t.n, t.title, t.description
from (
    select drawn.n, string_agg(word, ' ') filter (where place <= 4) as title, string_agg(word, ' ') as description
    from (
        select n, place, floor(3000 * power(random(), 6))::integer as number
        from generate_series(1, 20000) n, generate_series(1, 30) place
    ) drawn
    join vocabulary on vocabulary.n = drawn.number
    group by drawn.n
) t (n, title, description);
alter table products enable trigger user;

insert into search_rows (product_id, created_at, price_cents, sales_count, rating_hundredths, in_stock, active, title, document)
select id, created_at, price_cents, sales_count, rating_hundredths, in_stock, active, title,
       search_row_document(product_search_document(title, description), brand_id, path, in_stock)
from products join (select id as category, category_path(id) as path from categories) c on category = category_id;
insert into search_words select distinct word from products, comparable_words(title) word;
