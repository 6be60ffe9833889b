//! Every route of the document, and requests that it admits: for what is promised of all routes.

use std::time::Duration;

use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use storefront::access_token::AccessTokens;
use uuid::Uuid;

use crate::support::answer::Answer;
use crate::support::shop::{SECRETS, TestShop};

pub const ADDRESS: &str = "0b000000-0000-7000-8000-00000000000b";
pub const CART: &str = "0c000000-0000-7000-8000-00000000000c";
pub const ORDER: &str = "0d000000-0000-7000-8000-00000000000d";

/// What a path's `{id}` is the id of, by how the path begins.
const OWNED: &[(&str, &str)] = &[
    ("/v1/me/addresses/", ADDRESS),
    ("/v1/carts/", CART),
    ("/v1/orders/", ORDER),
    ("/v1/admin/", ORDER),
];

/// Parameters that name what the shop has, not what somebody owns.
const PUBLIC: &[(&str, &str)] = &[("{slug}", "product-1"), ("{sku}", "SKU-1-0")];

/// An access token of a customer's or an admin's, of the arm `sessions=jwt`.
pub fn token_of(id: &str, role: &str) -> String {
    let tokens = AccessTokens::new(&SECRETS.parse().unwrap());
    tokens.sign(
        id.parse().unwrap(),
        Uuid::now_v7(),
        role,
        Duration::from_secs(600),
    )
}

/// A method of a path.
pub struct Operation {
    method: Method,
    pub path: String,
    described: Value,
    /// What its body may be.
    example: Option<Value>,
}

impl Operation {
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn tag(&self) -> &str {
        self.described["tags"][0].as_str().unwrap_or_default()
    }

    /// What the document asks for: each entry is a way to be let in, an empty one lets anybody in.
    fn ways_in(&self) -> &[Value] {
        let security = self.described["security"].as_array();
        security.unwrap_or_else(|| panic!("{} declares no `security`", self.name()))
    }

    fn headers(&self) -> impl Iterator<Item = (&str, bool)> {
        let parameters = self.described["parameters"].as_array().into_iter().flatten();
        parameters
            .filter(|parameter| parameter["in"] == "header")
            .map(|parameter| (parameter["name"].as_str().unwrap(), parameter["required"] == true))
    }

    /// Names of headers that hold what opens a guest's things.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers().map(|(name, _)| name);
        headers.filter(|name| name.ends_with("-token"))
    }

    pub fn is_open(&self) -> bool {
        self.ways_in()
            .iter()
            .any(|way| way.as_object().unwrap().is_empty())
    }

    pub fn takes_bearer(&self) -> bool {
        self.takes("bearer")
    }

    /// Whether this is a way in.
    pub fn takes(&self, scheme: &str) -> bool {
        self.ways_in().iter().any(|way| way.get(scheme).is_some())
    }

    /// Whether it tells anybody the same.
    pub fn is_for_everybody(&self) -> bool {
        let takes_something = self.ways_in().iter().any(|way| *way != json!({}));
        self.tag() == "Catalog" && !takes_something && self.tokens().next().is_none()
    }

    pub fn is_reading(&self) -> bool {
        self.method == Method::GET
    }

    pub fn is_for_admins(&self) -> bool {
        self.tag() == "Admin"
    }

    /// Whether a request names something that somebody owns: in its path, or in its body.
    pub fn is_of_an_owner(&self) -> bool {
        let names = |id: &str| self.body().is_some_and(|body| body.contains(id));
        self.path.contains("{id}") || [ADDRESS, CART, ORDER].into_iter().any(names)
    }

    /// Whether the document says that this can be the answer.
    #[track_caller]
    pub fn declares(&self, answer: &Answer) {
        let status = answer.status.as_str();
        let declared = &self.described["responses"][status];
        let name = self.name();
        assert!(
            declared.is_object(),
            "{name} declares no {status}: {}",
            answer.text()
        );
        if answer.status.is_client_error() || answer.status.is_server_error() {
            let kind = "application/problem+json";
            assert_eq!(
                answer.header("content-type"),
                Some(kind),
                "{name}: {}",
                answer.text()
            );
            assert!(
                declared["content"][kind]["schema"].is_object(),
                "{name}: {status}"
            );
        }
    }

    pub fn declares_status(&self, status: u16) -> bool {
        self.described["responses"][status.to_string()].is_object()
    }

    /// Its path, with what the owner has.
    pub fn real_path(&self) -> String {
        let mut path = self.path.clone();
        for (name, value) in PUBLIC {
            path = path.replace(name, value);
        }
        if let Some((_, id)) = OWNED.iter().find(|(begin, _)| path.starts_with(begin)) {
            path = path.replace("{id}", id);
        }
        assert!(
            !path.contains('{'),
            "{}: whose is it? Say so in OWNED",
            self.name()
        );
        path
    }

    /// A request without its body: to a path, with the headers that are required, as somebody.
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

    /// A body that it admits.
    pub fn body(&self) -> Option<String> {
        self.example.as_ref().map(Value::to_string)
    }

    /// A request that it admits.
    pub fn request(&self, token: Option<&str>) -> Request<Body> {
        self.sent_to(&self.real_path(), token)
    }

    /// The same, to a path.
    pub fn sent_to(&self, path: &str, token: Option<&str>) -> Request<Body> {
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

/// Something that a schema admits: its example, else the least of what is required.
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

/// All of them.
pub async fn operations(shop: &TestShop) -> Vec<Operation> {
    let document = shop.get("/openapi.json").await.ok().json();
    assert_eq!(
        document["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, described) in methods.as_object().unwrap() {
            let schema = &described["requestBody"]["content"]["application/json"]["schema"];
            all.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                described: described.clone(),
                example: (!schema.is_null()).then(|| example(&document, schema)),
            });
        }
    }
    assert!(all.len() >= 28, "{}", all.len());
    all
}
