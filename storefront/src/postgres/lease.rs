//! A connection that is lent to one piece of work, and how it comes back.
//!
//! One that is settled goes back to its pool at once, without a word to Postgres. One whose statement or transaction was
//! dropped is settled first: what is left of the answer is read and the transaction rolled back. A statement that takes
//! longer is cancelled, by closing the connection: Postgres looks for that while it works (`mod.rs`).

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool::managed::Object;
use tokio::runtime::Handle;

use super::CLIENT_CHECK_INTERVAL;
use super::bulkhead::Admission;
use super::connection::KeptConnection;
use super::pool::Connections;

/// How long a dropped statement may take to end by itself. Most take less, and a new connection costs Postgres more.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(20);

/// A connection is given up when it was settled so often: each dropped statement may leave a prepared one behind.
const MAX_SETTLED_TIMES: u32 = 100;

/// One connection, lent to one piece of work.
pub struct Lease {
    /// `None` only while it is being dropped.
    held: Option<Held>,
    /// What its class has less while it is lent.
    admission: Option<Admission>,
}

enum Held {
    /// Returned to its pool.
    Pooled(Object<Connections>),
    /// Closed.
    #[cfg(feature = "baselines")]
    Own(KeptConnection),
}

impl Lease {
    pub(super) fn pooled(connection: Object<Connections>, admission: Option<Admission>) -> Self {
        Self {
            held: Some(Held::Pooled(connection)),
            admission,
        }
    }

    /// A connection that is closed with its lease.
    #[cfg(feature = "baselines")]
    pub fn own(connection: KeptConnection) -> Self {
        Self {
            held: Some(Held::Own(connection)),
            admission: None,
        }
    }
}

impl Deref for Lease {
    type Target = KeptConnection;

    fn deref(&self) -> &KeptConnection {
        match self.held.as_ref().expect("present until it is dropped") {
            Held::Pooled(connection) => connection,
            #[cfg(feature = "baselines")]
            Held::Own(connection) => connection,
        }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut KeptConnection {
        match self.held.as_mut().expect("present until it is dropped") {
            Held::Pooled(connection) => connection,
            #[cfg(feature = "baselines")]
            Held::Own(connection) => connection,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let admission = self.admission.take();
        match self.held.take() {
            Some(Held::Pooled(connection)) => return_to_pool(connection, admission),
            #[cfg(feature = "baselines")]
            // Without a goodbye, Postgres would log a broken connection for every request. It would also wait for one until
            // the statement under way has ended.
            Some(Held::Own(connection)) if connection.status.is_settled && !connection.status.is_broken => {
                tokio::spawn(connection.close());
            }
            #[cfg(feature = "baselines")]
            Some(Held::Own(_)) => {}
            None => {}
        }
    }
}

fn return_to_pool(connection: Object<Connections>, admission: Option<Admission>) {
    let status = &connection.status;
    if status.is_settled && !status.is_broken {
        // The connection first: who gets the admission finds it.
        drop(connection);
        return drop(admission);
    }
    let cancels = status.is_broken && !status.is_settled;
    match Handle::try_current() {
        Ok(runtime) if !status.is_broken => drop(runtime.spawn(settle(connection, admission))),
        Ok(runtime) if cancels => {
            close(connection);
            runtime.spawn(until_cancelled(admission));
        }
        _ => close(connection),
    }
}

async fn settle(mut connection: Object<Connections>, admission: Option<Admission>) {
    let settled = tokio::time::timeout(SETTLE_TIMEOUT, connection.settle()).await;
    if matches!(settled, Ok(Ok(()))) && connection.status.settled_times < MAX_SETTLED_TIMES {
        drop(connection);
        return drop(admission);
    }
    close(connection);
    if settled.is_err() {
        until_cancelled(admission).await;
    }
}

/// What is taken from the pool is replaced by a new connection when one is needed.
fn close(connection: Object<Connections>) {
    drop(Object::take(connection));
}

/// The statement's class has its connection back when Postgres has cancelled the statement: else, a client that comes
/// and goes would keep more statements running than its class may have.
async fn until_cancelled(admission: Option<Admission>) {
    if let Some(admission) = admission {
        tokio::time::sleep(CLIENT_CHECK_INTERVAL).await;
        drop(admission);
    }
}
