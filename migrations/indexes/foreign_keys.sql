-- Index set `foreign_keys`: one index on each foreign key. What most teams have, and what an ORM makes.

-- The children of a category.
create index categories_parent_id_idx on categories (parent_id);
-- The products of a brand, of a category.
create index products_brand_id_idx on products (brand_id);
create index products_category_id_idx on products (category_id);
-- The details of a product.
create index variants_product_id_idx on variants (product_id);
create index images_product_id_idx on images (product_id);
create index reviews_product_id_idx on reviews (product_id);
