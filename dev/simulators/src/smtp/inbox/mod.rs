//! The inbox, for programs (`/messages`) and for people (`/`).
//!
//! Emails are parsed on request, so that receiving one only copies its bytes. Read next: `parsed_mail.rs`.

mod pages;
mod parsed_mail;

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use self::parsed_mail::{MailSummary, ParsedMail};
use super::SmtpConfig;
use super::mailbox::{Mail, MailCounts, Mailbox};
use crate::error::ServiceError;
use crate::fault_injection::{self, SimulatedService};

const MAX_LIMIT: usize = 1_000;

const DEFAULT_LIMIT: usize = 20;

/// The inbox's routes, and the mail server's `/control`.
pub fn router(mailbox: Arc<Mailbox>, service: Arc<SimulatedService<SmtpConfig>>) -> Router {
    Router::new()
        .route("/", get(pages::list))
        .route("/mail/{id}", get(pages::mail))
        .route("/messages", get(list).delete(clear))
        .route("/messages/count", get(count))
        .route("/messages/{id}", get(show))
        .route("/messages/{id}/html", get(pages::html))
        .route("/messages/{id}/raw", get(raw))
        .with_state(mailbox)
        .merge(fault_injection::control_routes(service))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListFilter {
    to: Option<String>,
    limit: Option<usize>,
}

async fn list(
    State(mailbox): State<Arc<Mailbox>>,
    filter: Result<Query<ListFilter>, QueryRejection>,
) -> Result<Json<Value>, ServiceError> {
    let Query(ListFilter { to, limit }) = filter?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ServiceError::invalid(format!("`limit` must be 1 to {MAX_LIMIT}")));
    }
    let mails = mailbox.newest(to.as_deref(), limit);
    let items: Vec<MailSummary> = mails.iter().map(|mail| MailSummary::new(mail)).collect();
    Ok(Json(json!({ "items": items })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipientFilter {
    to: Option<String>,
}

async fn count(
    State(mailbox): State<Arc<Mailbox>>,
    filter: Result<Query<RecipientFilter>, QueryRejection>,
) -> Result<Json<MailCounts>, ServiceError> {
    let Query(RecipientFilter { to }) = filter?;
    Ok(Json(mailbox.counts(to.as_deref())))
}

async fn show(
    State(mailbox): State<Arc<Mailbox>>,
    Path(id): Path<String>,
) -> Result<Json<ParsedMail>, ServiceError> {
    find(&mailbox, &id).map(|mail| Json(ParsedMail::parse(&mail)))
}

async fn raw(
    State(mailbox): State<Arc<Mailbox>>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, ServiceError> {
    let mail = find(&mailbox, &id)?;
    // As plain text, so that a browser never renders the email's HTML, which could contain scripts.
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, mail.raw.clone()))
}

async fn clear(State(mailbox): State<Arc<Mailbox>>) -> StatusCode {
    mailbox.clear();
    StatusCode::NO_CONTENT
}

fn find(mailbox: &Mailbox, id: &str) -> Result<Arc<Mail>, ServiceError> {
    let found = id.parse().ok().and_then(|id| mailbox.find(id));
    found.ok_or_else(|| ServiceError::not_found("message"))
}
