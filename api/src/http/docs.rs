//! The OpenAPI document at `/openapi.json` and a page to read and try it at `/docs`. The document is gathered from the
//! handlers that the router was built with, so it describes the arms that run.

use axum::Router;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
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
    tags(
        (name = "Catalog", description = "What the shop sells"),
        (name = "Carts", description = "What somebody means to buy"),
        (name = "Admin", description = "What only admins may do"),
        (name = "Accounts", description = "Who buys: registering, signing in, and what a customer keeps"),
        (name = "Orders", description = "From a cart to a parcel"),
    ),
    components(schemas(super::error::Problem)),
    modifiers(&WaysIn)
)]
pub struct Document;

/// Declares what `security(…)` of a handler names.
struct WaysIn;

impl Modify for WaysIn {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.description = Some("The `access_token` of POST /v1/sessions.".to_owned());
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let said =
            "The carrier's signature of the body and its time, under a secret that it shares with the shop.";
        let carrier = ApiKey::Header(ApiKeyValue::with_description("x-carrier-signature", said));
        components.add_security_scheme("carrier", SecurityScheme::ApiKey(carrier));
    }
}

/// Both routes.
pub fn router<S: Clone + Send + Sync + 'static>(document: utoipa::openapi::OpenApi) -> Router<S> {
    // Unless told so, the page shows a badge that it loads from validator.swagger.io.
    let config = Config::default().validator_url("none");
    SwaggerUi::new("/docs")
        .url("/openapi.json", document)
        .config(config)
        .into()
}
