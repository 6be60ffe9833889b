//! In-process replicas miss no change: neither one during a load nor one whose refresh failed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use api::catalog::replica::{Content, Replica, ReplicaOptions};
use sqlx::postgres::PgConnection;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::support::database::{self, Database};
use crate::support::until;

/// A replica content that records its refreshes, and whose loads and refreshes the test controls.
struct Probe {
    control: ProbeControl,
    number: usize,
    refreshed: Mutex<Vec<Uuid>>,
}

/// The test's handle of the probe.
#[derive(Clone, Copy)]
struct ProbeControl(&'static ProbeState);

struct ProbeState {
    loads: AtomicUsize,
    /// A load needs a permit to finish.
    load_permits: Semaphore,
    /// A refresh needs a permit, or fails.
    refresh_permits: Semaphore,
}

impl ProbeControl {
    fn new(loads: usize, refreshes: usize) -> Self {
        Self(Box::leak(Box::new(ProbeState {
            loads: AtomicUsize::new(0),
            load_permits: Semaphore::new(loads),
            refresh_permits: Semaphore::new(refreshes),
        })))
    }

    fn loads(self) -> usize {
        self.0.loads.load(Ordering::SeqCst)
    }
}

impl Content for Probe {
    type Limits = ProbeControl;

    const NAME: &'static str = "a probe";
    const BYTES_GAUGE: &'static str = "test_probe_bytes";

    async fn load(
        _connection: &mut PgConnection,
        control: ProbeControl,
        _known: Option<&Self>,
    ) -> Result<Self, sqlx::Error> {
        let number = control.0.loads.fetch_add(1, Ordering::SeqCst) + 1;
        control.0.load_permits.acquire().await.unwrap().forget();
        Ok(Self {
            control,
            number,
            refreshed: Mutex::default(),
        })
    }

    async fn refresh(&self, _connection: &mut PgConnection, products: &[Uuid]) -> Result<(), sqlx::Error> {
        match self.control.0.refresh_permits.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(_) => return Err(sqlx::Error::PoolClosed),
        }
        self.refreshed.lock().unwrap().extend_from_slice(products);
        Ok(())
    }

    fn bytes(&self) -> usize {
        0
    }
}

static PRODUCTS: LazyLock<Vec<Uuid>> = LazyLock::new(|| (1..=3).map(Uuid::from_u128).collect());

async fn replica(control: ProbeControl) -> (Arc<Database>, Arc<Replica<Probe>>, PgConnection) {
    let database = Database::new(database::Content::Schema).await;
    let replica = Replica::new(ReplicaOptions {
        connect: database.options.clone(),
        wait: Duration::from_secs(20),
        max_age: None,
        limits: control,
    });
    let connection = database.connect().await;
    (Arc::new(database), Arc::new(replica), connection)
}

#[tokio::test]
async fn a_change_during_a_load_is_refreshed_before_the_content_is_used() {
    let control = ProbeControl::new(0, 9);
    let (_database, replica, mut connection) = replica(control).await;
    replica.start_loading();
    until("a load has started", async || {
        (control.loads() == 1).then_some(())
    })
    .await;
    replica.refresh(&mut connection, &PRODUCTS[..2]).await.unwrap();
    control.0.load_permits.add_permits(1);
    let content = replica.get().await.unwrap();
    assert_eq!(*content.refreshed.lock().unwrap(), PRODUCTS[..2]);
}

#[tokio::test]
async fn concurrent_requests_share_one_load() {
    let control = ProbeControl::new(0, 0);
    let (_database, replica, _connection) = replica(control).await;
    let requests: Vec<_> = (0..8)
        .map(|_| {
            let replica = replica.clone();
            tokio::spawn(async move { replica.get().await.unwrap().number })
        })
        .collect();
    until("a load has started", async || {
        (control.loads() == 1).then_some(())
    })
    .await;
    control.0.load_permits.add_permits(1);
    for request in requests {
        assert_eq!(request.await.unwrap(), 1);
    }
    assert_eq!(control.loads(), 1);
}

#[tokio::test]
async fn an_outdated_load_is_repeated_before_the_content_is_used() {
    let control = ProbeControl::new(0, 0);
    let (_database, replica, _connection) = replica(control).await;
    replica.start_loading();
    until("a load has started", async || {
        (control.loads() == 1).then_some(())
    })
    .await;
    replica.invalidate();
    control.0.load_permits.add_permits(2);
    assert_eq!(replica.get().await.unwrap().number, 2);
    assert!(!replica.is_stale());
}

#[tokio::test]
async fn old_content_is_served_and_marked_old_until_the_reload_has_caught_up() {
    let control = ProbeControl::new(1, 9);
    let (_database, replica, mut connection) = replica(control).await;
    assert_eq!(replica.get().await.unwrap().number, 1);
    assert!(!replica.is_stale());
    replica.invalidate();
    until("the reload has started", async || {
        (control.loads() == 2).then_some(())
    })
    .await;
    assert_eq!(replica.get().await.unwrap().number, 1);
    assert!(replica.is_stale());
    replica.refresh(&mut connection, &PRODUCTS[..1]).await.unwrap();
    control.0.load_permits.add_permits(1);
    until("the new content is in use", async || {
        (replica.get().await.unwrap().number == 2).then_some(())
    })
    .await;
    assert!(!replica.is_stale());
    let content = replica.get().await.unwrap();
    assert_eq!(*content.refreshed.lock().unwrap(), PRODUCTS[..1]);
}

#[tokio::test]
async fn a_failed_refresh_is_retried_with_the_next_changes() {
    let control = ProbeControl::new(1, 0);
    let (_database, replica, mut connection) = replica(control).await;
    let content = replica.get().await.unwrap();
    assert!(replica.refresh(&mut connection, &PRODUCTS[..1]).await.is_err());
    control.0.refresh_permits.add_permits(1);
    replica.refresh(&mut connection, &PRODUCTS[1..]).await.unwrap();
    assert_eq!(*content.refreshed.lock().unwrap(), *PRODUCTS);
}

#[tokio::test]
async fn too_many_changes_trigger_a_full_reload() {
    let control = ProbeControl::new(2, 9);
    let (_database, replica, mut connection) = replica(control).await;
    assert_eq!(replica.get().await.unwrap().number, 1);
    let many: Vec<Uuid> = (1..=100_001).map(Uuid::from_u128).collect();
    replica.refresh(&mut connection, &many).await.unwrap();
    until("the content is reloaded", async || {
        (replica.get().await.unwrap().number == 2).then_some(())
    })
    .await;
}
