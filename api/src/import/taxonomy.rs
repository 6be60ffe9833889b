//! The brands and categories of imported products: found by name, or created.
//!
//! Names are case-insensitive, and a category is identified by its name *and* its parent. An existing slug is kept,
//! so that URLs are stable across imports.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::product::Product;
use super::slugs::free_slug;

/// The ids of all brands and categories that the products need.
#[derive(Debug, Default)]
pub(super) struct Taxonomy {
    /// By lower-case name.
    brands: HashMap<String, Uuid>,
    /// By parent and lower-case name.
    categories: HashMap<(Option<Uuid>, String), Uuid>,
}

impl Taxonomy {
    /// Finds or creates what `products` need. Reads all brands and categories: they are few compared with products.
    pub(super) async fn prepare(
        connection: &mut PgConnection,
        products: &[Product],
    ) -> Result<Self, sqlx::Error> {
        let mut taxonomy = Self::default();
        taxonomy.prepare_brands(connection, products).await?;
        taxonomy.prepare_categories(connection, products).await?;
        Ok(taxonomy)
    }

    /// The brand and category of one of the products passed to `prepare`.
    pub(super) fn ids(&self, product: &Product) -> (Uuid, Uuid) {
        let brand = self.brands[&product.brand.to_lowercase()];
        let category = product.category.iter().fold(None, |parent, name| {
            Some(self.categories[&(parent, name.to_lowercase())])
        });
        (brand, category.expect("a product has at least one category name"))
    }

    async fn prepare_brands(
        &mut self,
        connection: &mut PgConnection,
        products: &[Product],
    ) -> Result<(), sqlx::Error> {
        let known = sqlx::query!("select id, slug, name from brands order by id desc")
            .fetch_all(&mut *connection)
            .await?;
        let mut taken = HashSet::with_capacity(known.len());
        for brand in known {
            // The oldest comes last and wins if two have the same name.
            self.brands.insert(brand.name.to_lowercase(), brand.id);
            taken.insert(brand.slug);
        }
        let (mut ids, mut slugs, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for product in products {
            self.brands
                .entry(product.brand.to_lowercase())
                .or_insert_with(|| {
                    let slug = free_slug(&product.brand, "brand", &taken);
                    taken.insert(slug.clone());
                    let id = Uuid::now_v7();
                    ids.push(id);
                    slugs.push(slug);
                    names.push(product.brand.as_str());
                    id
                });
        }
        sqlx::query!(
            "insert into brands (id, slug, name) select * from unnest($1::uuid[], $2::text[], $3::text[])",
            &ids,
            &slugs,
            &names as &[&str],
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn prepare_categories(
        &mut self,
        connection: &mut PgConnection,
        products: &[Product],
    ) -> Result<(), sqlx::Error> {
        let known =
            sqlx::query!("select id, parent_id, slug, name, position from categories order by id desc")
                .fetch_all(&mut *connection)
                .await?;
        let mut new = NewCategories::default();
        for category in known {
            self.categories
                .insert((category.parent_id, category.name.to_lowercase()), category.id);
            new.taken.insert(category.slug);
            let next = new.next_positions.entry(category.parent_id).or_default();
            *next = (*next).max(category.position.saturating_add(1));
        }
        for product in products {
            let mut parent = None;
            for name in &product.category {
                let key = (parent, name.to_lowercase());
                parent = Some(
                    *self
                        .categories
                        .entry(key)
                        .or_insert_with(|| new.add(parent, name)),
                );
            }
        }
        new.insert(connection).await
    }
}

/// Categories to create, as columns.
#[derive(Default)]
struct NewCategories {
    taken: HashSet<String>,
    next_positions: HashMap<Option<Uuid>, i32>,
    ids: Vec<Uuid>,
    parent_ids: Vec<Option<Uuid>>,
    slugs: Vec<String>,
    names: Vec<String>,
    positions: Vec<i32>,
}

impl NewCategories {
    fn add(&mut self, parent: Option<Uuid>, name: &str) -> Uuid {
        let id = Uuid::now_v7();
        let slug = free_slug(name, "category", &self.taken);
        self.taken.insert(slug.clone());
        let position = self.next_positions.entry(parent).or_default();
        self.positions.push(*position);
        *position = position.saturating_add(1);
        self.ids.push(id);
        self.parent_ids.push(parent);
        self.slugs.push(slug);
        self.names.push(name.to_owned());
        id
    }

    /// Parents and children in one statement: the foreign key is checked at its end.
    async fn insert(self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query!(
            r#"
            insert into categories (id, parent_id, slug, name, position)
            select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::integer[])
            "#,
            &self.ids,
            &self.parent_ids as &[Option<Uuid>],
            &self.slugs,
            &self.names,
            &self.positions,
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
