-- 20,000 products, always the same, with a description of 1 KB each, so that a table scan is measurable. A tenth of
-- the brands have most products, as in real shops. There are words in half of the titles, in 1 %, and in a few.
--
-- There are no variants: prices and stock are written as their triggers would.

create function pg_temp.id(kind text, number integer) returns uuid
language sql immutable
as $$ select md5(kind || number)::uuid $$;

-- 4 top-level categories, 4 below each, 5 below each of those.
insert into categories (id, parent_id, slug, name, position)
select pg_temp.id('category', number), null, 'top-' || number, 'Top ' || number, number
from generate_series(1, 4) number;
insert into categories (id, parent_id, slug, name, position)
select pg_temp.id('category', 10 + number), pg_temp.id('category', 1 + number % 4), 'middle-' || number,
       'Middle ' || number, number
from generate_series(0, 15) number;
insert into categories (id, parent_id, slug, name, position)
select pg_temp.id('category', 100 + number), pg_temp.id('category', 10 + number % 16), 'leaf-' || number,
       'Leaf ' || number, number
from generate_series(0, 79) number;

insert into brands (id, slug, name)
select pg_temp.id('brand', number), 'brand-' || number, 'Brand ' || number
from generate_series(1, 400) number;

insert into products (id, brand_id, category_id, created_at, sales_count, price_cents, in_stock, active, slug, title,
                      description)
select pg_temp.id('product', number),
       pg_temp.id('brand', 1 + (number::bigint * number * 7 % 20 * (number % 20))::integer % 400),
       pg_temp.id('category', 100 + number * 31 % 80),
       '2026-01-01 12:00:00Z'::timestamptz + number * 7919 % 20000 * interval '1 minute',
       20000 / (1 + number * 7907 % 20000),
       100 + number::bigint * 104729 % 70000,
       number % 7 <> 0,
       number % 23 <> 0,
       'product-' || number,
       (array['Plain', 'Sturdy'])[1 + number % 2] || ' '
           || case when number % 100 = 3 then 'walnut ' when number % 4000 = 5 then 'zephyrine ' else '' end
           || (array['lamp', 'chair', 'kettle', 'shelf', 'carpet', 'mirror', 'drawer', 'bench'])[1 + number % 8] || ' '
           || number,
       'It is made to be used. ' || repeat('Measured, cut and finished by people who know their trade. ', 16)
from generate_series(1, 20000) number;
