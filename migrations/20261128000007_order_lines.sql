-- Orders stop locking the catalogue. A foreign key from a line to its variant and product made each order lock rows that
-- others update: the count of sales, the catalogue's summaries, an import. A line copies what it needs (`sku`, `title`,
-- `variant_title`, the price), so it stays true after the variant is gone.
--
-- Dropping a foreign key takes both of its tables exclusively, for a moment: nothing is rewritten or scanned. So each is a
-- migration of its own, which holds two tables at most, and gives up before a deadlock would be looked for.
set local lock_timeout = '500ms';

alter table order_lines drop constraint order_lines_variant_id_fkey;
