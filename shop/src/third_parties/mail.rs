//! The client of the mail server: sends the mails of `emails/` over SMTP (`smtp.rs`).
//!
//! SMTP has no idempotency key: a message whose response was lost is delivered twice when it is sent again.
//! Each email has a `Message-ID` derived from its cause, so that mailboxes can detect duplicates.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use lettre::message::{Mailbox, MultiPart};
use lettre::{AsyncSmtpTransport, Message, Tokio1Executor};
use platform::settings::parse_millis;
use platform::telemetry::ThirdPartyCall;
use secrecy::{ExposeSecret, SecretString};

use super::smtp::Smtp;
use crate::emails::Email;

/// How to reach the mail server.
#[derive(Debug, Clone, Args)]
pub struct MailSettings {
    /// The mail server, for example smtp://127.0.0.1:8025 or smtps://shop:secret@mail.example:465
    #[arg(
        long,
        env = "BACKSTOCK_SMTP_URL",
        default_value = "smtp://127.0.0.1:8025",
        hide_env_values = true,
        value_parser = parse_smtp_url
    )]
    pub smtp_url: SecretString,

    /// How long sending one email may take, in milliseconds
    #[arg(long = "smtp-timeout-ms", env = "BACKSTOCK_SMTP_TIMEOUT_MS", default_value = "10000",
          value_parser = parse_millis)]
    pub smtp_timeout: Duration,

    /// Connections to the mail server, which are kept open; further emails wait for one. Emails per second =
    /// connections / seconds that the server takes for one: 32 connections send 600 at 0.05 s. Bounded by
    /// what the server allows a client
    #[arg(long, env = "BACKSTOCK_SMTP_CONNECTIONS", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub smtp_connections: u32,

    /// The sender of the shop's emails
    #[arg(
        long,
        env = "BACKSTOCK_MAIL_FROM",
        default_value = "Backstock <orders@backstock.example>"
    )]
    pub mail_from: Mailbox,
}

/// The URL can't be used.
#[derive(Debug, thiserror::Error)]
#[error("BACKSTOCK_SMTP_URL is not the URL of a mail server; an example: smtp://127.0.0.1:8025")]
pub struct MailUrlError;

fn parse_smtp_url(text: &str) -> Result<SecretString, String> {
    let usable = AsyncSmtpTransport::<Tokio1Executor>::from_url(text);
    usable.map_err(|_| "must be a URL of a mail server, for example smtp://127.0.0.1:8025".to_owned())?;
    Ok(text.into())
}

/// Why an email was not sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The address is invalid, or the server rejected the email permanently.
    #[error("the email can't be sent: {0}")]
    Rejected(String),
    /// No connection, no response, or a transient fault. If the response was lost, the email
    /// may have been sent.
    #[error("the mail server is unavailable: {0}")]
    Unavailable(String),
}

/// The mail server's client. Cheap to clone; all clones share its connections.
#[derive(Debug, Clone)]
pub struct Mailer {
    smtp: Arc<Smtp>,
    timeout: Duration,
    from: Mailbox,
}

impl Mailer {
    /// Builds the client, without connecting.
    ///
    /// # Errors
    /// When the URL can't be used. The message doesn't repeat it, because it may contain a password.
    pub fn new(settings: &MailSettings) -> Result<Self, MailUrlError> {
        let url = settings.smtp_url.expose_secret();
        let smtp = Smtp::new(url, settings.smtp_connections).ok_or(MailUrlError)?;
        Ok(Self {
            smtp: Arc::new(smtp),
            timeout: settings.smtp_timeout,
            from: settings.mail_from.clone(),
        })
    }

    /// The time limit of [`Mailer::send`].
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends an email. `cause` identifies why, in letters, digits, `.` and `-`: the same cause
    /// gives the same `Message-ID`.
    ///
    /// # Errors
    /// When it was rejected, or the outcome is unknown.
    pub async fn send(&self, to: &str, cause: &str, email: &Email) -> Result<(), MailError> {
        let to: Mailbox = to
            .parse()
            .map_err(|error| MailError::Rejected(format!("the address is invalid: {error}")))?;
        let message_id = format!("<{cause}@{}>", self.from.email.domain());
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .message_id(Some(message_id))
            .subject(&email.subject)
            .multipart(MultiPart::alternative_plain_html(
                email.text.clone(),
                email.html.clone(),
            ))
            .map_err(|error| MailError::Rejected(error.to_string()))?;
        // Bounds all commands together, and the wait for a connection.
        let call = ThirdPartyCall::start("mail", "send");
        let sent = match tokio::time::timeout(self.timeout, self.smtp.send(&message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.is_permanent() => Err(MailError::Rejected(error.to_string())),
            Ok(Err(error)) => Err(MailError::Unavailable(error.to_string())),
            Err(_) => Err(MailError::Unavailable(format!(
                "no response within {:?}",
                self.timeout
            ))),
        };
        call.finish(match &sent {
            Ok(()) => "ok",
            Err(MailError::Rejected(_)) => "refused",
            Err(MailError::Unavailable(_)) => "unknown",
        });
        sent
    }
}
