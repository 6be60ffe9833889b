//! A mail server's URL, and opening a connection to it: greeting, TLS, authentication.

use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::Ehlo;
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use percent_encoding::percent_decode_str;
use reqwest::Url;
use tokio::net::TcpStream;

use super::{Connection, SmtpError};

/// How a connection is encrypted.
#[derive(Clone)]
enum Tls {
    Never,
    /// `STARTTLS`, if the server supports it.
    Opportunistic(TlsParameters),
    /// `STARTTLS` is mandatory.
    Required(TlsParameters),
    /// Implicit TLS.
    Wrapper(TlsParameters),
}

pub(super) struct Server {
    host: String,
    port: u16,
    tls: Tls,
    credentials: Option<Credentials>,
    hello: ClientId,
}

impl Server {
    /// The URLs are lettre's: `smtp://`, with `?tls=required` or `?tls=opportunistic`, and `smtps://`; the
    /// path is the client's name in the greeting.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let host = url.host_str()?.to_owned();
        let tls = url
            .query_pairs()
            .find(|(key, _)| key == "tls")
            .map(|(_, value)| value.into_owned());
        let parameters = || TlsParameters::new(host.clone()).ok();
        let (port, tls) = match (url.scheme(), tls.as_deref()) {
            ("smtp", None) => (SMTP_PORT, Tls::Never),
            ("smtp", Some("required")) => (SUBMISSION_PORT, Tls::Required(parameters()?)),
            ("smtp", Some("opportunistic")) => (SUBMISSION_PORT, Tls::Opportunistic(parameters()?)),
            ("smtps", _) => (SUBMISSIONS_PORT, Tls::Wrapper(parameters()?)),
            _ => return None,
        };
        let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
        let credentials = match url.password() {
            Some(password) => Some(Credentials::new(decoded(url.username())?, decoded(password)?)),
            None => None,
        };
        let hello = match url.path().trim_matches('/') {
            "" => ClientId::default(),
            name => ClientId::Domain(name.to_owned()),
        };
        Some(Self {
            port: url.port().unwrap_or(port),
            host,
            tls,
            credentials,
            hello,
        })
    }

    /// Opens a connection that is ready for emails.
    pub(super) async fn connect(&self) -> Result<Connection, SmtpError> {
        let host = self.host.trim_matches(['[', ']']);
        let mut smtp = match &self.tls {
            Tls::Wrapper(parameters) => {
                let parameters = Some(parameters.clone());
                AsyncSmtpConnection::connect_tokio1((host, self.port), None, &self.hello, parameters, None)
                    .await?
            }
            Tls::Never | Tls::Opportunistic(_) | Tls::Required(_) => {
                let stream = TcpStream::connect((host, self.port)).await?;
                // Commands are small, and each waits for its response.
                stream.set_nodelay(true)?;
                AsyncSmtpConnection::connect_with_transport(Box::new(stream), &self.hello).await?
            }
        };
        match &self.tls {
            Tls::Opportunistic(parameters) if smtp.can_starttls() => {
                smtp.starttls(parameters.clone(), &self.hello).await?;
            }
            // Fails if the server doesn't support it.
            Tls::Required(parameters) => smtp.starttls(parameters.clone(), &self.hello).await?,
            Tls::Never | Tls::Opportunistic(_) | Tls::Wrapper(_) => {}
        }
        if let Some(credentials) = &self.credentials {
            smtp.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        // lettre drops extensions that it doesn't use, so the greeting is repeated, once per connection.
        let greeted = smtp.command(Ehlo::new(self.hello.clone())).await?;
        let pipelines = greeted
            .message()
            .any(|line| line.trim().eq_ignore_ascii_case("PIPELINING"));
        Ok(Connection { smtp, pipelines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_give_port_and_encryption() {
        for (url, port) in [
            ("smtp://mail.example", 25),
            ("smtp://mail.example:8025", 8025),
            ("smtp://mail.example?tls=required", 587),
            ("smtps://shop:s%40cret@mail.example/shop.example", 465),
        ] {
            assert_eq!(Server::parse(url).map(|server| server.port), Some(port), "{url}");
        }
        for wrong in ["http://mail.example", "smtp://mail.example?tls=maybe", "mail"] {
            assert!(Server::parse(wrong).is_none(), "{wrong}");
        }
    }
}
