-- An order's coupon is a copy of its code. The foreign key locked the coupon's row for as long as an order waited for its
-- stock, and each use of a coupon left lockers on it to be cleaned up.
set local lock_timeout = '500ms';

alter table orders drop constraint orders_coupon_code_fkey;
