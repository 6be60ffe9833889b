-- Runs once, when the cluster is made. What template1 has, every database has that is made later: the view
-- pg_stat_statements can then be asked in each shop's database. It shows the statements of all.
\connect template1
create extension if not exists pg_stat_statements;
