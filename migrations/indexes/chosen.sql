-- Index set `chosen`: for each query of the storefront, an index that returns its rows in sort order, so that the cost of a
-- page depends only on its length. Lists show only active products, so their indexes are partial: smaller, and without a
-- filter in the plan.

-- The subcategories of a category.
create index categories_parent_id_idx on categories (parent_id);

-- GET /v1/products, one index per sort order. Each is scanned in either direction. Lists filter by the included columns, so
-- rows that a filter removes are removed in the index, without a read of the table.
create index products_newest_idx on products (created_at, id) include (price_cents, in_stock) where active;
create index products_price_idx on products (price_cents, id) include (in_stock, created_at, sales_count, rating_hundredths) where active;
create index products_best_selling_idx on products (sales_count, id) include (price_cents, in_stock) where active;
create index products_rating_idx on products (rating_hundredths, id) include (price_cents, in_stock) where active;

-- GET /v1/products?category=…, one index per sort order. The first also finds the products of a changed category.
create index products_category_newest_idx on products (category_id, created_at, id) include (price_cents, in_stock) where active;
create index products_category_price_idx on products (category_id, price_cents, id) include (in_stock) where active;
create index products_category_best_selling_idx on products (category_id, sales_count, id) include (price_cents, in_stock) where active;
create index products_category_rating_idx on products (category_id, rating_hundredths, id) include (price_cents, in_stock) where active;

-- GET /v1/products?brand=…, one index per sort order, also for a brand within categories.
create index products_brand_newest_idx on products (brand_id, created_at, id) include (category_id, price_cents, in_stock) where active;
create index products_brand_price_idx on products (brand_id, price_cents, id) include (category_id, in_stock) where active;
create index products_brand_best_selling_idx on products (brand_id, sales_count, id) include (category_id, price_cents, in_stock) where active;
create index products_brand_rating_idx on products (brand_id, rating_hundredths, id) include (category_id, price_cents, in_stock) where active;

-- GET /v1/products?in_stock=false with skipped pages or hidden values. Sold-out products are few, so they are found first and
-- then sorted. A scan in sort order would filter out nearly all rows.
create index products_sold_out_idx on products (category_id, brand_id, id) include (created_at, price_cents, sales_count, rating_hundredths) where active and not in_stock;

-- The variants and images of a product, in display order.
create index variants_product_id_idx on variants (product_id, position, id);
create index images_product_id_idx on images (product_id, position, id);

-- GET /v1/products/{slug}/reviews, newest first.
create index reviews_product_id_idx on reviews (product_id, created_at, id);

-- q=…, a brand in a category, and what is sold out: words, prefixes, brands, categories. `fastupdate = off`, so that no
-- reader has to scan a list of pending entries.
create index search_rows_document_idx on search_rows using gin (document) with (fastupdate = off);

-- The same in a sort order, and price limits in another order: ranges of these columns, which Postgres intersects with the
-- inverted index or with each other.
create index search_rows_created_at_idx on search_rows (created_at);
create index search_rows_price_band_idx on search_rows (price_band);
create index search_rows_sales_band_idx on search_rows (sales_band);
-- Many products have the same rating, so a range may have to end between two of their ids.
create index search_rows_rating_idx on search_rows (rating_hundredths, product_id);

-- The inverted index for processes of the previous release, which search this table. It is dropped with the table.
create index product_search_document_idx on product_search using gin (document) with (fastupdate = off);

-- q=… with common words: the document of a product, by id. A hash look-up reads one page, where a B-tree descends through
-- three.
create index search_rows_product_id_idx on search_rows using hash (product_id);

-- q=… with typos: the words of titles that are similar to a search word.
create index search_words_word_trigram_idx on search_words using gin (word gin_trgm_ops) with (fastupdate = off);

-- Suggestions. The index isn't on `products`, because nearly every update there writes an entry into each of its indexes
-- (write amplification).
create index search_rows_title_trigram_idx on search_rows using gin (title gin_trgm_ops) with (fastupdate = off);

-- GET /v1/me/addresses. Ids are UUIDv7, so they sort by time.
create index addresses_customer_id_idx on addresses (customer_id, id);

-- The newest cart of a customer who signs in or opens the cart.
create index carts_customer_id_idx on carts (customer_id, id) where customer_id is not null;

-- The cart that a guest brings to the sign-in, which sends only the cart's token.
create index carts_token_hash_idx on carts (token_hash) where token_hash is not null;

-- The carts with a variant or a coupon that is deleted. Without an index, each deleted row would scan all carts. Orders and
-- their lines need none, because they have copies instead of foreign keys.
create index cart_items_variant_id_idx on cart_items (variant_id);
create index carts_coupon_code_idx on carts (coupon_code) where coupon_code is not null;

-- GET /v1/orders: a customer's orders, newest first.
create index orders_customer_id_idx on orders (customer_id, id);

-- GET /v1/admin/orders?status=…
create index orders_status_idx on orders (status, id);

-- The worker reconciles payments of reservations that have expired. Only unpaid orders are in this index, and until the next
-- vacuum the dead entries of those that were. A statement with `id = … and status = 'pending_payment'` must not walk it, but
-- the planner, which rarely sees an unpaid order, would find that cheaper. Therefore the condition is written in a way that
-- `status = …` doesn't imply.
create index orders_unpaid_idx on orders (reserved_until) where starts_with(status, 'pending_payment');

-- The worker retries voids of payments that the api couldn't void. Nearly always empty, because a declined payment is
-- recorded as voided.
create index orders_unvoided_idx on orders (updated_at)
    where status in ('cancelled', 'payment_failed') and payment_voided_at is null;

-- The refresh tokens of a family that is revoked, and rows that the worker's cleanup deletes by age.
create index refresh_tokens_session_id_idx on refresh_tokens (session_id);
create index sessions_expires_at_idx on sessions (expires_at);
create index idempotency_keys_expires_at_idx on idempotency_keys (expires_at);
create index inbox_done_at_idx on inbox (done_at);

-- More rows that the cleanup deletes when they are due. The index of used tokens leaves out the unused ones.
create index refresh_tokens_expires_at_idx on refresh_tokens (expires_at);
create index refresh_tokens_used_at_idx on refresh_tokens (used_at) where used_at is not null;
create index sign_in_failures_until_idx on sign_in_failures (until);
-- Changes of the catalogue that every process has read long ago.
create index catalog_changes_at_idx on catalog_changes (at);

-- No query uses these foreign keys, but when a customer is deleted, Postgres looks for rows that reference it.
create index sessions_customer_id_idx on sessions (customer_id);
create index audit_log_customer_id_idx on audit_log (customer_id);
