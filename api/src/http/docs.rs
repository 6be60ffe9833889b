//! The OpenAPI document at `/openapi.json` and a page to read and try it at `/docs`. The document is gathered from the
//! handlers that the router was built with, so it describes the arms that run.

use axum::Router;
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// What is not said by a handler.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Backstock",
        description = "A storefront whose performance techniques can be switched on and off. \
            Money is in minor units. Lists are followed by `next` as it is given. \
            Errors are problems (RFC 9457) with a stable `code`."
    ),
    tags((name = "Catalog", description = "What the shop sells")),
    components(schemas(super::error::Problem))
)]
pub struct Document;

/// Both routes.
pub fn router<S: Clone + Send + Sync + 'static>(document: utoipa::openapi::OpenApi) -> Router<S> {
    // Unless told so, the page shows a badge that it loads from validator.swagger.io.
    let config = Config::default().validator_url("none");
    SwaggerUi::new("/docs")
        .url("/openapi.json", document)
        .config(config)
        .into()
}
