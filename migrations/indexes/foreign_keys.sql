-- Index set `foreign_keys`: one index on each foreign key, as most teams have and as ORMs create them.

-- The subcategories of a category.
create index categories_parent_id_idx on categories (parent_id);
-- The products of a brand or a category.
create index products_brand_id_idx on products (brand_id);
create index products_category_id_idx on products (category_id);
-- The details of a product.
create index variants_product_id_idx on variants (product_id);
create index images_product_id_idx on images (product_id);
create index reviews_product_id_idx on reviews (product_id);
-- The addresses, sessions, carts and orders of a customer, and the changes of an admin.
create index addresses_customer_id_idx on addresses (customer_id);
create index sessions_customer_id_idx on sessions (customer_id);
create index carts_customer_id_idx on carts (customer_id);
create index orders_customer_id_idx on orders (customer_id);
create index audit_log_customer_id_idx on audit_log (customer_id);
-- The refresh tokens of a session.
create index refresh_tokens_session_id_idx on refresh_tokens (session_id);
-- The carts that contain a variant or a coupon. (Order lines and coupons of orders are copies.)
create index cart_items_variant_id_idx on cart_items (variant_id);
create index carts_coupon_code_idx on carts (coupon_code);
