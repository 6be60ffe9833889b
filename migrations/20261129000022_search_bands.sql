-- Coarse sort keys of `search_rows`. Postgres intersects an index of them with that of the words, so that a page of a search
-- reads only rows which match and are near the beginning of its order.
--
-- Sales are indexed in bands, 13 % wide: a key that changes a little stays in its band, and its row is still rewritten on
-- its page (HOT). A changed band, rating or time of creation writes the row's entries in all indexes, the hundred in the
-- inverted index as well (0.4 ms). Prices change rarely and by more, so their bands are 3 % wide: a range of them holds
-- little more than a page needs.
set local lock_timeout = '500ms';

create function price_band(cents bigint) returns smallint
language sql immutable parallel safe
as $$
    select case when cents <= 0 then 0 else floor(ln(cents) * 32) + 1 end::smallint
$$;

create function sales_band(sales bigint) returns smallint
language sql immutable parallel safe
as $$
    select case when sales <= 0 then 0 else floor(ln(sales) * 8) + 1 end::smallint
$$;

create function set_search_bands() returns trigger language plpgsql as $$
begin
    new.price_band := price_band(new.price_cents);
    new.sales_band := sales_band(new.sales_count);
    return new;
end $$;

-- A constant default writes no row.
alter table search_rows
    add column price_band smallint not null default 0,
    add column sales_band smallint not null default 0;

create trigger search_rows_bands
before insert or update of price_cents, sales_count on search_rows
for each row execute function set_search_bands();
