//! All routes on one page.

use axum::Router;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::error::ApiError;
use super::{docs, home, layers};
use crate::database::Class;
use crate::state::AppBuilder;
use crate::{accounts, admin, carts, catalog, orders};

/// The public service. The selection is read here and nowhere later.
pub fn app(app_builder: &AppBuilder) -> Router {
    // The class of a route selects its share of the database connections (bulkhead). Catalogue requests are browse,
    // or search if they have search words.
    let buying = OpenApiRouter::new()
        .merge(orders::router())
        .merge(carts::router());
    let accounts = OpenApiRouter::new()
        .merge(accounts::router())
        .merge(admin::router());
    let (routes, document) = OpenApiRouter::with_openapi(docs::Document::openapi())
        .merge(catalog::router(&app_builder.selection))
        .merge(layers::private(Class::Buy, buying))
        .merge(layers::private(Class::Account, accounts))
        .with_state(app_builder.state.clone())
        .split_for_parts();

    let routes = routes
        .route("/", get(home::page(app_builder)))
        .merge(docs::router(document))
        .fallback(async || ApiError::NotFound("no such path; see /openapi.json".to_owned()))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed);

    layers::wrap(routes, app_builder.selection.compression, &app_builder.http)
}
