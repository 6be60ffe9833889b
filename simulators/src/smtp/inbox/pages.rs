//! The inbox for people: a list, and a mail as its reader would see it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::find;
use super::letter::{Letter, Summary};
use crate::refusal::Refusal;
use crate::smtp::mailbox::{Counts, Mailbox};

/// How many mails the page lists.
const LISTED: usize = 100;

/// A mail's HTML is a stranger's: no script, no form, nothing loaded from anywhere, an origin of its own.
const MAIL_POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// Our own pages run no script either.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'";

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    counts: Counts,
    mails: Vec<Summary>,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage {
    letter: Letter,
}

pub(super) async fn list(State(mailbox): State<Arc<Mailbox>>) -> Response {
    let mails = mailbox.newest(None, LISTED);
    page(&InboxPage {
        counts: mailbox.counts(None),
        mails: mails.iter().map(|mail| Summary::of(mail)).collect(),
    })
}

pub(super) async fn mail(
    State(mailbox): State<Arc<Mailbox>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let mail = find(&mailbox, &id)?;
    let letter = Letter::of(&mail);
    Ok(page(&MailPage { letter }))
}

fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => ([(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)], Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page can't be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

pub(super) async fn html(
    State(mailbox): State<Arc<Mailbox>>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Refusal> {
    let mail = find(&mailbox, &id)?;
    let html = Letter::of(&mail).html;
    let html = html.ok_or_else(|| Refusal::not_found("HTML part"))?;
    let headers = [
        (header::CONTENT_SECURITY_POLICY, MAIL_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, Html(html)))
}
