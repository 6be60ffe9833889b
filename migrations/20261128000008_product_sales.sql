-- Units sold that `products.sales_count` doesn't show yet.
--
-- Counting in `products` itself writes a new version of a product's whole row, with an entry in each of its indexes, for each
-- order; and an order that sells the last unit waits for that row. So a consumer adds to a narrow table, in batches, and
-- a job of the worker moves the sums to `products.sales_count`, the column that lists sort by, a bounded number of products
-- at a time. What was sold of a product is always the sum of the two.
--
-- Nothing is moved when this is applied: a count that is in `products` stays there.
create table product_sales (
    -- No foreign key: its check would lock the product's row for each count. The job drops what belongs to no product.
    product_id    uuid        primary key,
    -- Below zero while a cancellation was counted before the sale that it takes back.
    sold          bigint      not null,
    -- Since when `products.sales_count` is behind: the age of a rank.
    pending_since timestamptz not null default now()
);
-- A hot product's row is written with each batch: room on its page keeps that off the index (HOT). It is small and
-- always changing: vacuum early, by rows, not by share.
alter table product_sales set
    (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
