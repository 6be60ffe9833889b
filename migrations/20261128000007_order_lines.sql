-- Orders stop locking the catalogue, and the worker remembers which orders it couldn't settle.
--
-- A foreign key from a line to its product and variant made each order lock rows that others update: the count of sales,
-- the catalogue's summaries, an import. A line copies what it needs (`sku`, `title`, `variant_title`, the price), so it
-- stays true after the variant is gone. So does an order's coupon: its code is a copy, and the foreign key took a lock on
-- the coupon's row for as long as the order waited for its stock.
--
-- Each of these takes its table exclusively, for a moment and only if it gets it within a second: nothing is rewritten or
-- scanned. A migration that gives up for that has changed nothing, and can be started again.
set local lock_timeout = '1s';

alter table order_lines drop constraint order_lines_variant_id_fkey;
alter table order_lines drop constraint order_lines_product_id_fkey;
alter table orders drop constraint orders_coupon_code_fkey;

-- How often in a row the worker could not settle or void this order, and put it back for longer each time.
alter table orders add column put_back smallint not null default 0;
