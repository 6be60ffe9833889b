//! **Technique**: for each product of the page, one statement for its variants and one for its images.
//! **Cost**: 2 N statements and round trips for N products, after the one for the page.
//! **Fails when**: pages grow, or the database is farther away than loopback: every round trip is waited for.
//! **Source**: <https://martinfowler.com/eaaCatalog/lazyLoad.html>, ripple loading.

use uuid::Uuid;

use super::{Details, ImageRow, Include, VariantRow, image, variant};
use crate::database::Session;

/// See the module.
pub(super) async fn load(
    session: &mut Session<'_>,
    ids: &[Uuid],
    include: Include,
) -> Result<Vec<Details>, sqlx::Error> {
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        let mut details = Details::default();
        if include.variants {
            let rows = sqlx::query_as!(
                VariantRow,
                r#"select v.product_id, v.sku, v.title, v.options as "options: _", v.price_cents, v.compare_at_cents,
                          p.currency, v.stock_quantity
                   from variants v
                   join products p on p.id = v.product_id
                   where v.product_id = $1
                   order by v.position, v.id"#,
                id
            );
            details.variants = Some(
                rows.fetch_all(&mut *session)
                    .await?
                    .into_iter()
                    .map(variant)
                    .collect(),
            );
        }
        if include.images {
            let rows = sqlx::query_as!(
                ImageRow,
                "select product_id, url, alt from images where product_id = $1 order by position, id",
                id
            );
            details.images = Some(
                rows.fetch_all(&mut *session)
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
