-- Index set `chosen`: for each query of the storefront the index that gives its rows in their order, so that a page
-- costs what the page holds. Lists show active products only, hence the partial indexes: they are smaller, and the
-- planner needs no filter.

-- The categories below a category.
create index categories_parent_id_idx on categories (parent_id);

-- GET /v1/products, by sort order. Each is read in either direction. The included columns are those that lists filter by: what
-- a filter drops is dropped in the index, and its row of the table never read.
create index products_newest_idx on products (created_at, id) include (price_cents, in_stock) where active;
create index products_price_idx on products (price_cents, id) include (in_stock, created_at, sales_count, rating_hundredths) where active;
create index products_best_selling_idx on products (sales_count, id) include (price_cents, in_stock) where active;
create index products_rating_idx on products (rating_hundredths, id) include (price_cents, in_stock) where active;

-- GET /v1/products?category=…, by sort order. The first also finds the products of a category that is changed.
create index products_category_newest_idx on products (category_id, created_at, id) include (price_cents, in_stock) where active;
create index products_category_price_idx on products (category_id, price_cents, id) include (in_stock) where active;
create index products_category_best_selling_idx on products (category_id, sales_count, id) include (price_cents, in_stock) where active;
create index products_category_rating_idx on products (category_id, rating_hundredths, id) include (price_cents, in_stock) where active;

-- GET /v1/products?brand=…, by sort order, within categories as well.
create index products_brand_newest_idx on products (brand_id, created_at, id) include (category_id, price_cents, in_stock) where active;
create index products_brand_price_idx on products (brand_id, price_cents, id) include (category_id, in_stock) where active;
create index products_brand_best_selling_idx on products (brand_id, sales_count, id) include (category_id, price_cents, in_stock) where active;
create index products_brand_rating_idx on products (brand_id, rating_hundredths, id) include (category_id, price_cents, in_stock) where active;

-- GET /v1/products?in_stock=false: few of all, so that no order is walked for them.
create index products_sold_out_idx on products (category_id, brand_id, id) include (created_at, price_cents, sales_count, rating_hundredths) where active and not in_stock;

-- The variants and images of a product, in their order.
create index variants_product_id_idx on variants (product_id, position, id);
create index images_product_id_idx on images (product_id, position, id);

-- GET /v1/products/{slug}/reviews: the newest first.
create index reviews_product_id_idx on reviews (product_id, created_at, id);

-- q=…: words and prefixes, brands and categories. `fastupdate = off`: a reader never has to walk a list of pending entries.
create index search_rows_document_idx on search_rows using gin (document) with (fastupdate = off);

-- The same for processes of the release before, which search there. It goes with the table.
create index product_search_document_idx on product_search using gin (document) with (fastupdate = off);

-- q=… with common words: the document of a product, by its id: one page, where a B-tree descends through three.
create index search_rows_product_id_idx on search_rows using hash (product_id);

-- q=… with typos: the words of titles that are similar to one.
create index search_words_word_trigram_idx on search_words using gin (word gin_trgm_ops) with (fastupdate = off);

-- Suggestions. Here, and not on `products`, whose every update but the smallest writes an entry into each of its indexes.
create index search_rows_title_trigram_idx on search_rows using gin (title gin_trgm_ops) with (fastupdate = off);

-- GET /v1/me/addresses. Ids are UUIDv7: their order is that of time.
create index addresses_customer_id_idx on addresses (customer_id, id);

-- The cart of a customer who signs in, or asks for it: the newest.
create index carts_customer_id_idx on carts (customer_id, id) where customer_id is not null;

-- The cart that a guest brings to the sign-in: only its token is sent.
create index carts_token_hash_idx on carts (token_hash) where token_hash is not null;

-- The carts that hold a variant, or a coupon, which is deleted: without an index, each deleted row reads all carts. No
-- foreign key from orders or their lines needs one: they copy what they were made from.
create index cart_items_variant_id_idx on cart_items (variant_id);
create index carts_coupon_code_idx on carts (coupon_code) where coupon_code is not null;

-- GET /v1/orders: a customer's orders, the newest first.
create index orders_customer_id_idx on orders (customer_id, id);

-- GET /v1/admin/orders?status=…
create index orders_status_idx on orders (status, id);

-- The worker settles reservations that nobody paid in time. Only those are in it, so it stays small.
create index orders_unsettled_idx on orders (reserved_until) where status = 'pending_payment';

-- The worker insists on voiding what the api could not. Nearly always empty: a decline is written down as voided.
create index orders_unvoided_idx on orders (updated_at)
    where status in ('cancelled', 'payment_failed') and payment_voided_at is null;

-- The refresh tokens of a family, when it is revoked; what the worker purges, by age.
create index refresh_tokens_session_id_idx on refresh_tokens (session_id);
create index sessions_expires_at_idx on sessions (expires_at);
create index idempotency_keys_expires_at_idx on idempotency_keys (expires_at);
create index inbox_done_at_idx on inbox (done_at);

-- What else the worker purges, by when it is due. Tokens that were never used have no place among the used ones.
create index refresh_tokens_expires_at_idx on refresh_tokens (expires_at);
create index refresh_tokens_used_at_idx on refresh_tokens (used_at) where used_at is not null;
create index sign_in_failures_until_idx on sign_in_failures (until);
-- Changes of the catalogue that every process has long read.
create index catalog_changes_at_idx on catalog_changes (at);

-- Foreign keys that no query reads by: when a customer is deleted, Postgres looks for what refers to it.
create index sessions_customer_id_idx on sessions (customer_id);
create index audit_log_customer_id_idx on audit_log (customer_id);
