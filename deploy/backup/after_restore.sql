-- Must run once after a database was restored and later commits were lost. `restore` runs it; after a point-in-time
-- recovery, run it by hand: psql --set=skip=100000 --file=after_restore.sql.
begin;

-- Customers already know the numbers of lost orders, so these numbers must not be reused. Gaps are harmless.
select setval(pg_get_serial_sequence('orders', 'number'), nextval(pg_get_serial_sequence('orders', 'number')) + :skip);

-- The restored sessions include customers who have signed out since, and refresh tokens that were used since, perhaps by
-- a thief. Customers who refreshed since have unknown tokens and must sign in anyway. So all sessions are revoked.
update sessions set revoked_at = now() where revoked_at is null;

-- Caches may hold responses from the lost time, which reflect changes that no longer exist. A new epoch invalidates them.
-- The change feed refers to transactions from the lost time.
update catalog_epoch set epoch = greatest(epoch + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint);
delete from catalog_changes;

commit;
