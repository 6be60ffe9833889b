//! Reads the columns from Postgres: all products in pages by id, or changed products.

use std::collections::HashSet;

use sqlx::postgres::PgConnection;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::{ProductColumns, ProductRow};
use crate::catalog::replica::Content;

const SELECT: &str = "select id, brand_id, category_id, price_cents, in_stock, active from products";

/// Bounds of a load of the columns.
#[derive(Debug, Clone, Copy)]
pub struct ColumnLimits {
    /// Products read by one statement.
    pub page_rows: u32,
}

impl Content for ProductColumns {
    type Limits = ColumnLimits;

    const NAME: &'static str = "the catalogue's columns";
    const BYTES_GAUGE: &'static str = "backstock_catalog_columns_bytes";

    async fn load(
        connection: &mut PgConnection,
        limits: ColumnLimits,
        _known: Option<&Self>,
    ) -> Result<Self, sqlx::Error> {
        let columns = Self::with_capacity(estimated_products(connection).await?);
        let mut last = None;
        loop {
            let page = page_after(connection, last, limits.page_rows).await?;
            columns.put(&page);
            match page.last() {
                Some(product) if page.len() == limits.page_rows as usize => last = Some(product.id),
                _ => return Ok(columns),
            }
        }
    }

    async fn refresh(&self, connection: &mut PgConnection, products: &[Uuid]) -> Result<(), sqlx::Error> {
        let mut sql = QueryBuilder::<Postgres>::new(SELECT);
        sql.push(" where id = any(").push_bind(products).push(")");
        let found: Vec<ProductRow> = sql.build_query_as().fetch_all(connection).await?;
        let known: HashSet<Uuid> = found.iter().map(|product| product.id).collect();
        self.put(&found);
        self.remove(products.iter().copied().filter(|id| !known.contains(id)));
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.read().bytes()
    }
}

/// The count of the last `analyze` or `vacuum` plus 2 %, so that the columns don't have to grow during the load.
async fn estimated_products(connection: &mut PgConnection) -> Result<usize, sqlx::Error> {
    let estimate: f32 = sqlx::query_scalar("select reltuples from pg_class where oid = 'products'::regclass")
        .fetch_one(connection)
        .await?;
    Ok((estimate.max(0.0) * 1.02) as usize)
}

/// A page in primary key order. Its size is a literal, not a bound parameter, because with an unknown limit the planner
/// assumes a tenth of the table.
async fn page_after(
    connection: &mut PgConnection,
    last: Option<Uuid>,
    rows: u32,
) -> Result<Vec<ProductRow>, sqlx::Error> {
    let mut sql = QueryBuilder::<Postgres>::new(SELECT);
    if let Some(last) = last {
        sql.push(" where id > ").push_bind(last);
    }
    sql.push(" order by id limit ").push(rows);
    sql.build_query_as().fetch_all(connection).await
}
