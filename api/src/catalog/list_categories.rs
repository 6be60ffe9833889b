//! `GET /v1/categories`: the tree of categories, each with the number of active products in it and its descendants.
//! The lesson `facets` decides how they are counted (`facets/`).

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Catalog;
use super::cache::Class;
use super::facets::CategoryCount;
use crate::web::answer::Answer;
use crate::web::error::ApiError;
use crate::web::query::NoParameters;
use crate::web::timings::{RequestTimings, Timings};

/// Categories in the response. More would take megabytes, and no menu shows as many.
const MAX_CATEGORIES: usize = 5_000;

/// A category and its descendants.
#[derive(Debug, Serialize, ToSchema)]
pub struct Category {
    /// Value for `category=`.
    pub slug: String,
    pub name: String,
    /// Active products in the category and its descendants.
    pub product_count: i64,
    /// By position.
    #[schema(no_recursion)]
    pub children: Vec<Category>,
}

/// The tree of categories.
#[derive(Debug, Serialize, ToSchema)]
pub struct CategoryTree {
    /// The root categories, by position.
    pub items: Vec<Category>,
    /// Always null: there is only one page. It has up to 5,000 categories, those nearest to the root first.
    pub next: Option<String>,
}

/// Shows the tree of categories.
#[utoipa::path(
    get,
    path = "/v1/categories",
    tag = "Catalog",
    security(()),
    responses((status = 200, body = CategoryTree))
)]
pub async fn list_categories(
    State(catalog): State<Arc<Catalog>>,
    timings: RequestTimings,
    _: NoParameters,
) -> Result<Answer, ApiError> {
    catalog
        .cache
        .answer(Class::Categories, "/v1/categories", &timings, || {
            tree(&catalog, &timings)
        })
        .await
}

async fn tree(catalog: &Catalog, timings: &Timings) -> Result<Answer, ApiError> {
    let is_stale = catalog.replicas.columns.is_stale();
    let rows = catalog.facets.by_category(catalog, timings).await?;
    let mut below: HashMap<Option<Uuid>, Vec<CategoryCount>> = HashMap::new();
    for row in rows {
        below.entry(row.parent_id).or_default().push(row);
    }
    let mut items = children(&mut below, None);
    keep_top(&mut items, MAX_CATEGORIES);
    let tree = CategoryTree { items, next: None };
    let body = serde_json::to_vec(&tree).map_err(ApiError::internal)?;
    Ok(Answer::new(None, &body).provisional(is_stale))
}

/// Removes a parent's rows from the map, so that recursion ends even if parents form a cycle.
fn children(below: &mut HashMap<Option<Uuid>, Vec<CategoryCount>>, parent: Option<Uuid>) -> Vec<Category> {
    let rows = below.remove(&parent).unwrap_or_default();
    let category = |row: CategoryCount| {
        let children = children(below, Some(row.id));
        let product_count = row.product_count + children.iter().map(|child| child.product_count).sum::<i64>();
        Category {
            slug: row.slug,
            name: row.name,
            product_count,
            children,
        }
    };
    rows.into_iter().map(category).collect()
}

/// Keeps the first `limit` categories, breadth-first. Their ancestors' counts still include the removed ones.
fn keep_top(tree: &mut Vec<Category>, limit: usize) {
    let mut left = limit;
    let mut level = vec![tree];
    while !level.is_empty() {
        let mut below = Vec::new();
        for siblings in level {
            siblings.truncate(left);
            left -= siblings.len();
            below.extend(siblings.iter_mut().map(|category| &mut category.children));
        }
        level = below;
    }
}
