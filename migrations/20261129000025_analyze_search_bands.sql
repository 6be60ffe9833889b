-- Searches size the ranges that they read from the statistics of the bands. Without them, a search reads its whole order until
-- autovacuum analyzes the table.
set local lock_timeout = '500ms';

analyze search_rows;
