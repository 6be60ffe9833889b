-- Runs once, when the cluster is created. pg_stat_statements shows the statements of all databases. The view is created in
-- the database of POSTGRES_DB, and in template1, of which later databases are copies.
create extension if not exists pg_stat_statements;
\connect template1
create extension if not exists pg_stat_statements;
