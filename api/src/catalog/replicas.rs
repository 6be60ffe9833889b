//! A process's replicas of the catalogue, and how the change feed updates them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use uuid::Uuid;

use super::changes::{ChangeKind, Changes};
use super::columns::ProductColumns;
use super::columns::load::ColumnLimits;
use super::facets::Facets;
use super::replica::{Replica, ReplicaOptions};
use super::suggest::titles::{BestSellers, TitleLimits};
use crate::settings::ReplicaSettings;

/// The replicas. Each is loaded lazily, or ahead of the first request.
pub struct Replicas {
    /// For facets and category counts.
    pub columns: Arc<Replica<ProductColumns>>,
    /// The titles that suggestions search first.
    pub titles: Replica<BestSellers>,
    loads_ahead: AtomicBool,
}

impl Replicas {
    /// Doesn't load yet.
    pub fn new(connect: PgConnectOptions, settings: ReplicaSettings) -> Self {
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
            loads_ahead: AtomicBool::new(false),
        }
    }

    /// Makes the first read of the feed load the replicas in the background, so that no request has to wait for them.
    /// Loading earlier would be wasted, because the first read of the feed invalidates everything.
    pub fn load_ahead(&self) {
        self.loads_ahead.store(true, Ordering::Relaxed);
    }

    /// Re-reads changed products. A replica that isn't loaded isn't loaded now, unless `load_ahead` was called.
    ///
    /// # Errors
    /// When a statement fails. The remaining products are remembered until the next call.
    pub async fn apply(
        &self,
        connection: &mut PgConnection,
        changes: &Changes,
        facets: &Facets,
    ) -> Result<(), sqlx::Error> {
        if changes.everything {
            self.columns.invalidate();
            self.titles.invalidate();
            if self.loads_ahead.load(Ordering::Relaxed) {
                self.titles.start_loading();
                facets.start_loading();
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
