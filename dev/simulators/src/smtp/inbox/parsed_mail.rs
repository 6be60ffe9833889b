//! Parses a mail: headers, text, HTML and attachments, decoded.

use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use serde::Serialize;
use time::OffsetDateTime;

use crate::smtp::mailbox::Mail;

/// An entry of the list.
#[derive(Debug, Serialize)]
pub(super) struct MailSummary {
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

/// A parsed mail.
#[derive(Debug, Serialize)]
pub(super) struct ParsedMail {
    #[serde(flatten)]
    pub(super) summary: MailSummary,
    pub(super) headers: Vec<Header>,
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
    pub(super) attachments: Vec<Attachment>,
}

/// A raw header, unfolded.
#[derive(Debug, Serialize)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: String,
}

/// The description of an attachment. Its content is only in the raw mail.
#[derive(Debug, Serialize)]
pub(super) struct Attachment {
    pub(super) name: Option<String>,
    pub(super) content_type: String,
    pub(super) size_bytes: usize,
}

impl MailSummary {
    pub(super) fn new(mail: &Mail) -> Self {
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

impl ParsedMail {
    pub(super) fn parse(mail: &Mail) -> Self {
        let message = MessageParser::default().parse(&mail.raw);
        let Some(message) = message else {
            // The mail can't be parsed, so it is shown as text.
            return Self {
                summary: MailSummary::with_subject(mail, None),
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
            summary: MailSummary::with_subject(mail, message.subject()),
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

/// The first body of a kind. The parser's own look-up would convert between text and HTML when one is missing.
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
