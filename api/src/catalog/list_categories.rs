//! `GET /v1/categories`: the tree of categories, with how many products are shown in each and below it.
//! How they are counted is the lesson `facets` (`facets/`).

use std::collections::HashMap;

use axum::extract::{RawQuery, State};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::cache::Class;
use super::facets::CategoryCount;
use crate::http::answer::Answer;
use crate::http::error::ApiError;
use crate::http::query::Parameters;
use crate::http::timings::{RequestTimings, Timings};
use crate::state::{App, AppState};

/// Categories that the tree shows. More would be megabytes, and no menu.
const MAX_CATEGORIES: usize = 5_000;

/// A category and those below it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Category {
    /// What `category=` takes.
    pub slug: String,
    /// For people.
    pub name: String,
    /// Products shown in it and in all below it.
    pub product_count: i64,
    /// In their order.
    #[schema(no_recursion)]
    pub children: Vec<Category>,
}

/// All categories.
#[derive(Debug, Serialize, ToSchema)]
pub struct CategoryTree {
    /// Those at the top, in their order.
    pub items: Vec<Category>,
    /// Always null: the tree is answered whole, up to 5,000 categories, those nearest to the top first.
    pub next: Option<String>,
}

/// The tree of categories.
#[utoipa::path(
    get,
    path = "/v1/categories",
    tag = "Catalog",
    security(()),
    responses((status = 200, body = CategoryTree))
)]
pub async fn list_categories(
    State(app): State<AppState>,
    timings: RequestTimings,
    RawQuery(query): RawQuery,
) -> Result<Answer, ApiError> {
    Parameters::parse(query.as_deref())?.finish()?;
    app.catalog
        .cache
        .answer(Class::Categories, "/v1/categories", &timings, || {
            tree(&app, &timings)
        })
        .await
}

async fn tree(app: &App, timings: &Timings) -> Result<Answer, ApiError> {
    let is_old = app.catalog.replicas.columns.is_old();
    let rows = app.catalog.facets.by_category(app, timings).await?;
    let mut below: HashMap<Option<Uuid>, Vec<CategoryCount>> = HashMap::new();
    for row in rows {
        below.entry(row.parent_id).or_default().push(row);
    }
    let mut items = children(&mut below, None);
    keep_top(&mut items, MAX_CATEGORIES);
    let tree = CategoryTree { items, next: None };
    let body = serde_json::to_vec(&tree).map_err(ApiError::internal)?;
    Ok(Answer::new(None, &body).provisional(is_old))
}

/// Takes the rows below a parent out of the map, so that even a circle of parents would end.
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

/// Keeps the first `most` of all categories, level by level. What is left out is still counted in those above it.
fn keep_top(tree: &mut Vec<Category>, most: usize) {
    let mut left = most;
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
