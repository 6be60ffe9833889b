//! The inbox's pages: a list, and a mail as its recipient would see it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::find;
use super::parsed_mail::{MailSummary, ParsedMail};
use crate::error::ServiceError;
use crate::smtp::mailbox::{MailCounts, Mailbox};

const PAGE_LIMIT: usize = 100;

/// A mail's HTML is untrusted: no scripts, no forms, no external resources, and an opaque origin.
const MAIL_POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// The inbox's own pages have no scripts either.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'";

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    counts: MailCounts,
    mails: Vec<MailSummary>,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage {
    mail: ParsedMail,
}

pub(super) async fn list(State(mailbox): State<Arc<Mailbox>>) -> Response {
    let mails = mailbox.newest(None, PAGE_LIMIT);
    page(&InboxPage {
        counts: mailbox.counts(None),
        mails: mails.iter().map(|mail| MailSummary::new(mail)).collect(),
    })
}

pub(super) async fn mail(
    State(mailbox): State<Arc<Mailbox>>,
    Path(id): Path<String>,
) -> Result<Response, ServiceError> {
    let mail = find(&mailbox, &id)?;
    let mail = ParsedMail::parse(&mail);
    Ok(page(&MailPage { mail }))
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
) -> Result<impl IntoResponse, ServiceError> {
    let mail = find(&mailbox, &id)?;
    let html = ParsedMail::parse(&mail).html;
    let html = html.ok_or_else(|| ServiceError::not_found("HTML part"))?;
    let headers = [
        (header::CONTENT_SECURITY_POLICY, MAIL_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, Html(html)))
}
