-- Who sells the last unit, cancels an order or gives up a reservation changes what cached answers say: `in_stock` and
-- `available`. That happens with the traffic, and to anyone's liking, so it must not empty the caches each time. It
-- moves an epoch of its own, in steps: the first change after a quiet time is seen at once, those that follow at the end
-- of the window they fall into.
alter table catalog_epoch
    -- When the window ends in which stock ran out or came back last, in microseconds since 1970.
    add column stock_epoch     bigint not null default 0,
    -- How long an answer may say something old about stock, and for how long at least the caches keep what they have.
    add column stock_window_us bigint not null default 30000000 check (stock_window_us > 0);

-- One write a window, by whoever comes first. A second is added for what is committed only in the next.
create function tell_of_stock() returns trigger language plpgsql as $$
declare
    soon bigint := (extract(epoch from clock_timestamp()) * 1000000)::bigint + 1000000;
begin
    update catalog_epoch
    set stock_epoch = soon - soon % stock_window_us + stock_window_us
    where stock_epoch <= soon;
    return null;
end $$;

-- Deferred: it runs in the commit, when all else is locked, so that nobody holds the one row for longer, or waits for
-- another with it. A sale that leaves stock behind isn't even queued.
create constraint trigger tell_of_stock_on_update after update of stock_quantity on variants
deferrable initially deferred
for each row
when ((old.stock_quantity > 0) <> (new.stock_quantity > 0))
execute function tell_of_stock();
