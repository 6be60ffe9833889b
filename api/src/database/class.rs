//! Classes of requests, each with its share of Postgres' connections: a bulkhead between browsing, searching, buying and
//! accounts. The process's own queries (change feed, readiness) use the control connection (`control_connection.rs`).

use std::time::Duration;

use axum::http::{Method, Request};
use platform::postgres;
use platform::postgres::bulkhead::{Bulkhead, Share, ShareError};
use platform::settings::DatabaseSettings;

use crate::settings::BulkheadSettings;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Lists, products, categories, reviews: cheap, and the most frequent.
    Browse,
    /// Requests with search words: expensive.
    Search,
    /// Carts and orders.
    Buy,
    /// Accounts, sign-ins, writing reviews, admins.
    Account,
}

impl Class {
    /// All, indexed by discriminant.
    pub const ALL: [Self; 4] = [Self::Browse, Self::Search, Self::Buy, Self::Account];

    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Browse => "browse",
            Self::Search => "search",
            Self::Buy => "buy",
            Self::Account => "account",
        }
    }

    /// The class by method and URI alone; `http/router.rs` refines it for the other slices' routes.
    pub fn of_request<B>(request: &Request<B>) -> Self {
        let uri = request.uri();
        let has_words = |query: &str| form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "q");
        match [Method::GET, Method::HEAD].contains(request.method()) && uri.query().is_some_and(has_words) {
            true => Self::Search,
            false => Self::Browse,
        }
    }

    /// The statement timeout of this class.
    fn statement_limit(self, settings: &DatabaseSettings, shares: &BulkheadSettings) -> Duration {
        let all = settings.database_statement_timeout;
        match self {
            Self::Browse | Self::Search if shares.database_read_statement_timeout < all => {
                shares.database_read_statement_timeout
            }
            _ => postgres::response_limit(all),
        }
    }
}

/// Statement timeouts, indexed by class.
pub(super) fn statement_limits(settings: &DatabaseSettings, shares: &BulkheadSettings) -> [Duration; 4] {
    Class::ALL.map(|class| class.statement_limit(settings, shares))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(line: &str) -> Class {
        let (method, uri) = line.split_once(' ').unwrap();
        Class::of_request(&Request::builder().method(method).uri(uri).body(()).unwrap())
    }

    #[test]
    fn a_request_with_words_searches_however_its_parameter_is_written() {
        for line in [
            "GET /v1/products?q=lamp",
            "GET /v1/products?sort=price&q=",
            "GET /v1/products/facets?%71=lamp",
            "GET /v1/search/suggestions?q=la",
            "HEAD /v1/products?q=lamp",
        ] {
            assert_eq!(class_of(line), Class::Search, "{line}");
        }
        for line in [
            "GET /v1/products",
            "GET /v1/products?sort=q",
            "GET /v1/categories?qq=1",
            "POST /v1/products?q=1",
        ] {
            assert_eq!(class_of(line), Class::Browse, "{line}");
        }
    }
}
