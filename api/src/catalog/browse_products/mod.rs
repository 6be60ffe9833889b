//! `GET /v1/products`: a page of the matching products, sorted. The switch point of the lesson `pagination`: its arms are
//! handlers that differ in how a page refers to the next one.
//!
//! Both arms promise a total order, at most `limit` items, and a `next` that clients follow unchanged. They share this
//! module's code: parsing the request, the statement around the arm's bounds, and the response.

#[cfg(feature = "baselines")]
pub mod offset;

pub mod cursor;

use std::sync::Arc;

use serde::Serialize;
use sqlx::postgres::PgRow;
use utoipa::ToSchema;

use super::Catalog;
use super::cache::Class;
use super::filters::ProductFilters;
use super::list_statement::{Bounds, ListQuery};
use super::product::{Details, Fields, ItemColumns, ProductItem};
use super::product_details::Include;
use super::reference::Snapshot;
use super::sort::Sort;
use crate::database::InstrumentedConnection;
use crate::web::error::ApiError;
use crate::web::page::page_limit;
use crate::web::query::{choice, choices, group, query_parameters};

query_parameters! {
    /// The parameters of a list of products, except the start of its page.
    struct ListRequest {
        filters: ProductFilters = group(),
        /// relevance (default with `q`: products with the words in their title first, the best-selling among them),
        /// newest (default without), price_asc, price_desc, best_selling, rating
        sort: Option<Sort> = choice(Sort::NAMES),
        /// Items of a page
        limit: i64 = page_limit(),
        /// variants, images, or both, comma-separated; at most 100 of each per product (BACKSTOCK_MAX_LIST_DETAILS),
        /// `/v1/products/{slug}` has all
        include: Include = choices(Include::WORDS),
        /// Only these fields of each product, comma-separated
        fields: Fields = choices(&Fields::NAMES),
    }
    check Self::check_sort;
}

impl ListRequest {
    fn check_sort(&self) -> Result<(), ApiError> {
        if self.sort == Some(Sort::Relevance) && self.filters.q.is_none() {
            return Err(ApiError::parameter(
                "sort",
                "`relevance` needs `q`; send words to search for, or choose another order",
            ));
        }
        Ok(())
    }

    fn sort(&self) -> Sort {
        let default = match self.filters.q {
            Some(_) => Sort::Relevance,
            None => Sort::Newest,
        };
        self.sort.unwrap_or(default)
    }

    /// Decides which changes invalidate its cached pages.
    fn class(&self) -> Class {
        if self.filters.in_stock.is_some() || self.sort() == Sort::Rating {
            Class::ShiftingListings
        } else {
            Class::Listings
        }
    }

    /// Identifies the list, independently of the shape of its pages. A cursor is bound to it.
    fn list_name(&self) -> String {
        let mut name = String::with_capacity(160);
        name.push_str("/v1/products?");
        self.filters.write_canonical(&mut name);
        name.extend(["sort=", self.sort().name()]);
        name
    }

    /// Appends the parameters that shape a page to the list's name.
    fn with_shape(&self, mut name: String) -> String {
        use std::fmt::Write as _;
        write!(name, "&limit={}", self.limit).expect("writing to a string can't fail");
        match (self.include.variants, self.include.images) {
            (false, false) => {}
            (true, false) => name.push_str("&include=variants"),
            (false, true) => name.push_str("&include=images"),
            (true, true) => name.push_str("&include=variants,images"),
        }
        if self.fields != Fields::ALL {
            name.extend(["&fields=", &self.fields.names()]);
        }
        name
    }
}

struct PageRows {
    /// At most `limit` rows.
    rows: Vec<PgRow>,
    /// The indexes of a row's columns. `None` without rows.
    columns: Option<ItemColumns>,
    details: Vec<Details>,
    /// Has the brands and categories of the rows.
    reference: Arc<Snapshot>,
    /// More rows follow this page.
    more: bool,
    /// How the search text was matched: 0 for the first way, 1 for the fallback.
    matching: u8,
    /// The ids of the rows.
    products: Vec<uuid::Uuid>,
}

impl PageRows {
    /// The last row, if more rows follow this page.
    fn last_if_more(&self) -> Option<(&PgRow, &ItemColumns)> {
        self.rows.last().zip(self.columns.as_ref()).filter(|_| self.more)
    }
}

/// Brands and categories, the list's own among them.
async fn reference(
    catalog: &Catalog,
    connection: &mut InstrumentedConnection<'_>,
    list: &ListRequest,
) -> Result<Arc<Snapshot>, ApiError> {
    let (brand, category) = (list.filters.brand.as_deref(), list.filters.category.as_deref());
    Ok(catalog.reference.with_slugs(connection, brand, category).await?)
}

/// The rows of a list's first page.
fn first_page<'l>(catalog: &Catalog, list: &'l ListRequest) -> ListQuery<'l> {
    ListQuery {
        filters: &list.filters,
        sort: list.sort(),
        limit: list.limit as u32,
        columns: catalog.columns.sql(),
        search: catalog.search,
        matching: 0,
        bounds: Bounds::Start,
    }
}

/// Completes a page: the names of its brands and categories, and its details. `matching` is how the search text was matched.
async fn complete_page(
    catalog: &Catalog,
    connection: &mut InstrumentedConnection<'_>,
    list: &ListRequest,
    reference: Arc<Snapshot>,
    (mut rows, matching): (Vec<PgRow>, u8),
) -> Result<PageRows, ApiError> {
    let more = rows.len() > list.limit as usize;
    rows.truncate(list.limit as usize);
    let columns = rows
        .first()
        .map(|first| catalog.columns.positions(first))
        .transpose()?;
    let keys = rows
        .iter()
        .zip(columns.iter().cycle())
        .map(|(row, columns)| columns.key(row))
        .collect::<Result<Vec<_>, _>>()?;
    let ids = keys.iter().map(|key| (key.brand_id, key.category_id));
    let reference = catalog.reference.with_ids(connection, reference, ids).await?;
    let products: Vec<_> = keys.iter().map(|key| key.product).collect();
    let details = catalog
        .details
        .load(connection, &products, list.include, catalog.max_list_details)
        .await?;
    Ok(PageRows {
        rows,
        columns,
        details,
        reference,
        more,
        matching,
        products: products.iter().map(|product| product.id).collect(),
    })
}

/// The next way to match the list's words, if there is one.
fn fallback<'l>(catalog: &Catalog, query: ListQuery<'l>) -> Option<ListQuery<'l>> {
    let text = query.filters.q.as_deref()?;
    let matching = query.matching + 1;
    catalog.search.matching(text, matching)?;
    Some(ListQuery { matching, ..query })
}

/// A page of a product list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProductPage<'r> {
    /// In the list's order.
    pub items: Vec<ProductItem<'r>>,
    /// The next page's address, to be followed unchanged; null on the last page. Also in `Link`.
    pub next: Option<&'r str>,
}

fn render(page: &PageRows, fields: Fields, next: Option<&str>) -> Result<Vec<u8>, ApiError> {
    let mut items = Vec::with_capacity(page.rows.len());
    if let Some(columns) = &page.columns {
        for (row, details) in page.rows.iter().zip(&page.details) {
            items.push(columns.read(row, &page.reference, details, fields)?);
        }
    }
    let mut body = Vec::with_capacity(512 * (items.len() + 1));
    serde_json::to_writer(&mut body, &ProductPage { items, next }).map_err(ApiError::internal)?;
    Ok(body)
}
