//! A mail read apart: headers, text, HTML and attachments, with their encodings undone.

use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use serde::Serialize;
use time::OffsetDateTime;

use crate::smtp::mailbox::Mail;

/// A line of the list.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) id: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) received_at: OffsetDateTime,
    /// Of the envelope.
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) subject: String,
    pub(super) size_bytes: usize,
    pub(super) answered: bool,
}

/// A whole mail.
#[derive(Debug, Serialize)]
pub(super) struct Letter {
    #[serde(flatten)]
    pub(super) summary: Summary,
    pub(super) headers: Vec<Header>,
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
    pub(super) attachments: Vec<Attachment>,
}

/// A header as it was written, unfolded.
#[derive(Debug, Serialize)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: String,
}

/// What is attached; its bytes are in the raw mail only.
#[derive(Debug, Serialize)]
pub(super) struct Attachment {
    pub(super) name: Option<String>,
    pub(super) content_type: String,
    pub(super) size_bytes: usize,
}

impl Summary {
    pub(super) fn of(mail: &Mail) -> Self {
        let headers = MessageParser::default().parse_headers(&mail.raw);
        Self::with_subject(mail, headers.as_ref().and_then(|message| message.subject()))
    }

    fn with_subject(mail: &Mail, subject: Option<&str>) -> Self {
        Self {
            id: mail.id,
            received_at: mail.received_at,
            from: mail.envelope.from.clone(),
            to: mail.envelope.to.clone(),
            subject: subject.unwrap_or_default().to_owned(),
            size_bytes: mail.raw.len(),
            answered: mail.is_answered,
        }
    }
}

impl Letter {
    pub(super) fn of(mail: &Mail) -> Self {
        let message = MessageParser::default().parse(&mail.raw);
        let Some(message) = message else {
            // No headers at all: what can be said is said.
            return Self {
                summary: Summary::with_subject(mail, None),
                headers: Vec::new(),
                text: Some(String::from_utf8_lossy(&mail.raw).into_owned()),
                html: None,
                attachments: Vec::new(),
            };
        };
        let headers = message.headers_raw().map(|(name, value)| Header {
            name: name.to_owned(),
            value: value.split_whitespace().collect::<Vec<_>>().join(" "),
        });
        Self {
            summary: Summary::with_subject(mail, message.subject()),
            headers: headers.collect(),
            text: body(&message, |part| match part {
                PartType::Text(text) => Some(text),
                _ => None,
            }),
            html: body(&message, |part| match part {
                PartType::Html(html) => Some(html),
                _ => None,
            }),
            attachments: message.attachments().map(attachment).collect(),
        }
    }
}

/// The first body of a kind. The parser's own look-up would turn one kind into the other where one is missing.
fn body<'x>(
    message: &'x Message<'x>,
    of_kind: impl Fn(&'x PartType<'x>) -> Option<&'x std::borrow::Cow<'x, str>>,
) -> Option<String> {
    let mut bodies = message.text_bodies().chain(message.html_bodies());
    bodies
        .find_map(|part| of_kind(&part.body))
        .map(|text| text.to_string())
}

fn attachment(part: &mail_parser::MessagePart<'_>) -> Attachment {
    let content_type = part.content_type().map_or_else(
        || "application/octet-stream".to_owned(),
        |content_type| match content_type.subtype() {
            Some(subtype) => format!("{}/{subtype}", content_type.ctype()),
            None => content_type.ctype().to_owned(),
        },
    );
    Attachment {
        name: part.attachment_name().map(str::to_owned),
        content_type,
        size_bytes: part.contents().len(),
    }
}
