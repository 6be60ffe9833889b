-- As in 20261128000007: a line doesn't lock its product.
set local lock_timeout = '500ms';

alter table order_lines drop constraint order_lines_product_id_fkey;
