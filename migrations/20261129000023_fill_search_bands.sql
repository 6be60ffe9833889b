-- no-transaction
-- Fills the bands of the rows that were there before, a thousand at a time. Each batch commits. Their products are locked
-- first, as in all writes of both tables. A run that gave up is repeated. One statement, since only that may commit.
do $$
declare
    last uuid := '00000000-0000-0000-0000-000000000000';
    batch uuid[];
begin
    loop
        perform set_config('lock_timeout', '500ms', true);
        batch := array(select product_id from search_rows where product_id > last order by product_id limit 1000);
        exit when batch = '{}';
        perform from products where id = any (batch) order by id for no key update;
        update search_rows
        set price_band = price_band(price_cents), sales_band = sales_band(sales_count)
        where product_id = any (batch)
          and (price_band <> price_band(price_cents) or sales_band <> sales_band(sales_count));
        last := batch[cardinality(batch)];
        commit;
    end loop;
end $$;
