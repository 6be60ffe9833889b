-- For the tables named in $1: the statement that drops, and the one that makes again, each of their indexes,
-- unique constraints and primary keys, and each foreign key from or to them. In the order of dropping.
with loaded as (
    select to_regclass(name) as oid from unnest($1::text[]) as name
),
parts as (
    -- Foreign keys first: they need the unique constraints that they refer to.
    select 1 as turn,
           'constraint' as part,
           conname as name,
           format('alter table %s drop constraint %I', conrelid::regclass, conname) as drop_it,
           format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
               as create_it
    from pg_constraint
    where contype = 'f' and (conrelid in (select oid from loaded) or confrelid in (select oid from loaded))
    union all
    select 2,
           'constraint',
           conname,
           format('alter table %s drop constraint %I', conrelid::regclass, conname),
           format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    from pg_constraint
    where contype in ('p', 'u') and conrelid in (select oid from loaded)
    union all
    select 3,
           'index',
           indexrelid::regclass::text,
           format('drop index %s', indexrelid::regclass),
           pg_get_indexdef(indexrelid)
    from pg_index
    where indrelid in (select oid from loaded)
      and not exists (select from pg_constraint where conindid = indexrelid and contype in ('p', 'u', 'x'))
)
select part, drop_it, create_it from parts order by turn, name
