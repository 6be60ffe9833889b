//! The mail server: sends what `emails/` writes, over SMTP (`smtp.rs`).
//!
//! SMTP knows no idempotency key. Once the server has taken a message it is sent, even when its answer is lost; sent
//! again, it arrives twice. Each email has a `Message-ID` that is made of what caused it, by which mailboxes that look
//! for twins know one.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use lettre::message::{Mailbox, MultiPart};
use lettre::{AsyncSmtpTransport, Message, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};

use super::smtp::Smtp;
use crate::emails::Email;
use crate::settings::parse_millis;
use crate::telemetry::ThirdParty;

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

    /// How long the mail server may take over one email, in milliseconds
    #[arg(long = "smtp-timeout-ms", env = "BACKSTOCK_SMTP_TIMEOUT_MS", default_value = "10000",
          value_parser = parse_millis)]
    pub smtp_timeout: Duration,

    /// Connections to the mail server, which are kept open; further emails wait for one. Emails a second × the seconds that
    /// the server takes for one: 32 are 600 with 0.05 s. Bounded by what it allows a client
    #[arg(long, env = "BACKSTOCK_SMTP_CONNECTIONS", default_value_t = 32,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub smtp_connections: u32,

    /// Who the shop's emails are from
    #[arg(
        long,
        env = "BACKSTOCK_MAIL_FROM",
        default_value = "Backstock <orders@backstock.example>"
    )]
    pub mail_from: Mailbox,
}

/// Settings of which no client can be made.
#[derive(Debug, thiserror::Error)]
#[error("BACKSTOCK_SMTP_URL is no URL of a mail server; an example: smtp://127.0.0.1:8025")]
pub struct MailUrlError;

fn parse_smtp_url(text: &str) -> Result<SecretString, String> {
    let usable = AsyncSmtpTransport::<Tokio1Executor>::from_url(text);
    usable.map_err(|_| "must be a URL of a mail server, for example smtp://127.0.0.1:8025".to_owned())?;
    Ok(text.into())
}

/// Why an email was not sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// It is no address, or the server will not have it, however often it is asked.
    #[error("the email can't be sent: {0}")]
    Refused(String),
    /// No server, no answer, or a passing fault. It may have been sent when the answer was lost.
    #[error("the mail server gave no answer: {0}")]
    Unavailable(String),
}

/// The mail server's client.
#[derive(Debug, Clone)]
pub struct Mailer {
    smtp: Arc<Smtp>,
    timeout: Duration,
    from: Mailbox,
}

impl Mailer {
    /// Builds the client. Connects to nothing yet.
    ///
    /// # Errors
    /// When the URL can't be used. The message doesn't repeat it: it may hold a password.
    pub fn new(settings: &MailSettings) -> Result<Self, MailUrlError> {
        let url = settings.smtp_url.expose_secret();
        let smtp = Smtp::new(url, settings.smtp_connections).ok_or(MailUrlError)?;
        Ok(Self {
            smtp: Arc::new(smtp),
            timeout: settings.smtp_timeout,
            from: settings.mail_from.clone(),
        })
    }

    /// How long [`Mailer::send`] takes at most.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends an email. `cause` is what it is sent for, in letters, digits, `.` and `-`: the same cause gives the same
    /// `Message-ID`.
    ///
    /// # Errors
    /// When it was refused, or when nobody knows.
    pub async fn send(&self, to: &str, cause: &str, email: &Email) -> Result<(), MailError> {
        let to: Mailbox = to
            .parse()
            .map_err(|error| MailError::Refused(format!("the address is unusable: {error}")))?;
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
            .map_err(|error| MailError::Refused(error.to_string()))?;
        // It bounds all commands together, and the wait for a connection.
        let call = ThirdParty::called("mail", "send");
        let sent = match tokio::time::timeout(self.timeout, self.smtp.send(&message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.is_permanent() => Err(MailError::Refused(error.to_string())),
            Ok(Err(error)) => Err(MailError::Unavailable(error.to_string())),
            Err(_) => Err(MailError::Unavailable(format!("none within {:?}", self.timeout))),
        };
        call.ended(match &sent {
            Ok(()) => "ok",
            Err(MailError::Refused(_)) => "refused",
            Err(MailError::Unavailable(_)) => "unknown",
        });
        sent
    }
}
