//! The middleware stack, in order, on one page. A request passes it downwards, its response upwards.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use techniques::Compression;
use tower::util::{MapRequestLayer, MapResponseLayer};
use utoipa_axum::router::OpenApiRouter;

use super::app::AppState;
use super::compression;
use super::context::ContextLayer;
use crate::settings::HttpSettings;
use crate::web::request_class::RequestClass;
use crate::web::timings::RequestTimings;

/// Wraps all routes in
/// 1. the request's context: its id, its clock, its deadline, its guard against panics, its metrics, its log line
///    (`context.rs`),
/// 2. compression: the lesson `compression` (`compression/`),
/// 3. a bound on the body's size.
///
/// They are one layer for axum, because each call of `Router::layer` adds a boxed service, and a boxed future to
/// every request.
pub fn wrap(router: Router, arm: Compression, settings: &HttpSettings) -> Router {
    let context = ContextLayer {
        request_timeout: settings.request_timeout,
        body_timeout: settings.body_timeout,
    };
    let body_limit = DefaultBodyLimit::max(settings.max_body_bytes);
    techniques::select_arm!(arm => Compression {
        baseline None => router.layer((context, compression::none::layer(), body_limit)),
        baseline Gzip => router.layer((context, compression::gzip::layer(), body_limit)),
        optimized Brotli => router.layer((context, compression::brotli::layer(), body_limit)),
    })
}

/// Routes whose responses are private to one client: no shared cache may store them, errors included. Their requests
/// use the connections of `class`. Only these routes have this layer; public ones go without, and their class is
/// browse or search.
pub fn private(class: RequestClass, routes: OpenApiRouter<AppState>) -> OpenApiRouter<AppState> {
    let classified = MapRequestLayer::new(move |request: Request| {
        if let Some(timings) = request.extensions().get::<RequestTimings>() {
            timings.set_class(class);
        }
        request
    });
    let not_stored = MapResponseLayer::new(|mut response: Response| {
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(header::CACHE_CONTROL, no_store);
        response
    });
    // As one layer, as in `wrap`.
    routes.layer((classified, not_stored))
}
