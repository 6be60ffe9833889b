-- Runs once, when the cluster is created. Later databases are copies of template1, so the view pg_stat_statements exists
-- in each shop's database. It shows the statements of all databases.
\connect template1
create extension if not exists pg_stat_statements;
