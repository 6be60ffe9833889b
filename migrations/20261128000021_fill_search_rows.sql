-- no-transaction
-- Fills `search_rows` and `search_words` for the products that were there before, a thousand at a time: each batch commits, so
-- that a product which changes meanwhile waits for a batch at most. What triggers have written since is newer, and stays. A
-- key that changes between a batch's snapshot and its commit is written by the trigger after it, as an update waits for
-- the row that it conflicts with: hence the lock on the batch's products. One statement, since only that may commit.
do $$
declare
    last uuid := '00000000-0000-0000-0000-000000000000';
    batch uuid[];
begin
    loop
        perform set_config('lock_timeout', '500ms', true);
        -- A run that gave up is repeated, and goes on where it was.
        batch := array(select id from products p
                       where id > last and not exists (select from search_rows r where r.product_id = p.id)
                       order by id limit 1000);
        exit when batch = '{}';
        perform from products where id = any (batch) order by id for no key update;
        insert into search_rows
            (product_id, created_at, price_cents, sales_count, rating_hundredths, in_stock, active, title, document)
        select p.id, p.created_at, p.price_cents, p.sales_count, p.rating_hundredths, p.in_stock, p.active, p.title,
               search_row_document(coalesce(s.document, product_search_document(p.title, p.description)),
                                   p.brand_id, c.path, p.in_stock)
        from products p
        join (select id, category_path(id) as path from categories) c on c.id = p.category_id
        left join product_search s on s.product_id = p.id
        where p.id = any (batch)
        order by p.id
        on conflict (product_id) do nothing;
        insert into search_words
        select distinct word from products p, comparable_words(p.title) word where p.id = any (batch) order by word
        on conflict do nothing;
        last := batch[cardinality(batch)];
        commit;
    end loop;
end $$;
