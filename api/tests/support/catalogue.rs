//! The expected content of lists, computed independently of the service.

use std::cmp::{Ordering, Reverse};

use serde::Deserialize;
use uuid::Uuid;

use super::database::Database;

/// The sort orders that work without a search query.
pub const SORTS: [&str; 5] = ["newest", "price_asc", "price_desc", "best_selling", "rating"];

#[derive(Debug, Clone, Deserialize)]
pub struct Product {
    pub id: Uuid,
    pub brand: String,
    /// Its category and the ancestors of that category.
    pub categories: Vec<String>,
    pub price: i64,
    pub sales: i64,
    pub rating: i64,
    pub created_micros: i64,
    pub in_stock: bool,
}

/// Filters, which can also be written as a query string.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    pub category: Option<String>,
    pub brand: Option<String>,
    pub min_price: Option<i64>,
    pub max_price: Option<i64>,
    pub in_stock: Option<bool>,
}

impl Filters {
    pub fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("category", self.category.clone()),
            ("brand", self.brand.clone()),
            ("min_price", self.min_price.map(|price| price.to_string())),
            ("max_price", self.max_price.map(|price| price.to_string())),
            ("in_stock", self.in_stock.map(|in_stock| in_stock.to_string())),
        ] {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        }
        query.finish()
    }

    fn matches(&self, product: &Product) -> bool {
        self.category
            .as_ref()
            .is_none_or(|slug| product.categories.contains(slug))
            && self.brand.as_ref().is_none_or(|slug| product.brand == *slug)
            && self.min_price.is_none_or(|price| product.price >= price)
            && self.max_price.is_none_or(|price| product.price <= price)
            && self.in_stock.is_none_or(|in_stock| product.in_stock == in_stock)
    }
}

/// All active products.
pub async fn active_products(database: &Database) -> Vec<Product> {
    let rows = database
        .json(
            "select jsonb_agg(jsonb_build_object(
                 'id', p.id, 'brand', b.slug, 'price', p.price_cents, 'sales', p.sales_count,
                 'rating', p.rating_hundredths, 'in_stock', p.in_stock,
                 'created_micros', (extract(epoch from p.created_at) * 1000000)::bigint,
                 'categories', (
                     with recursive above as (
                         select * from categories where id = p.category_id
                         union all select c.* from categories c join above on above.parent_id = c.id
                     ) select jsonb_agg(slug) from above
                 )))
             from products p join brands b on b.id = p.brand_id where p.active",
        )
        .await;
    serde_json::from_value(rows).unwrap()
}

/// The ids that a list returns, in its sort order.
pub fn expected(products: &[Product], filters: &Filters, sort: &str) -> Vec<Uuid> {
    let mut list: Vec<&Product> = products
        .iter()
        .filter(|product| filters.matches(product))
        .collect();
    list.sort_by(|a, b| compare(a, b, sort));
    list.into_iter().map(|product| product.id).collect()
}

fn compare(a: &Product, b: &Product, sort: &str) -> Ordering {
    let descending = |key: fn(&Product) -> i64| Reverse((key(a), a.id)).cmp(&Reverse((key(b), b.id)));
    match sort {
        "newest" => descending(|product| product.created_micros),
        "price_asc" => (a.price, a.id).cmp(&(b.price, b.id)),
        "price_desc" => descending(|product| product.price),
        "best_selling" => descending(|product| product.sales),
        "rating" => descending(|product| product.rating),
        other => panic!("unknown sort order: {other}"),
    }
}

/// Adds an active product with one variant, `days` newer than all others.
pub async fn add_product(database: &Database, slug: &str, days: u32) {
    database
        .execute(&format!(
            "with product as (
                 insert into products (id, brand_id, category_id, slug, title, created_at)
                 select gen_random_uuid(), (select id from brands where slug = 'brand-1'),
                        (select id from categories where slug = 'garden'), '{slug}', 'New: {slug}',
                        max(created_at) + interval '{days} days' from products
                 returning id
             )
             insert into variants (id, product_id, price_cents, stock_quantity, sku, title)
             select gen_random_uuid(), id, 1234, 5, '{slug}', 'Only' from product"
        ))
        .await;
}

/// Sets the price of all variants of a product.
pub async fn change_price(database: &Database, slug: &str, price: i64) {
    database
        .execute(&format!(
            "update variants set price_cents = {price}
             where product_id = (select id from products where slug = '{slug}')"
        ))
        .await;
}
