//! What a process holds misses no change: not one that falls into a load, nor one whose re-reading failed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use api::catalog::replica::{Content, Replica, ReplicaOptions};
use sqlx::postgres::PgConnection;
use storefront::variants::Variants;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::support::database::{self, Database};
use crate::support::until;

/// A content that remembers what it was told, and is loaded and refreshed as the test lets it.
struct Probe {
    steps: Steps,
    number: usize,
    refreshed: Mutex<Vec<Uuid>>,
}

/// What the test holds of it.
#[derive(Clone, Copy)]
struct Steps(&'static StepState);

struct StepState {
    loads: AtomicUsize,
    /// A load takes one before it ends.
    may_load: Semaphore,
    /// A refresh takes one, or fails.
    may_refresh: Semaphore,
}

impl Steps {
    fn new(loads: usize, refreshes: usize) -> Self {
        Self(Box::leak(Box::new(StepState {
            loads: AtomicUsize::new(0),
            may_load: Semaphore::new(loads),
            may_refresh: Semaphore::new(refreshes),
        })))
    }

    fn loads(self) -> usize {
        self.0.loads.load(Ordering::SeqCst)
    }
}

impl Content for Probe {
    type Limits = Steps;

    const NAME: &'static str = "a probe";
    const BYTES_GAUGE: &'static str = "test_probe_bytes";

    async fn load(
        _connection: &mut PgConnection,
        steps: Steps,
        _known: Option<&Self>,
    ) -> Result<Self, sqlx::Error> {
        let number = steps.0.loads.fetch_add(1, Ordering::SeqCst) + 1;
        steps.0.may_load.acquire().await.unwrap().forget();
        Ok(Self {
            steps,
            number,
            refreshed: Mutex::default(),
        })
    }

    async fn refresh(&self, _connection: &mut PgConnection, products: &[Uuid]) -> Result<(), sqlx::Error> {
        match self.steps.0.may_refresh.try_acquire() {
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

async fn replica(steps: Steps) -> (Arc<Database>, Arc<Replica<Probe>>, PgConnection) {
    let database = Database::new(database::Content::Schema, Variants::optimized().indexes).await;
    let replica = Replica::new(ReplicaOptions {
        connect: database.options.clone(),
        wait: Duration::from_secs(20),
        max_age: None,
        limits: steps,
    });
    let connection = database.connect().await;
    (Arc::new(database), Arc::new(replica), connection)
}

#[tokio::test]
async fn a_change_that_falls_into_a_load_is_read_again_before_anyone_sees_the_content() {
    let steps = Steps::new(0, 9);
    let (_database, replica, mut connection) = replica(steps).await;
    replica.start_loading();
    until("it loads", async || (steps.loads() == 1).then_some(())).await;
    replica.refresh(&mut connection, &PRODUCTS[..2]).await.unwrap();
    steps.0.may_load.add_permits(1);
    let content = replica.get().await.unwrap();
    assert_eq!(*content.refreshed.lock().unwrap(), PRODUCTS[..2]);
}

#[tokio::test]
async fn requests_that_come_together_load_once() {
    let steps = Steps::new(0, 0);
    let (_database, replica, _connection) = replica(steps).await;
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let replica = replica.clone();
            tokio::spawn(async move { replica.get().await.unwrap().number })
        })
        .collect();
    until("it loads", async || (steps.loads() == 1).then_some(())).await;
    steps.0.may_load.add_permits(1);
    for each in waiting {
        assert_eq!(each.await.unwrap(), 1);
    }
    assert_eq!(steps.loads(), 1);
}

#[tokio::test]
async fn a_load_that_changes_were_lost_in_is_followed_by_another_before_anyone_sees_the_content() {
    let steps = Steps::new(0, 0);
    let (_database, replica, _connection) = replica(steps).await;
    replica.start_loading();
    until("it loads", async || (steps.loads() == 1).then_some(())).await;
    replica.outdate();
    steps.0.may_load.add_permits(2);
    assert_eq!(replica.get().await.unwrap().number, 2);
    assert!(!replica.is_old());
}

#[tokio::test]
async fn an_old_content_is_served_and_said_to_be_old_until_the_next_has_caught_up() {
    let steps = Steps::new(1, 9);
    let (_database, replica, mut connection) = replica(steps).await;
    assert_eq!(replica.get().await.unwrap().number, 1);
    assert!(!replica.is_old());
    replica.outdate();
    until("it loads again", async || (steps.loads() == 2).then_some(())).await;
    assert_eq!(replica.get().await.unwrap().number, 1);
    assert!(replica.is_old());
    replica.refresh(&mut connection, &PRODUCTS[..1]).await.unwrap();
    steps.0.may_load.add_permits(1);
    until("the next is in place", async || {
        (replica.get().await.unwrap().number == 2).then_some(())
    })
    .await;
    assert!(!replica.is_old());
    let content = replica.get().await.unwrap();
    assert_eq!(*content.refreshed.lock().unwrap(), PRODUCTS[..1]);
}

#[tokio::test]
async fn what_could_not_be_read_again_is_tried_with_the_next_changes() {
    let steps = Steps::new(1, 0);
    let (_database, replica, mut connection) = replica(steps).await;
    let content = replica.get().await.unwrap();
    assert!(replica.refresh(&mut connection, &PRODUCTS[..1]).await.is_err());
    steps.0.may_refresh.add_permits(1);
    replica.refresh(&mut connection, &PRODUCTS[1..]).await.unwrap();
    assert_eq!(*content.refreshed.lock().unwrap(), *PRODUCTS);
}

#[tokio::test]
async fn too_many_changes_load_all_of_it_again() {
    let steps = Steps::new(2, 9);
    let (_database, replica, mut connection) = replica(steps).await;
    assert_eq!(replica.get().await.unwrap().number, 1);
    let many: Vec<Uuid> = (1..=100_001).map(Uuid::from_u128).collect();
    replica.refresh(&mut connection, &many).await.unwrap();
    until("it is loaded again", async || {
        (replica.get().await.unwrap().number == 2).then_some(())
    })
    .await;
}
