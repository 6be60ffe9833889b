//! The five routes: what customers ask for most, and what shops differ in.

use anyhow::{Context, Result};
use hyper::Method;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue};
use serde_json::{Value, json};

use super::Shop;
use crate::load::Request;
use dataset::tables::customers::{CUSTOMER_EMAIL, DEMO_PASSWORD};

/// A request with the name of what it asks for.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) name: &'static str,
    pub(super) request: Request,
}

/// What is listed first. Everything else is about the first product of it, so that both shops are asked the same.
const BEST_SELLERS: &str = "/v1/products?sort=best_selling&include=variants,images";

/// The routes of one shop, in the table's order.
pub(super) async fn routes(shop: &Shop) -> Result<Vec<Route>> {
    let listed = shop.ask(&Request::get(BEST_SELLERS)?).await?;
    let listed: Value = serde_json::from_slice(&listed.body).context("the list of products is no JSON")?;
    let first = &listed["items"][0];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let slug = text(&first["slug"]).context("the shop sells nothing yet")?;
    let category = text(&first["category"]["slug"])
        .or_else(|| text(&first["category"]))
        .context("a product has no category")?;
    let title = text(&first["title"]).context("a product has no title")?;
    // The last word of a title is what the thing is: "Walnut desk lamp".
    let word = title.split_whitespace().last().unwrap_or(&title).to_lowercase();
    let word: String = form_encode(&word);
    let mut history = Request::get("/v1/orders?limit=20")?;
    history = history.with_header(AUTHORIZATION, sign_in(shop).await?);
    let routes = [
        (
            "best sellers, 20 with variants and images",
            Request::get(BEST_SELLERS)?,
        ),
        (
            "a category by price, 20 in stock",
            Request::get(&format!(
                "/v1/products?category={category}&sort=price_asc&in_stock=true"
            ))?,
        ),
        (
            "search for a word",
            Request::get(&format!("/v1/products?q={word}"))?,
        ),
        (
            "a product with variants, images, reviews",
            Request::get(&format!("/v1/products/{slug}?include=variants,images,reviews"))?,
        ),
        ("my orders, 20 with their lines", history),
    ];
    // As browsers ask. A shop that compresses does it for who can read it.
    let encodings = HeaderValue::from_static("br, gzip");
    let routes = routes.map(|(name, request)| Route {
        name,
        request: request.with_header(ACCEPT_ENCODING, encodings.clone()),
    });
    Ok(routes.into())
}

/// The token of the generated customer with dozens of orders.
async fn sign_in(shop: &Shop) -> Result<HeaderValue> {
    let body = json!({ "email": CUSTOMER_EMAIL, "password": DEMO_PASSWORD });
    let request = Request::with_json(Method::POST, "/v1/sessions", &body)?;
    let answer = shop
        .ask(&request)
        .await
        .with_context(|| format!("{CUSTOMER_EMAIL} of the generated data can't sign in"))?;
    let answer: Value = serde_json::from_slice(&answer.body).context("the answer to a sign-in is no JSON")?;
    let token = answer["access_token"]
        .as_str()
        .context("a sign-in without a token")?;
    Ok(HeaderValue::try_from(format!("Bearer {token}"))?)
}

/// As in a query: titles have letters of any language.
fn form_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::form_encode;

    #[test]
    fn what_a_query_cannot_hold_is_encoded() {
        assert_eq!(form_encode("tisch-lampe"), "tisch-lampe");
        assert_eq!(form_encode("été &"), "%C3%A9t%C3%A9%20%26");
    }
}
