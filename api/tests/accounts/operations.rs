//! The operations of the OpenAPI document, each with a valid request, for tests of all routes.

use std::time::Duration;

use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use shop::access_token::AccessTokens;
use uuid::Uuid;

use crate::support::response::TestResponse;
use crate::support::shop::{SECRETS, TestShop};

pub const ADDRESS: &str = "0b000000-0000-7000-8000-00000000000b";
pub const CART: &str = "0c000000-0000-7000-8000-00000000000c";
pub const ORDER: &str = "0d000000-0000-7000-8000-00000000000d";

/// The id for `{id}` in a path, by the path's prefix.
const OWNED: &[(&str, &str)] = &[
    ("/v1/me/addresses/", ADDRESS),
    ("/v1/carts/", CART),
    ("/v1/orders/", ORDER),
    ("/v1/admin/", ORDER),
];

/// Parameters for public resources, which have no owner.
const PUBLIC: &[(&str, &str)] = &[("{slug}", "product-1"), ("{sku}", "SKU-1-0")];

/// A signed access token of a customer or an admin.
pub fn token_of(id: &str, role: &str) -> String {
    let tokens = AccessTokens::new(&SECRETS.parse().unwrap());
    tokens.sign(
        id.parse().unwrap(),
        Uuid::now_v7(),
        role,
        Duration::from_secs(600),
    )
}

/// A method and path.
pub struct Operation {
    method: Method,
    pub path: String,
    description: Value,
    /// A valid body.
    example: Option<Value>,
}

impl Operation {
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn tag(&self) -> &str {
        self.description["tags"][0].as_str().unwrap_or_default()
    }

    /// The accepted security schemes. An empty entry accepts any client.
    fn security(&self) -> &[Value] {
        let schemes = self.description["security"].as_array();
        schemes.unwrap_or_else(|| panic!("{} declares no `security`", self.name()))
    }

    fn headers(&self) -> impl Iterator<Item = (&str, bool)> {
        let parameters = self.description["parameters"].as_array().into_iter().flatten();
        parameters
            .filter(|parameter| parameter["in"] == "header")
            .map(|parameter| (parameter["name"].as_str().unwrap(), parameter["required"] == true))
    }

    /// The headers with the token of a guest's cart or order.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers().map(|(name, _)| name);
        headers.filter(|name| name.ends_with("-token"))
    }

    pub fn is_open(&self) -> bool {
        self.security()
            .iter()
            .any(|way| way.as_object().unwrap().is_empty())
    }

    pub fn takes_bearer(&self) -> bool {
        self.takes("bearer")
    }

    /// Whether it accepts this security scheme.
    pub fn takes(&self, scheme: &str) -> bool {
        self.security().iter().any(|way| way.get(scheme).is_some())
    }

    /// Whether its response is the same for all clients.
    pub fn is_public(&self) -> bool {
        let accepts_credentials = self.security().iter().any(|way| *way != json!({}));
        self.tag() == "Catalog" && !accepts_credentials && self.tokens().next().is_none()
    }

    pub fn is_read(&self) -> bool {
        self.method == Method::GET
    }

    pub fn is_for_admins(&self) -> bool {
        self.tag() == "Admin"
    }

    /// Whether a request names an owned resource, in its path or its body.
    pub fn names_owned_resource(&self) -> bool {
        let names = |id: &str| self.body().is_some_and(|body| body.contains(id));
        self.path.contains("{id}") || [ADDRESS, CART, ORDER].into_iter().any(names)
    }

    /// Asserts that the document declares this response.
    #[track_caller]
    pub fn assert_declares(&self, response: &TestResponse) {
        let status = response.status.as_str();
        let declared = &self.description["responses"][status];
        let name = self.name();
        assert!(
            declared.is_object(),
            "{name} declares no {status}: {}",
            response.text()
        );
        if response.status.is_client_error() || response.status.is_server_error() {
            let kind = "application/problem+json";
            assert_eq!(
                response.header("content-type"),
                Some(kind),
                "{name}: {}",
                response.text()
            );
            assert!(
                declared["content"][kind]["schema"].is_object(),
                "{name}: {status}"
            );
        }
    }

    pub fn declares_status(&self, status: u16) -> bool {
        self.description["responses"][status.to_string()].is_object()
    }

    /// The path with the ids of the owner's resources.
    pub fn concrete_path(&self) -> String {
        let mut path = self.path.clone();
        for (name, value) in PUBLIC {
            path = path.replace(name, value);
        }
        if let Some((_, id)) = OWNED.iter().find(|(prefix, _)| path.starts_with(prefix)) {
            path = path.replace("{id}", id);
        }
        assert!(
            !path.contains('{'),
            "{}: add the owner of its ids to OWNED",
            self.name()
        );
        path
    }

    /// A request without a body, with all required headers.
    pub fn head(&self, path: &str, token: Option<&str>) -> Builder {
        let mut request = Request::builder().method(self.method.clone()).uri(path);
        for (name, _) in self.headers().filter(|(_, is_required)| *is_required) {
            request = request.header(name, Uuid::now_v7().to_string());
        }
        match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    /// A valid body.
    pub fn body(&self) -> Option<String> {
        self.example.as_ref().map(Value::to_string)
    }

    /// A valid request.
    pub fn request(&self, token: Option<&str>) -> Request<Body> {
        self.request_to(&self.concrete_path(), token)
    }

    /// A valid request with another path.
    pub fn request_to(&self, path: &str, token: Option<&str>) -> Request<Body> {
        let request = self.head(path, token);
        match self.body() {
            None => request.body(Body::empty()).unwrap(),
            Some(body) => request
                .header("content-type", "application/json")
                .body(Body::from(body))
                .unwrap(),
        }
    }
}

/// A value that is valid under a schema: its example, or else the minimum of required fields.
fn example(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return example(document, &document["components"]["schemas"][name]);
    }
    for key in ["example", "const"] {
        if !schema[key].is_null() {
            return schema[key].clone();
        }
    }
    if let Some(choice) = schema["enum"].get(0) {
        return choice.clone();
    }
    for of in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema[of].as_array() {
            let choice = choices.iter().find(|choice| choice["type"] != "null").unwrap();
            return example(document, choice);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds[0].as_str(),
        kind => kind.as_str(),
    };
    match kind {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten();
            let fields = required
                .map(|name| name.as_str().unwrap())
                .map(|name| (name.to_owned(), example(document, &schema["properties"][name])));
            Value::Object(fields.collect())
        }
        Some("array") => json!([]),
        Some("integer" | "number") => schema["minimum"].as_i64().unwrap_or(1).max(1).into(),
        Some("boolean") => true.into(),
        _ if schema["format"] == "uuid" => CART.into(),
        _ => "x"
            .repeat(schema["minLength"].as_u64().unwrap_or(1) as usize)
            .into(),
    }
}

/// All operations of the document.
pub async fn operations(shop: &TestShop) -> Vec<Operation> {
    let document = shop.get("/openapi.json").await.ok().json();
    assert_eq!(
        document["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, description) in methods.as_object().unwrap() {
            let schema = &description["requestBody"]["content"]["application/json"]["schema"];
            all.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                description: description.clone(),
                example: (!schema.is_null()).then(|| example(&document, schema)),
            });
        }
    }
    assert!(all.len() >= 28, "{}", all.len());
    all
}
