//! The share of Postgres' connections that each class of requests has: a bulkhead between browsing, searching, buying and
//! accounts. The process's own queries (change feed, readiness) use the control connection (`control_connection.rs`).

use std::time::Duration;

use platform::postgres;
use platform::postgres::bulkhead::{Bulkhead, Share, ShareError};
use platform::settings::DatabaseSettings;

use crate::settings::BulkheadSettings;
use crate::web::request_class::RequestClass;

/// The statement timeout of a class.
fn statement_limit(class: RequestClass, settings: &DatabaseSettings, shares: &BulkheadSettings) -> Duration {
    let all = settings.database_statement_timeout;
    match class {
        RequestClass::Browse | RequestClass::Search if shares.database_read_statement_timeout < all => {
            shares.database_read_statement_timeout
        }
        _ => postgres::response_limit(all),
    }
}

/// Statement timeouts, indexed by class.
pub(super) fn statement_limits(settings: &DatabaseSettings, shares: &BulkheadSettings) -> [Duration; 4] {
    RequestClass::ALL.map(|class| statement_limit(class, settings, shares))
}

/// How many orders may write stock concurrently: all connections of the class that buys except one, which stays free for
/// carts and payments.
pub fn stock_writers(settings: &DatabaseSettings, shares: &BulkheadSettings) -> u32 {
    let buy = buy_share(settings, shares);
    buy.maximum.saturating_sub(1).max(1)
}

fn buy_share(settings: &DatabaseSettings, shares: &BulkheadSettings) -> Share {
    let total = settings.database_connections;
    let each = total / 8;
    shares.database_buy_connections.unwrap_or(Share {
        guaranteed: each,
        maximum: (total - 3 * each).max(1),
    })
}

/// Divides the pool's connections among the classes.
pub(super) fn bulkhead(
    settings: &DatabaseSettings,
    shares: &BulkheadSettings,
) -> Result<Bulkhead<4>, ShareError> {
    let total = settings.database_connections;
    let share = |guaranteed, maximum: u32| Share {
        guaranteed,
        maximum: maximum.max(1),
    };
    let each = total / 8;
    let shared = total - 4 * each;
    Bulkhead::new(
        total,
        [
            shares
                .database_browse_connections
                .unwrap_or(share(each, each + shared)),
            shares
                .database_search_connections
                .unwrap_or(share(each, total / 4)),
            buy_share(settings, shares),
            shares
                .database_account_connections
                .unwrap_or(share(each, total * 3 / 8)),
        ],
    )
}
