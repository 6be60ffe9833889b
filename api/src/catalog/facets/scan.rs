//! **Technique**: one statement that groups the products that match by each facet (`grouping sets`), and one that groups
//! all products by category for the tree.
//! **Cost**: reads an index entry of every product where an index holds all that is counted, else its whole row with a
//! description of 1 KB, whatever the filters leave; sends every group, though fifty are shown.
//! **Fails when**: the catalogue grows: eight of these at a time are all connections, for as long as they scan.
//! **Source**: <https://www.postgresql.org/docs/current/queries-table-expressions.html#QUERIES-GROUPING-SETS>

use std::sync::Arc;

use sqlx::{Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::{CategoryCount, FacetCounts, MAX_NAMED, NamedCount, PriceBand};
use crate::catalog::Catalog;
use crate::catalog::columns::{PRICE_BANDS, ProductColumns};
use crate::catalog::filters::ProductFilters;
use crate::catalog::replica::Replica;
use crate::web::error::ApiError;
use crate::web::timings::Timings;

/// The arm `facets=scan`.
#[derive(Debug, Clone, Copy)]
pub struct Scan;

impl Scan {
    pub(super) fn new(_columns: &Arc<Replica<ProductColumns>>) -> Self {
        Self
    }

    pub(super) async fn count(
        &self,
        catalog: &Catalog,
        timings: &Timings,
        filters: &ProductFilters,
        candidates: Option<&[Uuid]>,
    ) -> Result<FacetCounts, ApiError> {
        let mut sql = compose(filters, candidates);
        let mut connection = catalog.database.acquire(timings).await?;
        let rows = sql.build().fetch_all(&mut connection).await?;
        drop(connection);
        let mut facets = FacetCounts::default();
        for row in rows {
            let products: i64 = row.try_get("products")?;
            let named = || -> Result<NamedCount, sqlx::Error> {
                Ok(NamedCount {
                    slug: row.try_get("slug")?,
                    name: row.try_get("name")?,
                    count: products,
                })
            };
            match row.try_get("facet")? {
                "brand" => facets.brands.push(named()?),
                "category" => facets.categories.push(named()?),
                "price" => {
                    // `width_bucket` counts from 1.
                    let band: i32 = row.try_get("band")?;
                    let index = usize::try_from(band - 1).unwrap_or_default();
                    facets.price_bands.push(PriceBand::at(index, products));
                }
                _ if row.try_get("in_stock")? => facets.availability.in_stock = products,
                _ => facets.availability.out_of_stock = products,
            }
        }
        facets.total = facets.availability.in_stock + facets.availability.out_of_stock;
        facets.brands.truncate(MAX_NAMED);
        facets.categories.truncate(MAX_NAMED);
        Ok(facets)
    }

    pub(super) fn start_loading(&self) {}

    pub(super) async fn by_category(
        &self,
        catalog: &Catalog,
        timings: &Timings,
    ) -> Result<Vec<CategoryCount>, ApiError> {
        let mut connection = catalog.database.acquire(timings).await?;
        let rows = sqlx::query_as!(
            CategoryCount,
            r#"select c.id, c.parent_id, c.slug, c.name, coalesce(counted.products, 0) as "product_count!"
               from categories c
               left join (
                   select category_id, count(*) as products from products where active group by category_id
               ) counted on counted.category_id = c.id
               order by c.position, c.slug"#
        );
        Ok(rows.fetch_all(&mut connection).await?)
    }
}

/// All four divisions in one pass over the products that match. Slugs are in the order of their bytes, which is the
/// same under every locale.
fn compose(filters: &ProductFilters, candidates: Option<&[Uuid]>) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("");
    match &filters.category {
        Some(category) => {
            sql.push("with recursive subtree as (select id from categories where slug = ")
                .push_bind(category.clone())
                .push(" union all select c.id from categories c join subtree on c.parent_id = subtree.id), ");
        }
        None => {
            sql.push("with ");
        }
    }
    sql.push("counted as (select p.brand_id, p.category_id, width_bucket(p.price_cents, ")
        .push_bind(PRICE_BANDS.to_vec())
        .push(") as band, p.in_stock, count(*) as products from products p where p.active");
    push_conditions(&mut sql, filters);
    if let Some(ids) = candidates {
        sql.push(" and p.id = any(").push_bind(ids.to_vec()).push(")");
    }
    sql.push(
        " group by grouping sets ((p.brand_id), (p.category_id), (band), (p.in_stock)))
         select case when counted.brand_id is not null then 'brand'
                     when counted.category_id is not null then 'category'
                     when band is not null then 'price'
                     else 'stock' end as facet,
                coalesce(b.slug, c.slug) as slug, coalesce(b.name, c.name) as name, band, in_stock, products
         from counted
         left join brands b on b.id = counted.brand_id
         left join categories c on c.id = counted.category_id
         order by band, products desc, coalesce(b.slug, c.slug) collate \"C\"",
    );
    sql
}

fn push_conditions(sql: &mut QueryBuilder<Postgres>, filters: &ProductFilters) {
    if filters.category.is_some() {
        sql.push(" and p.category_id in (select id from subtree)");
    }
    if let Some(brand) = &filters.brand {
        sql.push(" and p.brand_id = (select id from brands where slug = ")
            .push_bind(brand.clone())
            .push(")");
    }
    if let Some(price) = filters.min_price {
        sql.push(" and p.price_cents >= ").push_bind(price);
    }
    if let Some(price) = filters.max_price {
        sql.push(" and p.price_cents <= ").push_bind(price);
    }
    match filters.in_stock {
        Some(true) => sql.push(" and p.in_stock"),
        Some(false) => sql.push(" and not p.in_stock"),
        None => sql,
    };
}
