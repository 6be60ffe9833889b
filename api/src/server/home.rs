//! `GET /`: a small page with the selected arms and links.

use std::fmt::Write as _;
use std::future::{Ready, ready};

use axum::response::Html;

use super::app::AppBuilder;

/// The handler. The page is rendered once.
pub fn page(app_builder: &AppBuilder) -> impl Fn() -> Ready<Html<String>> + Clone + Send + Sync + 'static {
    let page = render(app_builder);
    move || ready(Html(page.clone()))
}

fn render(app_builder: &AppBuilder) -> String {
    let mut arms = String::new();
    for (lesson, arm) in app_builder.selection.arms() {
        write!(arms, "<tr><td>{lesson}</td><td><code>{arm}</code></td></tr>")
            .expect("writing to a string can't fail");
    }
    let other = app_builder
        .other_shop_url
        .as_deref()
        .map_or_else(String::new, |url| {
            let url = escape(url);
            format!("<li><a href=\"{url}\">The other shop</a>, for comparison</li>")
        });
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Backstock</title>\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;\
         color-scheme:light dark}}table{{border-collapse:collapse}}td{{padding:.2rem 1.5rem .2rem 0}}</style>\
         <h1>Backstock</h1><p>A storefront whose performance techniques can be switched on and off.</p>\
         <ul><li><a href=\"/docs\">The API, to read and try</a></li>\
         <li><a href=\"/openapi.json\">The OpenAPI document</a></li>\
         <li><a href=\"/v1/products\">The newest products</a></li>\
         <li><a href=\"/v1/categories\">The categories</a></li>{other}</ul>\
         <h2>Arms: <code>{}</code></h2><table>{arms}</table></html>",
        escape(&app_builder.selection.to_string()),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
