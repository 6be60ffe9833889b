//! The page: one HTML file with everything in it, to be read, printed and passed on.

use anyhow::{Context, Result};
use askama::Template;

use super::schema::Report;
use super::view::PageView;

#[derive(Template)]
#[template(path = "page.html")]
struct Page {
    view: PageView,
}

/// Renders the page of a report.
pub fn render(report: &Report) -> Result<String> {
    let view = PageView::new(report)?;
    Page { view }.render().context("the page could not be rendered")
}
