//! Every route of the document, tried as nobody, as another customer, and as a customer where an admin is asked for.
//! What the document says is what is tried: a route that is added is tried without a line here, as long as its
//! ids are those of things that somebody owns (`OWNED`).

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use uuid::Uuid;

use super::people::Person;
use crate::support::answer::Answer;
use crate::support::shop::TestShop;

/// Whose things are tried to be had.
const OWNER: &str = "0a000000-0000-7000-8000-00000000000a";
const ADDRESS: &str = "0b000000-0000-7000-8000-00000000000b";
const CART: &str = "0c000000-0000-7000-8000-00000000000c";
const ORDER: &str = "0d000000-0000-7000-8000-00000000000d";

/// What a path's `{id}` is the id of, by how the path begins.
const OWNED: &[(&str, &str)] = &[
    ("/v1/me/addresses/", ADDRESS),
    ("/v1/carts/", CART),
    ("/v1/orders/", ORDER),
    ("/v1/admin/", ORDER),
];

/// Parameters that name what the shop has, not what somebody owns.
const PUBLIC: &[(&str, &str)] = &[("{slug}", "product-1"), ("{sku}", "SKU-1")];

struct Operation {
    method: Method,
    path: String,
    described: Value,
}

impl Operation {
    fn name(&self) -> String {
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

    fn is_open(&self) -> bool {
        self.ways_in()
            .iter()
            .any(|way| way.as_object().unwrap().is_empty())
    }

    fn takes_bearer(&self) -> bool {
        self.ways_in().iter().any(|way| way.get("bearer").is_some())
    }

    fn is_for_admins(&self) -> bool {
        self.tag() == "Admin"
    }

    fn is_of_an_owner(&self) -> bool {
        self.path.contains("{id}")
    }

    fn request(&self, document: &Value, token: Option<&str>) -> Request<Body> {
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
        let mut request = Request::builder().method(self.method.clone()).uri(path);
        for header in self.described["parameters"].as_array().into_iter().flatten() {
            if header["in"] == "header" && header["required"] == true {
                request = request.header(header["name"].as_str().unwrap(), Uuid::now_v7().to_string());
            }
        }
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let schema = &self.described["requestBody"]["content"]["application/json"]["schema"];
        if schema.is_null() {
            return request.body(Body::empty()).unwrap();
        }
        let body = example(document, schema).to_string();
        request
            .header("content-type", "application/json")
            .body(Body::from(body))
            .unwrap()
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

async fn operations(shop: &TestShop) -> (Value, Vec<Operation>) {
    let document = shop.get("/openapi.json").await.ok().json();
    assert_eq!(
        document["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, described) in methods.as_object().unwrap() {
            all.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                described: described.clone(),
            });
        }
    }
    assert!(all.len() >= 18, "the accounts' and the catalogue's");
    (document, all)
}

/// Somebody has an address, a cart and an order, and may tell nobody.
async fn with_an_owner(shop: &TestShop) {
    shop.database
        .execute(&format!(
            "insert into customers (id, email, name, password_hash)
             values ('{OWNER}', 'owner@private.example', 'Private Owner', 'none');
             insert into addresses (id, customer_id, name, line1, city, postal_code, country)
             values ('{ADDRESS}', '{OWNER}', 'Private Owner', '1 Private Street', 'Bergen', '5003', 'NO');
             insert into carts (id, customer_id) values ('{CART}', '{OWNER}');
             insert into orders (id, customer_id, reserved_until, subtotal_cents, shipping_cents, total_cents, currency,
                                 status, shipping_method, email, shipping_address)
             values ('{ORDER}', '{OWNER}', now(), 0, 0, 0, 'EUR', 'paid', 'standard', 'owner@private.example',
                     '{{\"name\": \"Private Owner\"}}')"
        ))
        .await;
}

/// Everything of the owner's, as rows.
async fn owned(shop: &TestShop) -> Value {
    shop.database
        .json(&format!(
            "select jsonb_build_array(
                 (select to_jsonb(c) from customers c where id = '{OWNER}'),
                 (select jsonb_agg(a) from addresses a where customer_id = '{OWNER}'),
                 (select to_jsonb(c) from carts c where id = '{CART}'),
                 (select jsonb_agg(i) from cart_items i where cart_id = '{CART}'),
                 (select jsonb_agg(o) from orders o where id = '{ORDER}'))"
        ))
        .await
}

fn tells_nothing(answer: &Answer, operation: &Operation) {
    let (text, name) = (answer.text(), operation.name());
    for secret in ["rivate", OWNER, ADDRESS, ORDER] {
        assert!(!text.contains(secret), "{name} tells {secret}: {text}");
    }
}

#[tokio::test]
async fn nobody_gets_where_the_document_asks_for_somebody() {
    let shop = TestShop::start("optimized").await;
    with_an_owner(&shop).await;
    let before = owned(&shop).await;
    let (document, operations) = operations(&shop).await;
    for operation in &operations {
        let answer = shop.answer(operation.request(&document, None)).await;
        tells_nothing(&answer, operation);
        let name = operation.name();
        assert!(answer.status.as_u16() < 500, "{name}: {}", answer.text());
        if operation.is_open() {
            let is_sign_in = answer.json_or_null()["code"] == "wrong_credentials"
                || answer.json_or_null()["code"] == "refresh_token_refused";
            assert!(answer.status != 401 || is_sign_in, "{name} is said to be open");
        } else if operation.takes_bearer() {
            answer.problem(401, "unauthenticated");
        } else {
            // Another's signature, which is a parameter.
            answer.problem(400, "invalid_parameter");
        }
        if operation.takes_bearer() {
            let answer = shop.answer(operation.request(&document, Some("forged"))).await;
            assert_eq!(
                answer.status,
                401,
                "{name} with a forged token: {}",
                answer.text()
            );
        }
    }
    assert_eq!(owned(&shop).await, before);
}

#[tokio::test]
async fn another_customer_finds_nothing_of_the_owners() {
    let shop = TestShop::start("optimized").await;
    with_an_owner(&shop).await;
    let eve = Person::new(&shop, "eve").await;
    let before = owned(&shop).await;
    let (document, operations) = operations(&shop).await;
    for operation in operations.iter().filter(|operation| !operation.is_for_admins()) {
        let answer = shop
            .answer(operation.request(&document, Some(&eve.access_token)))
            .await;
        tells_nothing(&answer, operation);
        let name = operation.name();
        assert!(answer.status.as_u16() < 500, "{name}: {}", answer.text());
        if operation.is_of_an_owner() {
            // Not 403: that would tell that it exists.
            assert_eq!(answer.status, 404, "{name}: {}", answer.text());
        } else if operation.takes_bearer() {
            // What nobody has bought, nobody reviews.
            let is_review = answer.json_or_null()["code"] == "not_bought";
            let is_let_in = answer.status != 401 && answer.status != 403;
            assert!(is_let_in || is_review, "{name}: {}", answer.text());
        }
    }
    assert_eq!(owned(&shop).await, before);
}

#[tokio::test]
async fn a_customer_is_no_admin() {
    let shop = TestShop::start("optimized").await;
    with_an_owner(&shop).await;
    let eve = Person::new(&shop, "eve").await;
    let before = owned(&shop).await;
    let (document, operations) = operations(&shop).await;
    for operation in operations {
        let is_admins = operation.path.starts_with("/v1/admin/");
        assert_eq!(
            operation.is_for_admins(),
            is_admins,
            "{}: its tag",
            operation.name()
        );
        if is_admins {
            assert!(!operation.is_open(), "{}", operation.name());
            let answer = shop
                .answer(operation.request(&document, Some(&eve.access_token)))
                .await;
            answer.problem(403, "forbidden");
        }
    }
    assert_eq!(owned(&shop).await, before);
}
