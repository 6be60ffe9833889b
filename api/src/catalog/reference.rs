//! Reference data: brands and categories, held in the process. They are few, change rarely, and nearly every list needs
//! them. A list therefore joins neither table, and the planner sees ids instead of subselects.
//!
//! A snapshot is immutable and replaced as a whole. The change feed reloads it when a brand or a category changed
//! ([`Reference::apply`]). If a request needs a row that isn't in it yet, it looks in Postgres once. There is no
//! negative caching: unknown slugs aren't remembered, so a brand that was just created is found.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sqlx::{Executor, Postgres};
use uuid::Uuid;

use super::changes::Changes;
use super::product::Named;
use crate::database::InstrumentedConnection;

/// A brand, as lists and filters need it.
#[derive(Debug, PartialEq, Eq)]
pub struct Brand {
    pub id: Uuid,
    /// Value for `brand=`.
    pub slug: Box<str>,
    pub name: Box<str>,
}

/// A category, with its place in the tree.
#[derive(Debug, PartialEq, Eq)]
pub struct Category {
    pub id: Uuid,
    pub parent_id: Option<Uuid>,
    /// Value for `category=`.
    pub slug: Box<str>,
    pub name: Box<str>,
    /// Among its siblings, from 0.
    pub position: i32,
    /// Its own id, then its descendants'.
    pub subtree: Box<[Uuid]>,
}

/// All brands and categories at one point in time.
#[derive(Debug, Default)]
pub struct Snapshot {
    brands: HashMap<Uuid, Brand>,
    brand_ids: HashMap<Box<str>, Uuid>,
    categories: HashMap<Uuid, Category>,
    category_ids: HashMap<Box<str>, Uuid>,
    is_loaded: bool,
}

impl Snapshot {
    /// `None` for a brand that is newer than the snapshot, or deleted.
    pub fn brand(&self, id: Uuid) -> Option<&Brand> {
        self.brands.get(&id)
    }

    /// As [`Snapshot::brand`], by the value of `brand=`.
    pub fn brand_by_slug(&self, slug: &str) -> Option<&Brand> {
        self.brand(*self.brand_ids.get(slug)?)
    }

    /// `None` for a category that is newer than the snapshot, or deleted.
    pub fn category(&self, id: Uuid) -> Option<&Category> {
        self.categories.get(&id)
    }

    /// As [`Snapshot::category`], by the value of `category=`.
    pub fn category_by_slug(&self, slug: &str) -> Option<&Category> {
        self.category(*self.category_ids.get(slug)?)
    }

    /// All brands, in no order.
    pub fn brands(&self) -> impl Iterator<Item = &Brand> {
        self.brands.values()
    }

    /// All categories, in no order.
    pub fn categories(&self) -> impl Iterator<Item = &Category> {
        self.categories.values()
    }

    /// An estimate of its memory, in bytes: about 200 per brand, 250 per category, and 16 per ancestor of a category.
    pub fn bytes(&self) -> usize {
        let brands = self.brands.values().map(|brand| {
            size_of::<(Uuid, Brand)>()
                + size_of::<(Box<str>, Uuid)>()
                + 2 * brand.slug.len()
                + brand.name.len()
        });
        let categories = self.categories.values().map(|category| {
            size_of::<(Uuid, Category)>()
                + size_of::<(Box<str>, Uuid)>()
                + 2 * category.slug.len()
                + category.name.len()
                + size_of_val(&*category.subtree)
        });
        brands.chain(categories).sum()
    }

    /// A brand for responses.
    pub fn named_brand(&self, id: Uuid) -> Option<Named<'_>> {
        self.brand(id).map(|brand| Named {
            slug: &brand.slug,
            name: &brand.name,
        })
    }

    /// A category for responses.
    pub fn named_category(&self, id: Uuid) -> Option<Named<'_>> {
        self.category(id).map(|category| Named {
            slug: &category.slug,
            name: &category.name,
        })
    }

    fn of(brands: Vec<BrandRow>, categories: Vec<CategoryRow>) -> Self {
        let mut children: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        for category in &categories {
            if let Some(parent) = category.parent_id {
                children.entry(parent).or_default().push(category.id);
            }
        }
        let mut snapshot = Self {
            is_loaded: true,
            ..Self::default()
        };
        for BrandRow { id, slug, name } in brands {
            snapshot.brand_ids.insert(slug.clone(), id);
            snapshot.brands.insert(id, Brand { id, slug, name });
        }
        for row in categories {
            snapshot.category_ids.insert(row.slug.clone(), row.id);
            let category = Category {
                id: row.id,
                parent_id: row.parent_id,
                slug: row.slug,
                name: row.name,
                position: row.position,
                subtree: subtree(&children, row.id),
            };
            snapshot.categories.insert(row.id, category);
        }
        snapshot
    }
}

/// A category's id and its descendants', each once, so that the loop ends even if parents form a cycle.
fn subtree(children: &HashMap<Uuid, Vec<Uuid>>, id: Uuid) -> Box<[Uuid]> {
    let mut ids = vec![id];
    let mut at = 0;
    while let Some(parent) = ids.get(at) {
        for child in children.get(parent).into_iter().flatten() {
            if !ids.contains(child) {
                ids.push(*child);
            }
        }
        at += 1;
    }
    ids.into_boxed_slice()
}

struct BrandRow {
    id: Uuid,
    slug: Box<str>,
    name: Box<str>,
}

struct CategoryRow {
    id: Uuid,
    parent_id: Option<Uuid>,
    slug: Box<str>,
    name: Box<str>,
    position: i32,
}

/// The current snapshot, kept up to date.
#[derive(Debug, Default)]
pub struct Reference {
    current: RwLock<Arc<Snapshot>>,
    /// Single flight: held by the request that reloads, while others that miss the same row wait for it.
    reloading: tokio::sync::Mutex<()>,
}

impl Reference {
    /// The current snapshot, which is empty before the first load.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads all brands and categories.
    ///
    /// # Errors
    /// When a statement fails; the snapshot is kept.
    pub async fn load<'e, E>(&self, executor: &mut E) -> Result<Arc<Snapshot>, sqlx::Error>
    where
        for<'c> &'c mut E: Executor<'c, Database = Postgres>,
    {
        let brands = sqlx::query_as!(BrandRow, "select id, slug, name from brands")
            .fetch_all(&mut *executor)
            .await?;
        let categories = sqlx::query_as!(
            CategoryRow,
            "select id, parent_id, slug, name, position from categories"
        )
        .fetch_all(&mut *executor)
        .await?;
        let snapshot = Arc::new(Snapshot::of(brands, categories));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&snapshot);
        Ok(snapshot)
    }

    /// Reloads if a brand or a category changed, or may have changed.
    ///
    /// # Errors
    /// When a statement fails; the snapshot is kept, and the changes must be applied again.
    pub async fn apply(
        &self,
        connection: &mut sqlx::PgConnection,
        changes: &Changes,
    ) -> Result<(), sqlx::Error> {
        if changes.everything || changes.reference {
            self.load(connection).await?;
        }
        Ok(())
    }

    /// The current snapshot, loaded first if necessary.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn loaded(
        &self,
        connection: &mut InstrumentedConnection<'_>,
    ) -> Result<Arc<Snapshot>, sqlx::Error> {
        let snapshot = self.snapshot();
        match snapshot.is_loaded {
            true => Ok(snapshot),
            false => {
                self.reload_unless(connection, |snapshot| snapshot.is_loaded)
                    .await
            }
        }
    }

    /// A snapshot that contains these slugs, if Postgres does. An unknown slug costs one statement.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn with_slugs(
        &self,
        connection: &mut InstrumentedConnection<'_>,
        brand: Option<&str>,
        category: Option<&str>,
    ) -> Result<Arc<Snapshot>, sqlx::Error> {
        let snapshot = self.loaded(connection).await?;
        let missing_brand = brand.filter(|slug| snapshot.brand_by_slug(slug).is_none());
        let missing_category = category.filter(|slug| snapshot.category_by_slug(slug).is_none());
        if missing_brand.is_none() && missing_category.is_none() {
            return Ok(snapshot);
        }
        let exists = sqlx::query_scalar!(
            r#"select exists (select from brands where slug = $1)
                   or exists (select from categories where slug = $2) as "exists!""#,
            missing_brand,
            missing_category
        );
        if !exists.fetch_one(&mut *connection).await? {
            return Ok(snapshot);
        }
        let has_both = |snapshot: &Snapshot| {
            brand.is_none_or(|slug| snapshot.brand_by_slug(slug).is_some())
                && category.is_none_or(|slug| snapshot.category_by_slug(slug).is_some())
        };
        self.reload_unless(connection, has_both).await
    }

    /// A snapshot that contains these brands and categories. Products refer to them, so they exist in Postgres.
    ///
    /// # Errors
    /// When a statement fails.
    pub async fn with_ids(
        &self,
        connection: &mut InstrumentedConnection<'_>,
        snapshot: Arc<Snapshot>,
        ids: impl Iterator<Item = (Uuid, Uuid)> + Clone,
    ) -> Result<Arc<Snapshot>, sqlx::Error> {
        let has_all = |snapshot: &Snapshot| {
            ids.clone().all(|(brand, category)| {
                snapshot.brands.contains_key(&brand) && snapshot.categories.contains_key(&category)
            })
        };
        match has_all(&snapshot) {
            true => Ok(snapshot),
            false => self.reload_unless(connection, has_all).await,
        }
    }

    /// Reloads, unless another request did while this one waited.
    async fn reload_unless(
        &self,
        connection: &mut InstrumentedConnection<'_>,
        is_enough: impl Fn(&Snapshot) -> bool,
    ) -> Result<Arc<Snapshot>, sqlx::Error> {
        let _reloading = self.reloading.lock().await;
        let snapshot = self.snapshot();
        match is_enough(&snapshot) {
            true => Ok(snapshot),
            false => self.load(connection).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u128, parent: Option<u128>) -> CategoryRow {
        CategoryRow {
            id: Uuid::from_u128(id),
            parent_id: parent.map(Uuid::from_u128),
            slug: format!("category-{id}").into(),
            name: "A category".into(),
            position: 0,
        }
    }

    #[test]
    fn a_subtree_is_a_category_and_its_descendants() {
        let snapshot = Snapshot::of(
            Vec::new(),
            vec![
                row(4, Some(2)),
                row(1, None),
                row(2, Some(1)),
                row(3, Some(1)),
                row(9, None),
            ],
        );
        let ids = |slug: &str| {
            let mut ids: Vec<u128> = snapshot
                .category_by_slug(slug)
                .unwrap()
                .subtree
                .iter()
                .map(Uuid::as_u128)
                .collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(ids("category-1"), [1, 2, 3, 4]);
        assert_eq!(ids("category-2"), [2, 4]);
        assert_eq!(ids("category-9"), [9]);
    }

    #[test]
    fn a_cycle_of_parents_ends() {
        let snapshot = Snapshot::of(Vec::new(), vec![row(1, Some(2)), row(2, Some(1))]);
        assert_eq!(snapshot.category_by_slug("category-1").unwrap().subtree.len(), 2);
    }
}
