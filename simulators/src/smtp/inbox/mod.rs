//! What arrived, for programs (`/messages`) and for people (`/`).
//!
//! Mails are read apart when someone asks, so that taking one costs no more than its bytes. Read next: `letter.rs`.

mod letter;
mod pages;

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use self::letter::{Letter, Summary};
use super::SmtpConduct;
use super::mailbox::{Counts, Mail, Mailbox};
use crate::conduct::{self, Party};
use crate::refusal::Refusal;

/// The longest list.
const LARGEST_LIMIT: usize = 1_000;

/// Of a list that nobody asked to be shorter or longer.
const DEFAULT_LIMIT: usize = 20;

/// The inbox's routes, with the mail server's `/control` beside them.
pub fn router(mailbox: Arc<Mailbox>, party: Arc<Party<SmtpConduct>>) -> Router {
    Router::new()
        .route("/", get(pages::list))
        .route("/mail/{id}", get(pages::mail))
        .route("/messages", get(list).delete(clear))
        .route("/messages/count", get(count))
        .route("/messages/{id}", get(show))
        .route("/messages/{id}/html", get(pages::html))
        .route("/messages/{id}/raw", get(raw))
        .with_state(mailbox)
        .merge(conduct::routes(party))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    to: Option<String>,
    limit: Option<usize>,
}

async fn list(
    State(mailbox): State<Arc<Mailbox>>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let Query(Filter { to, limit }) = filter?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=LARGEST_LIMIT).contains(&limit) {
        return Err(Refusal::invalid(format!("`limit` must be 1 to {LARGEST_LIMIT}")));
    }
    let mails = mailbox.newest(to.as_deref(), limit);
    let items: Vec<Summary> = mails.iter().map(|mail| Summary::of(mail)).collect();
    Ok(Json(json!({ "items": items })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Addressee {
    to: Option<String>,
}

async fn count(
    State(mailbox): State<Arc<Mailbox>>,
    addressee: Result<Query<Addressee>, QueryRejection>,
) -> Result<Json<Counts>, Refusal> {
    let Query(Addressee { to }) = addressee?;
    Ok(Json(mailbox.counts(to.as_deref())))
}

async fn show(State(mailbox): State<Arc<Mailbox>>, Path(id): Path<String>) -> Result<Json<Letter>, Refusal> {
    find(&mailbox, &id).map(|mail| Json(Letter::of(&mail)))
}

async fn raw(
    State(mailbox): State<Arc<Mailbox>>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Refusal> {
    let mail = find(&mailbox, &id)?;
    // As text: a browser shall not run what strangers wrote.
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

fn find(mailbox: &Mailbox, id: &str) -> Result<Arc<Mail>, Refusal> {
    let found = id.parse().ok().and_then(|id| mailbox.find(id));
    found.ok_or_else(|| Refusal::not_found("message"))
}
