//! What a process holds of the catalogue in replicas of its own, and how the change feed keeps them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use storefront::variants;
use uuid::Uuid;

use super::changes::{ChangeKind, Changes};
use super::columns::ProductColumns;
use super::columns::load::ColumnLimits;
use super::replica::{Replica, ReplicaOptions};
use super::suggest::titles::{BestSellers, TitleLimits};
use crate::settings::ReplicaSettings;

/// The replicas. Each loads when it is first needed, or ahead.
pub struct Replicas {
    /// What facets and category counts count.
    pub columns: Arc<Replica<ProductColumns>>,
    /// What suggestions search first.
    pub titles: Replica<BestSellers>,
    has_columns: bool,
    loads_ahead: AtomicBool,
}

impl Replicas {
    /// Loads nothing yet.
    pub fn new(facets: variants::Facets, connect: PgConnectOptions, settings: ReplicaSettings) -> Self {
        let columns = ReplicaOptions {
            connect: connect.clone(),
            wait: settings.replica_wait,
            max_age: None,
            limits: ColumnLimits {
                page_rows: settings.replica_page_rows,
            },
        };
        let titles = ReplicaOptions {
            connect,
            wait: settings.replica_wait,
            max_age: Some(Duration::from_secs(u64::from(settings.suggestion_max_age_s))),
            limits: TitleLimits {
                products: settings.suggestion_products,
            },
        };
        Self {
            columns: Arc::new(Replica::new(columns)),
            titles: Replica::new(titles),
            has_columns: matches!(facets, variants::Facets::Columns),
            loads_ahead: AtomicBool::new(false),
        }
    }

    /// Loads what will be needed in the background, so that no request has to wait for it: when the feed is read for the
    /// first time. What was loaded before that would have to be loaded again.
    pub fn load_ahead(&self) {
        self.loads_ahead.store(true, Ordering::Relaxed);
    }

    fn start_loading(&self) {
        self.titles.start_loading();
        if self.has_columns {
            self.columns.start_loading();
        }
    }

    /// Re-reads what has changed. What was never loaded stays so.
    ///
    /// # Errors
    /// When a statement fails. What was not re-read is remembered until the next call.
    pub async fn apply(&self, connection: &mut PgConnection, changes: &Changes) -> Result<(), sqlx::Error> {
        if changes.everything {
            self.columns.outdate();
            self.titles.outdate();
            if self.loads_ahead.load(Ordering::Relaxed) {
                self.start_loading();
            }
            return Ok(());
        }
        let of_kinds = |kinds: &[ChangeKind]| -> Vec<Uuid> {
            let of_kind = changes.products.iter().filter(|(_, kind)| kinds.contains(kind));
            let mut ids: Vec<Uuid> = of_kind.map(|(id, _)| *id).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let counted = of_kinds(&[ChangeKind::Product, ChangeKind::Price, ChangeKind::Stock]);
        self.columns.refresh(connection, &counted).await?;
        let titled = of_kinds(&[ChangeKind::Product]);
        self.titles.refresh(connection, &titled).await
    }
}
