//! All routes on one page.

use axum::Router;
use axum::routing::get;
use techniques::Pagination;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::{AppBuilder, AppState};
use super::{docs, home, layers};
use crate::accounts::{addresses, me, refresh_session, register, sign_in, sign_out};
use crate::admin::{self, list_audit_log, set_stock, update_product};
use crate::carts::{create_cart, delete_coupon, put_coupon, put_item, show_cart};
use crate::catalog::{
    browse_products, list_categories, list_reviews, post_review, show_facets, show_product, suggest,
};
use crate::orders::{cancel_order, carrier_webhook, list_orders, place_order, show_order};
use crate::web::error::ApiError;
use crate::web::request_class::RequestClass;

/// The public service. The selection is read here and nowhere later.
pub fn app(app_builder: &AppBuilder) -> Router {
    let (routes, document) = OpenApiRouter::with_openapi(docs::Document::openapi())
        .merge(catalog(app_builder.selection.pagination))
        .merge(layers::private(RequestClass::Buy, orders().merge(carts())))
        .merge(layers::private(
            RequestClass::Account,
            accounts().merge(administration()),
        ))
        .with_state(app_builder.state.clone())
        .split_for_parts();

    let routes = routes
        .route("/", get(home::page(app_builder)))
        .merge(docs::router(document))
        .fallback(async || ApiError::NotFound("no such path; see /openapi.json".to_owned()))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed);

    layers::wrap(routes, app_builder.selection.compression, &app_builder.http)
}

/// Public. The class of a request selects its share of the database connections (bulkhead): browse, or search if it has
/// search words. The switch point of the lesson `pagination`: each arm is a handler.
fn catalog(pagination: Pagination) -> OpenApiRouter<AppState> {
    let browse = techniques::select_arm!(pagination => Pagination {
        baseline Offset => OpenApiRouter::new().routes(routes!(browse_products::offset::browse_products)),
        optimized Cursor => OpenApiRouter::new().routes(routes!(browse_products::cursor::browse_products)),
    });
    let post_review = OpenApiRouter::new().routes(routes!(post_review::post_review));
    OpenApiRouter::new()
        .merge(browse)
        .routes(routes!(list_categories::list_categories))
        .routes(routes!(show_facets::show_facets))
        .routes(routes!(show_product::show_product))
        .routes(routes!(list_reviews::list_reviews))
        .merge(layers::private(RequestClass::Account, post_review))
        .routes(routes!(suggest::suggest))
}

fn orders() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(place_order::place_order))
        .routes(routes!(list_orders::list_orders))
        .routes(routes!(show_order::show_order))
        .routes(routes!(cancel_order::cancel_order))
        .routes(routes!(carrier_webhook::carrier_webhook))
}

/// Carts of guests, authorized by `x-cart-token`, and of signed-in customers.
fn carts() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create_cart::create_cart))
        .routes(routes!(show_cart::show_cart))
        .routes(routes!(put_item::put_item))
        .routes(routes!(put_coupon::put_coupon, delete_coupon::delete_coupon))
}

/// Only registering, signing in and refreshing need no access token.
fn accounts() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(register::register))
        .routes(routes!(sign_in::sign_in))
        .routes(routes!(refresh_session::refresh_session))
        .routes(routes!(sign_out::sign_out))
        .routes(routes!(me::show_me, me::change_me))
        .routes(routes!(addresses::list_addresses, addresses::add_address))
        .routes(routes!(addresses::change_address, addresses::remove_address))
}

/// Every route requires a sign-in with the role `admin`.
fn administration() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(update_product::update_product))
        .routes(routes!(set_stock::set_stock))
        .routes(routes!(admin::list_orders::list_orders))
        .routes(routes!(list_audit_log::list_audit_log))
}
