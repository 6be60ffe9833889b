//! All routes on one page.

use axum::Router;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::error::ApiError;
use super::{docs, home, layers};
use crate::database::Class;
use crate::state::Assembly;
use crate::{accounts, admin, carts, catalog, orders};

/// The whole public service. The variants are read here, and never again.
pub fn app(assembly: &Assembly) -> Router {
    // The class of a route says whose share of the database's connections its requests use. The catalogue's browse, or
    // search where they have words.
    let buying = OpenApiRouter::new()
        .merge(orders::router(&assembly.variants))
        .merge(carts::router());
    let accounts = OpenApiRouter::new()
        .merge(accounts::router())
        .merge(admin::router());
    let (routes, document) = OpenApiRouter::with_openapi(docs::Document::openapi())
        .merge(catalog::router(&assembly.variants))
        .merge(layers::private(Class::Buy, buying))
        .merge(layers::private(Class::Account, accounts))
        .with_state(assembly.state.clone())
        .split_for_parts();

    let routes = routes
        .route("/", get(home::page(assembly)))
        .merge(docs::router(document))
        .fallback(async || ApiError::NotFound("no such path; see /openapi.json for what there is".to_owned()))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed);

    layers::wrap(routes, assembly.variants.compression, &assembly.http)
}
