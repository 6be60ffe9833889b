//! The OpenAPI document at `/openapi.json` and a page to read and try it at `/docs`. The document is gathered from the
//! handlers that the router was built with, so it describes the arms that run.

use axum::Router;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, Ref, RefOr, Required, Response, ResponseBuilder};
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
pub fn router<S: Clone + Send + Sync + 'static>(mut document: utoipa::openapi::OpenApi) -> Router<S> {
    declare_refusals(&mut document);
    // Unless told so, the page shows a badge that it loads from validator.swagger.io.
    let config = Config::default().validator_url("none");
    SwaggerUi::new("/docs")
        .url("/openapi.json", document)
        .config(config)
        .into()
}

/// Declares what is refused before a handler has its say, where it doesn't say it itself.
fn declare_refusals(document: &mut utoipa::openapi::OpenApi) {
    for item in document.paths.paths.values_mut() {
        let methods = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
        ];
        for operation in methods.into_iter().flatten() {
            for status in refusals(operation) {
                let responses = &mut operation.responses.responses;
                responses.entry(status.to_owned()).or_insert_with(problem);
            }
        }
    }
}

fn refusals(operation: &Operation) -> Vec<&'static str> {
    let asks_for = |scheme| {
        let scheme = SecurityRequirement::new(scheme, Vec::<String>::new());
        let ways_in = operation.security.as_deref().unwrap_or_default();
        ways_in.contains(&scheme)
    };
    let body = match &operation.request_body {
        Some(RefOr::T(body)) => Some(body),
        _ => None,
    };
    // The carrier's callback counts by its signature, whatever it calls itself.
    let is_read_as_json =
        body.is_some_and(|body| body.required == Some(Required::True)) && !asks_for("carrier");
    let refusals = [
        // A parameter that nobody knows.
        ("400", true),
        ("401", asks_for("bearer")),
        ("413", body.is_some()),
        ("415", is_read_as_json),
        ("503", true),
    ];
    let refusals = refusals.into_iter().filter(|(_, is_possible)| *is_possible);
    refusals.map(|(status, _)| status).collect()
}

fn problem() -> RefOr<Response> {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    let response = ResponseBuilder::new().content("application/problem+json", content);
    response.build().into()
}
