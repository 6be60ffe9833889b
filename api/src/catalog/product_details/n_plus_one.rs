//! **Technique**: N+1 queries: for each product of the page, one statement for its variants and one for its images.
//! **Cost**: 2 N statements and round trips for N products, after the page's own.
//! **Fails when**: pages grow, or the database is farther away than loopback, because the round trips are sequential.
//! **Source**: <https://martinfowler.com/eaaCatalog/lazyLoad.html>, ripple loading.

use super::{Details, ImageRow, Include, ProductKey, VariantRow, image, variant};
use crate::database::InstrumentedConnection;

/// The arm `listing=n_plus_one`.
#[derive(Debug, Clone, Copy)]
pub struct NPlusOne;

impl NPlusOne {
    pub(super) async fn read(
        self,
        connection: &mut InstrumentedConnection<'_>,
        products: &[ProductKey],
        include: Include,
        most: i64,
    ) -> Result<Vec<Details>, sqlx::Error> {
        let mut all = Vec::with_capacity(products.len());
        for product in products {
            let mut details = Details::default();
            if include.variants {
                let rows = sqlx::query_as!(
                    VariantRow,
                    r#"select product_id, sku, title, options as "options: _", price_cents, compare_at_cents, stock_quantity
                       from variants
                       where product_id = $1
                       order by position, id
                       limit $2"#,
                    product.id,
                    most
                );
                details.variants = Some(
                    rows.fetch_all(&mut *connection)
                        .await?
                        .into_iter()
                        .map(|row| variant(row, product.currency))
                        .collect(),
                );
            }
            if include.images {
                let rows = sqlx::query_as!(
                    ImageRow,
                    "select product_id, url, alt from images where product_id = $1 order by position, id limit $2",
                    product.id,
                    most
                );
                details.images = Some(
                    rows.fetch_all(&mut *connection)
                        .await?
                        .into_iter()
                        .map(image)
                        .collect(),
                );
            }
            all.push(details);
        }
        Ok(all)
    }
}
