//! The OpenAPI document at `/openapi.json`, and Swagger UI at `/docs`. The document is collected from the handlers of
//! this router, so it describes the running arms.

use axum::Router;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Content, Ref, RefOr, Required, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The parts that no handler declares.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Backstock",
        description = "A storefront whose performance techniques can be switched on and off. \
            Money is in minor units. Follow `next` unchanged to page through a list. \
            Errors are problems (RFC 9457) with a stable `code`."
    ),
    tags(
        (name = "Catalog", description = "What the shop sells"),
        (name = "Carts", description = "What a customer intends to buy"),
        (name = "Admin", description = "For admins only"),
        (name = "Accounts", description = "Registration, sign-in, and a customer's own data"),
        (name = "Orders", description = "From a cart to a parcel"),
    ),
    components(schemas(crate::web::error::Problem)),
    modifiers(&SecuritySchemes)
)]
pub struct Document;

/// The schemes that a handler's `security(…)` names.
struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.description = Some("The `access_token` of POST /v1/sessions.".to_owned());
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let description =
            "The carrier's signature of the body and its time, under a secret that it shares with the shop.";
        let carrier = ApiKey::Header(ApiKeyValue::with_description("x-carrier-signature", description));
        components.add_security_scheme("carrier", SecurityScheme::ApiKey(carrier));
    }
}

/// Serves the document at `/openapi.json` and Swagger UI at `/docs`, after adding the errors that extractors return.
pub fn router<S: Clone + Send + Sync + 'static>(mut document: utoipa::openapi::OpenApi) -> Router<S> {
    declare_refusals(&mut document);
    // By default, Swagger UI shows a badge from validator.swagger.io.
    let config = Config::default().validator_url("none");
    SwaggerUi::new("/docs")
        .url("/openapi.json", document)
        .config(config)
        .into()
}

/// Declares errors that extractors return before a handler runs, unless the handler declares them itself.
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
    let has_scheme = |scheme| {
        let scheme = SecurityRequirement::new(scheme, Vec::<String>::new());
        let schemes = operation.security.as_deref().unwrap_or_default();
        schemes.contains(&scheme)
    };
    let body = match &operation.request_body {
        Some(RefOr::T(body)) => Some(body),
        _ => None,
    };
    // The carrier's webhook is verified by its signature and accepts any content type.
    let is_read_as_json =
        body.is_some_and(|body| body.required == Some(Required::True)) && !has_scheme("carrier");
    let refusals = [
        // An unknown query parameter.
        ("400", true),
        ("401", has_scheme("bearer")),
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
