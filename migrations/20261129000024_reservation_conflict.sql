-- A reservation in one statement can't be rolled back by its client: the statement is committed when it ends. So it fails
-- when what it relies on no longer holds.
set local lock_timeout = '500ms';

create function reservation_conflict() returns bigint
language plpgsql
as $$
begin
    raise exception 'the cart, its prices or its stock have changed' using errcode = 'BS001';
end $$;
