-- What has to follow when a database goes back to a backup, and what was committed since is lost. `restore` runs it, once;
-- after a recovery to a point in time it is run by hand: psql --set=skip=100000 --file=after_restore.sql.
begin;

-- Orders that are lost had numbers, which customers were told. Gaps mean nothing; a number that two people have does.
select setval(pg_get_serial_sequence('orders', 'number'), nextval(pg_get_serial_sequence('orders', 'number')) + :skip);

-- Whoever signed out since is signed in again, and a refresh token that was used, perhaps by its thief, is unused. Who
-- refreshed since has a token that nobody knows and must sign in anyway; so must everybody.
update sessions set revoked_at = now() where revoked_at is null;

-- Caches may hold answers of the time that is lost, made by processes that knew later changes. A new epoch makes them worth
-- nothing. The change feed names transactions of the lost time.
update catalog_epoch set epoch = greatest(epoch + 1, (extract(epoch from clock_timestamp()) * 1000000)::bigint);
delete from catalog_changes;

commit;
