//! The classes of requests. A class has a share of Postgres' connections (`../database/class.rs`).

use axum::http::{Method, Request};

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestClass {
    /// Lists, products, categories, reviews: cheap, and the most frequent.
    Browse,
    /// Requests with search words: expensive.
    Search,
    /// Carts and orders.
    Buy,
    /// Accounts, sign-ins, writing reviews, admins.
    Account,
}

impl RequestClass {
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

    /// The class by method and URI alone; `server/router.rs` refines it for the other slices' routes.
    pub fn of_request<B>(request: &Request<B>) -> Self {
        let uri = request.uri();
        let has_words = |query: &str| form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "q");
        match [Method::GET, Method::HEAD].contains(request.method()) && uri.query().is_some_and(has_words) {
            true => Self::Search,
            false => Self::Browse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(line: &str) -> RequestClass {
        let (method, uri) = line.split_once(' ').unwrap();
        RequestClass::of_request(&Request::builder().method(method).uri(uri).body(()).unwrap())
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
            assert_eq!(class_of(line), RequestClass::Search, "{line}");
        }
        for line in [
            "GET /v1/products",
            "GET /v1/products?sort=q",
            "GET /v1/categories?qq=1",
            "POST /v1/products?q=1",
        ] {
            assert_eq!(class_of(line), RequestClass::Browse, "{line}");
        }
    }
}
