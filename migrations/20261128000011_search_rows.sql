-- What a search with words reads: one row a product, with all that such a list filters or sorts by. An inverted index over it
-- leads to the rows that match, and a page is chosen from these alone: only the page's rows of `products` are read.
--
-- No sort key has an index here. So a changed price, rating or popularity rewrites this row on its page (HOT), which has room
-- for one at a time, and not its hundred entries in the inverted index. Where all rows of a page change at once, most of
-- them move, entries and all.
--
-- `product_search` stays for processes that run while this is applied; a later migration drops it.
set local lock_timeout = '500ms';

create table search_rows (
    created_at        timestamptz not null,
    price_cents       bigint      not null,
    sales_count       bigint      not null,
    product_id        uuid        primary key constraint search_rows_product_id_fkey references products (id) on delete cascade,
    rating_hundredths smallint    not null,
    in_stock          boolean     not null,
    active            boolean     not null,
    -- As in `products`, where an index of its trigrams would be written with each new price.
    title             text        not null,
    -- Lexemes of the texts; those of the title once more as `t:…`; the brand as `b:…`; the category and those above it as
    -- `c:…`; `o:` when it is out of stock. So the index intersects words with brand, category and what is sold out.
    document          tsvector    not null
) with (fillfactor = 85);
-- The planner knows the frequency of each common word from statistics.
alter table search_rows alter column document set statistics 400;

-- The words of titles: what a misspelt word is compared with. Words are added and never removed; one that no title has any
-- more finds nothing.
create table search_words (
    word text primary key
);

-- The words of a text that may be compared with a misspelt one: shorter ones are similar to too much.
create function comparable_words(content text) returns setof text
language sql immutable parallel safe
as $$
    select distinct word
    from regexp_split_to_table(lower(content), '[^[:alnum:]]+') word
    where length(word) between 4 and 40
$$;

-- A category and those above it. Each once, so that even a circle of parents would end.
create function category_path(category uuid) returns uuid[]
language sql stable parallel safe
as $$
    with recursive above as (
        select id, parent_id from categories where id = category
        union
        select c.id, c.parent_id from categories c join above on c.id = above.parent_id
    )
    select array_agg(id) from above
$$;

-- The document of a row, from that of its texts, in which the title weighs A.
create function search_row_document(texts tsvector, brand_id uuid, category_path uuid[], in_stock boolean)
returns tsvector
language sql immutable parallel safe
as $$
    select strip(texts)
        || array_to_tsvector(
               array(select 't:' || lexeme from unnest(tsvector_to_array(ts_filter(texts, '{a}'))) lexeme)
               || array['b:' || brand_id]
               || array(select 'c:' || id from unnest(category_path) id)
               || case when in_stock then '{}'::text[] else '{o:}' end
           )
$$;

-- A query for words, as one for words of the title.
create function title_query(words tsquery) returns tsquery
language sql immutable parallel safe
as $$
    select regexp_replace(words::text, '''((?:[^'']|'''')+)''', '''t:\1''', 'g')::tsquery
$$;

-- A text with each word that no title has replaced by the most similar one. Null when there is no such word, or one is
-- similar to none: then no other query would find more.
create function corrected_query(content text) returns tsquery
language plpgsql stable parallel safe
as $$
declare
    misspelt  text;
    known     text;
    corrected tsquery;
    changed   boolean := false;
begin
    -- Eight words are a long search; each unknown one costs a look at the index of trigrams.
    for misspelt in select * from comparable_words(content) limit 8 loop
        known := (select w.word from search_words w where w.word = misspelt);
        if known is null then
            known := (
                select w.word
                from search_words w
                where w.word % misspelt and similarity(w.word, misspelt) >= 0.4
                order by similarity(w.word, misspelt) desc, w.word
                limit 1
            );
            changed := true;
        end if;
        if known is null then
            return null;
        end if;
        corrected := coalesce(corrected && plainto_tsquery('pg_catalog.english', known),
                              plainto_tsquery('pg_catalog.english', known));
    end loop;
    return case when changed then corrected end;
end $$;

create function write_search_row() returns trigger language plpgsql as $$
begin
    insert into search_rows
        (product_id, created_at, price_cents, sales_count, rating_hundredths, in_stock, active, title, document)
    values (new.id, new.created_at, new.price_cents, new.sales_count, new.rating_hundredths, new.in_stock, new.active,
            new.title,
            search_row_document(product_search_document(new.title, new.description), new.brand_id,
                                category_path(new.category_id), new.in_stock))
    on conflict (product_id) do update
    set created_at = excluded.created_at,
        price_cents = excluded.price_cents,
        sales_count = excluded.sales_count,
        rating_hundredths = excluded.rating_hundredths,
        in_stock = excluded.in_stock,
        active = excluded.active,
        title = excluded.title,
        document = excluded.document;
    insert into search_words
    select found.word from comparable_words(new.title) found (word)
    where not exists (select from search_words known where known.word = found.word)
    order by found.word
    on conflict do nothing;
    return null;
end $$;

-- The keys alone. Only what sells out or comes back has another document.
create function write_search_keys() returns trigger language plpgsql as $$
begin
    update search_rows
    set created_at = new.created_at,
        price_cents = new.price_cents,
        sales_count = new.sales_count,
        rating_hundredths = new.rating_hundredths,
        in_stock = new.in_stock,
        active = new.active,
        document = case
            when in_stock = new.in_stock then document
            when new.in_stock then ts_delete(document, 'o:')
            else document || array_to_tsvector('{o:}')
        end
    where product_id = new.id;
    return null;
end $$;

create trigger search_rows_on_insert after insert on products
for each row execute function write_search_row();

create trigger search_rows_on_text after update of title, description, brand_id, category_id on products
for each row
when (
    old.title is distinct from new.title
    or old.description is distinct from new.description
    or old.brand_id <> new.brand_id
    or old.category_id <> new.category_id
)
execute function write_search_row();

create trigger search_rows_on_key
after update of created_at, price_cents, sales_count, rating_hundredths, in_stock, active on products
for each row
when (
    old.created_at <> new.created_at
    or old.price_cents <> new.price_cents
    or old.sales_count <> new.sales_count
    or old.rating_hundredths <> new.rating_hundredths
    or old.in_stock <> new.in_stock
    or old.active <> new.active
)
execute function write_search_keys();

-- A category that moves takes the products below it along.
create function move_search_rows() returns trigger language plpgsql as $$
begin
    -- The products first, by their ids, as all who write rows of both tables.
    perform from products
    where category_id in (
        with recursive below as (
            select new.id union select c.id from categories c join below on c.parent_id = below.id
        ) select id from below
    )
    order by id for no key update;
    update search_rows s
    set document = search_row_document(product_search_document(p.title, p.description), p.brand_id,
                                       category_path(p.category_id), p.in_stock)
    from products p
    where p.id = s.product_id
      and p.category_id in (
          with recursive below as (
              select new.id union select c.id from categories c join below on c.parent_id = below.id
          ) select id from below
      );
    return null;
end $$;

create trigger search_rows_on_move after update of parent_id on categories
for each row
when (old.parent_id is distinct from new.parent_id)
execute function move_search_rows();
