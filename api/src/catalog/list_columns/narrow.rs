//! **Technique**: name the columns that the answer shows.
//! **Cost**: the bytes that are needed.
//! **Fails when**: it doesn't; a list that shows a new column has to name it.
//! **Source**: <https://www.postgresql.org/docs/current/queries-select-lists.html>

/// What a product in a list is made of.
pub const COLUMNS: &str = "p.id, p.slug, p.title, p.brand_id, p.category_id, p.price_cents, p.compare_at_cents, \
     p.currency, p.in_stock, p.rating_hundredths, p.review_count, p.image_url, p.image_alt";
