-- How often in a row the worker could not settle or void an order, and put it back, for longer each time.
set local lock_timeout = '500ms';

-- A constant default is kept in the catalog: no row is rewritten.
alter table orders add column put_back smallint not null default 0;
