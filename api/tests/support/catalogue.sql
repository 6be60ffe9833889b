-- 420 products, always the same, designed to expose typical errors: many share a creation time, a price, a number of
-- sales or a rating, and their ids are unordered, so only a total order is correct. Categories are nested three levels
-- deep, with products in inner ones too, and one is empty. Some products are inactive, out of stock, or without an
-- image, a review or a former price. `product-1` has 45 reviews.

create function pg_temp.id(kind text, number integer) returns uuid
language sql immutable
as $$ select md5(kind || number)::uuid $$;

insert into categories (id, parent_id, slug, name, position)
select pg_temp.id('category', number), case when parent > 0 then pg_temp.id('category', parent) end, slug, name, place
from (values
    (1, 0, 'clothing', 'Clothing', 0),
    (2, 1, 'coats', 'Coats', 0),
    (3, 2, 'parkas', 'Parkas', 0),
    (4, 2, 'trench-coats', 'Trench coats', 1),
    (5, 1, 'shirts', 'Shirts', 1),
    (6, 0, 'home', 'Home', 1),
    (7, 6, 'kitchen', 'Kitchen', 0),
    (8, 7, 'knives', 'Knives & blades', 0),
    (9, 6, 'lighting', 'Lighting', 1),
    (10, 0, 'garden', 'Garden', 2),
    (11, 0, 'clearance', 'Clearance', 3)
) as category (number, parent, slug, name, place);

-- The eighth brand has no products.
insert into brands (id, slug, name)
select pg_temp.id('brand', number), 'brand-' || number, 'Brand No. ' || number
from generate_series(1, 8) number;

insert into products (id, brand_id, category_id, created_at, updated_at, sales_count, active, currency, slug, title,
                      description, attributes)
select pg_temp.id('product', number),
       pg_temp.id('brand', 1 + number % 7),
       pg_temp.id('category', (array[2, 3, 3, 4, 5, 5, 5, 7, 8, 8, 9, 9, 10])[1 + number % 13]),
       -- 50 days, and three adjacent microseconds.
       '2026-03-01 12:00:00Z'::timestamptz + number * 37 % 50 * interval '1 day'
           + number % 3 * interval '1 microsecond',
       '2026-06-01 12:00:00Z',
       number * 31 % 25,
       number % 11 <> 0,
       case when number % 97 = 0 then 'USD' else 'EUR' end,
       'product-' || number,
       adjective || ' ' || material || ' ' || noun || ' ' || number,
       'This ' || noun || ' of ' || material || ' is made to be used. '
           || repeat('It was measured, cut and finished by people who know their trade, and it will be mended by us. ', 9)
           || case when number % 20 = 0 then 'A jewel for every day.' else '' end,
       jsonb_build_object('Material', material, 'Batch', number % 4)
from (
    select number,
           (array['Plain', 'Navy', 'Folding', 'Quiet', 'Winter'])[1 + number % 5] as adjective,
           (array['wool', 'linen', 'brass', 'walnut', 'copper', 'canvas'])[1 + number % 6] as material,
           (array['anorak', 'blouse', 'lantern', 'saucepan', 'trowel', 'hammock', 'kettle'])[1 + number % 7] as noun
    from generate_series(1, 420) number
) texts;

insert into variants (id, product_id, price_cents, compare_at_cents, stock_quantity, position, sku, title, options)
select pg_temp.id('variant', number * 10 + place),
       pg_temp.id('product', number),
       (1 + number * 13 % 30) * 700 - 1 + place * 150,
       case when number % 4 = 0 then (1 + number * 13 % 30) * 900 end,
       case when number % 5 = 0 then 0 else (number + place) % 3 end,
       place,
       'SKU-' || number || '-' || place,
       (array['Small', 'Medium', 'Large'])[1 + place],
       jsonb_build_object('Size', (array['S', 'M', 'L'])[1 + place], 'Colour', 'Navy')
from generate_series(1, 420) number
cross join lateral generate_series(0, number % 3) place;

insert into images (id, product_id, position, url, alt)
select pg_temp.id('image', number * 10 + place),
       pg_temp.id('product', number),
       place,
       'https://images.example/' || number || '/' || place || '.jpg',
       case when place = 0 then 'Product ' || number || ', from the front' else '' end
from generate_series(1, 420) number
cross join lateral generate_series(0, number % 3 - 1) place;

insert into reviews (id, product_id, created_at, rating, author_name, title, body)
select pg_temp.id('review', number * 100 + place),
       pg_temp.id('product', number),
       '2026-05-01 08:00:00Z'::timestamptz + place / 4 * interval '1 hour',
       1 + (number + place) % 5,
       'Customer ' || place,
       case when place % 2 = 0 then 'As described' else '' end,
       'I have used it for ' || (1 + place) || ' weeks.'
from generate_series(1, 420) number
cross join lateral generate_series(1, case when number = 1 then 45 else number % 4 end) place;
