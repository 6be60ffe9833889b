//! The lease of a connection by one unit of work, and its return to the pool.
//!
//! A settled connection returns to the pool immediately, without a round trip. If a statement or transaction
//! was dropped, the connection is settled first: the rest of the response is read, and the transaction rolled
//! back. If that takes too long, the statement is cancelled by closing the connection, which Postgres detects
//! during a statement (`mod.rs`).

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool::managed::Object;
use tokio::runtime::Handle;

use super::CLIENT_CHECK_INTERVAL;
use super::bulkhead::Admission;
use super::connection::KeptConnection;
use super::pool::Connections;

/// How long a dropped statement may take to finish. Most take less, and a new connection costs Postgres more.
const SETTLE_TIMEOUT: Duration = Duration::from_millis(20);

/// A connection is closed after it was settled this often, because each dropped statement may
/// leak a prepared statement.
const MAX_SETTLED_TIMES: u32 = 100;

/// A connection leased by one unit of work.
pub struct Lease {
    /// `None` only while it is being dropped.
    connection: Option<LeasedConnection>,
    /// The permit of its class.
    admission: Option<Admission>,
}

enum LeasedConnection {
    /// Returned to the pool when dropped.
    Pooled(Object<Connections>),
    /// Closed when dropped.
    Own(KeptConnection),
}

impl Lease {
    pub(super) fn pooled(connection: Object<Connections>, admission: Option<Admission>) -> Self {
        Self {
            connection: Some(LeasedConnection::Pooled(connection)),
            admission,
        }
    }

    /// Leases a connection outside of a pool, which is closed with the lease.
    pub fn own(connection: KeptConnection) -> Self {
        Self {
            connection: Some(LeasedConnection::Own(connection)),
            admission: None,
        }
    }
}

impl Deref for Lease {
    type Target = KeptConnection;

    fn deref(&self) -> &KeptConnection {
        match self.connection.as_ref().expect("present until it is dropped") {
            LeasedConnection::Pooled(connection) => connection,
            LeasedConnection::Own(connection) => connection,
        }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut KeptConnection {
        match self.connection.as_mut().expect("present until it is dropped") {
            LeasedConnection::Pooled(connection) => connection,
            LeasedConnection::Own(connection) => connection,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let admission = self.admission.take();
        match self.connection.take() {
            Some(LeasedConnection::Pooled(connection)) => return_to_pool(connection, admission),
            // Closed cleanly, because otherwise Postgres would log a broken connection for every request.
            // With a statement in flight that would wait for the statement's end, so only a settled
            // connection is.
            Some(LeasedConnection::Own(connection))
                if connection.status.is_settled && !connection.status.is_broken =>
            {
                tokio::spawn(connection.close());
            }
            Some(LeasedConnection::Own(_)) => {}
            None => {}
        }
    }
}

fn return_to_pool(connection: Object<Connections>, admission: Option<Admission>) {
    let status = &connection.status;
    if status.is_settled && !status.is_broken {
        // The connection first, so that the next holder of the admission finds it.
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

/// Removes the connection from the pool, which opens a new one when needed.
fn close(connection: Object<Connections>) {
    drop(Object::take(connection));
}

/// Holds the class's permit until Postgres has cancelled the statement. Otherwise clients that connect and
/// disconnect could run more statements than their class may have.
async fn until_cancelled(admission: Option<Admission>) {
    if let Some(admission) = admission {
        tokio::time::sleep(CLIENT_CHECK_INTERVAL).await;
        drop(admission);
    }
}
