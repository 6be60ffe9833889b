//! Persistent connections to the mail server, over which an email takes two round trips.
//!
//! lettre implements the protocol: it connects, greets, starts TLS, authenticates, formats commands and
//! parses responses. Its own pool, however, checks a connection (`NOOP`) before each email, and its `send`
//! waits for the response to each command, five round trips in all. Here a connection is used without a
//! check, and sender, recipient and `DATA` are pipelined if the server allows it (PIPELINING, RFC 2920). A
//! connection that the server has closed meanwhile fails before an email's text is sent, so the email is sent
//! over another.

mod server;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::Message;
use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::server::Server;

/// Idle connections are closed after this; servers close theirs after some minutes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why an email wasn't accepted.
#[derive(Debug, thiserror::Error)]
pub(super) enum SmtpError {
    /// An SMTP error, or a lost connection.
    #[error("{}", with_cause(.0))]
    Smtp(#[from] Error),
    /// Connecting failed.
    #[error("no connection: {0}")]
    Connect(#[from] std::io::Error),
    /// The email needs an extension that the server doesn't support.
    #[error("the server doesn't support {0}")]
    Unsupported(&'static str),
}

/// With its cause, which lettre's `Display` omits.
fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl SmtpError {
    /// Whether a retry would fail as well.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Smtp(error) => error.is_permanent(),
            Self::Connect(_) => false,
            Self::Unsupported(_) => true,
        }
    }

    /// Whether it is the server's response, not a lost connection.
    fn is_response(&self) -> bool {
        matches!(self, Self::Smtp(error) if error.status().is_some()) || matches!(self, Self::Unsupported(_))
    }
}

struct Connection {
    smtp: AsyncSmtpConnection,
    pipelines: bool,
}

impl Connection {
    /// Sends everything before the text: until then, no email was sent.
    async fn begin(&mut self, envelope: &Envelope, is_ascii: bool) -> Result<(), SmtpError> {
        let mut addresses = envelope.from().into_iter().chain(envelope.to());
        let are_ascii = addresses.all(|address| AsRef::<str>::as_ref(address).is_ascii());
        let mut parameters = Vec::new();
        for (is_needed, extension, parameter, what) in [
            (
                !are_ascii,
                Extension::SmtpUtfEight,
                MailParameter::SmtpUtfEight,
                "non-ASCII addresses",
            ),
            (
                !is_ascii,
                Extension::EightBitMime,
                MailParameter::Body(MailBodyParameter::EightBitMime),
                "non-ASCII texts",
            ),
        ] {
            if is_needed && !self.smtp.server_info().supports_feature(extension) {
                return Err(SmtpError::Unsupported(what));
            }
            if is_needed {
                parameters.push(parameter);
            }
        }
        let mut commands = vec![Mail::new(envelope.from().cloned(), parameters).to_string()];
        commands.extend(
            envelope
                .to()
                .iter()
                .map(|to| Rcpt::new(to.clone(), Vec::new()).to_string()),
        );
        commands.push(Data.to_string());
        if !self.pipelines {
            for command in commands {
                self.smtp.command(command).await?;
            }
            return Ok(());
        }
        // After a rejection the connection is discarded, so further responses needn't be read.
        self.smtp.command(commands.concat()).await?;
        for _ in &commands[1..] {
            self.smtp.read_response().await?;
        }
        Ok(())
    }

    /// Sends the text and its terminator, in one write.
    async fn finish(&mut self, text: &str) -> Result<(), SmtpError> {
        self.smtp.command(with_end(text)).await?;
        Ok(())
    }
}

/// Dot-stuffing: a leading dot is doubled, and a lone dot terminates the text (RFC 5321, 4.5.2).
fn with_end(text: &str) -> String {
    let mut wire = String::with_capacity(text.len() + 64);
    for line in text.split_inclusive("\r\n") {
        if line.starts_with('.') {
            wire.push('.');
        }
        wire.push_str(line);
    }
    if !wire.ends_with("\r\n") {
        wire.push_str("\r\n");
    }
    wire.push_str(".\r\n");
    wire
}

struct IdleConnection {
    connection: Connection,
    since: Instant,
}

/// A mail server with its connections.
pub(super) struct Smtp {
    server: Server,
    idle: Mutex<Vec<IdleConnection>>,
    /// Limits the connections in use.
    free: Semaphore,
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").finish_non_exhaustive()
    }
}

impl Smtp {
    /// Connects lazily. `None` for an invalid URL.
    pub(super) fn new(url: &str, connections: u32) -> Option<Self> {
        Some(Self {
            server: Server::parse(url)?,
            idle: Mutex::default(),
            free: Semaphore::new(connections as usize),
        })
    }

    /// Returns when the server has accepted the email.
    pub(super) async fn send(&self, message: &Message) -> Result<(), SmtpError> {
        let text = message.formatted();
        let text = String::from_utf8(text).map_err(|_| SmtpError::Unsupported("non-UTF-8 content"))?;
        let _permit = self.free.acquire().await.expect("it is never closed");
        let mut connection = self.ready(message.envelope(), text.is_ascii()).await?;
        connection.finish(&text).await?;
        self.return_idle(connection);
        Ok(())
    }

    /// A connection that waits for the text. Dropping it, also by cancellation, closes it.
    async fn ready(&self, envelope: &Envelope, is_ascii: bool) -> Result<Connection, SmtpError> {
        while let Some(mut connection) = self.take_idle() {
            match connection.begin(envelope, is_ascii).await {
                Ok(()) => return Ok(connection),
                Err(error) if error.is_permanent() => return Err(error),
                // The server closed the connection with a farewell while it was idle, which is read as this
                // response. A new connection decides.
                Err(error) if error.is_response() => break,
                // The server closed it while it was idle.
                Err(error) => tracing::debug!(%error, "an idle connection to the mail server was lost"),
            }
        }
        let mut connection = self.server.connect().await?;
        connection.begin(envelope, is_ascii).await?;
        Ok(connection)
    }

    /// The most recently used one, so that surplus connections reach their idle timeout.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < IDLE_TIMEOUT);
        idle.pop().map(|idle| idle.connection)
    }

    fn return_idle(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(IdleConnection {
            connection,
            since: Instant::now(),
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn dots_are_stuffed_and_the_terminator_is_a_lone_dot() {
        assert_eq!(with_end(".a\r\n.\r\nb."), "..a\r\n..\r\nb.\r\n.\r\n");
        assert_eq!(with_end("a\r\n"), "a\r\n.\r\n");
    }

    fn message() -> Message {
        Message::builder()
            .from("shop@example.org".parse().unwrap())
            .to("ada@example.org".parse().unwrap())
            .subject("Hello")
            .body("Hello\r\n.dot".to_owned())
            .unwrap()
    }

    /// A server that accepts this many emails per connection, and reports the commands of each read.
    async fn server(
        extension: &'static str,
        mails: usize,
    ) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let (read, reads) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = BufReader::new(stream);
                stream.write_all(b"220 ready\r\n").await.unwrap();
                let mut accepted = 0;
                while accepted < mails {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap() == 0 {
                        break;
                    }
                    let command = line.split([' ', '\r']).next().unwrap().to_owned();
                    let _ = read.send(format!(
                        "{command}{}",
                        if stream.buffer().is_empty() { "" } else { "+" }
                    ));
                    let reply = match command.as_str() {
                        "EHLO" => format!("250-mail.example\r\n250 {extension}\r\n"),
                        "DATA" => "354 go on\r\n".to_owned(),
                        _ => "250 ok\r\n".to_owned(),
                    };
                    stream.write_all(reply.as_bytes()).await.unwrap();
                    if command == "DATA" {
                        while line != ".\r\n" {
                            line.clear();
                            stream.read_line(&mut line).await.unwrap();
                        }
                        stream.write_all(b"250 accepted\r\n").await.unwrap();
                        accepted += 1;
                    }
                }
            }
        });
        (url, reads)
    }

    async fn sent(extension: &'static str, mails: usize) -> Vec<String> {
        let (url, mut reads) = server(extension, mails).await;
        let smtp = Smtp::new(&url, 1).unwrap();
        for _ in 0..2 {
            smtp.send(&message()).await.unwrap();
        }
        let mut all = Vec::new();
        while let Ok(read) = reads.try_recv() {
            all.push(read);
        }
        all
    }

    #[tokio::test]
    async fn an_email_takes_one_write_for_its_commands_and_one_for_its_text_over_an_open_connection() {
        // `+` marks that further bytes arrived in the same read.
        let sent = sent("PIPELINING", 100).await;
        assert_eq!(sent[..2], ["EHLO", "EHLO"]);
        assert_eq!(sent[2..], ["MAIL+", "RCPT+", "DATA", "MAIL+", "RCPT+", "DATA"]);
    }

    #[tokio::test]
    async fn a_server_that_does_not_pipeline_gets_one_command_at_a_time() {
        let sent = sent("8BITMIME", 100).await;
        assert_eq!(sent[2..], ["MAIL", "RCPT", "DATA", "MAIL", "RCPT", "DATA"]);
    }

    #[tokio::test]
    async fn a_connection_that_the_server_closed_is_replaced() {
        let sent = sent("PIPELINING", 1).await;
        let greetings = sent.iter().filter(|command| *command == "EHLO").count();
        assert_eq!(greetings, 4, "{sent:?}");
    }
}
