//! One SMTP connection (RFC 5321), with PIPELINING, SIZE, 8BITMIME, SMTPUTF8 and ENHANCEDSTATUSCODES.
//!
//! It has no TLS and no authentication, because it listens on loopback. Faults are injected into the reply to the final
//! dot, where the server takes responsibility for the mail. Read next: `lines.rs`.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::watch;
use tokio::time::Instant;

use super::MailSink;
use super::lines::{Command, read_command, read_mail};
use super::mailbox::Envelope;
use super::prompt_ack::PromptAck;
use crate::fault_injection::{Outcome, wait_until};
use crate::server;

/// RFC 5321, 4.5.3.2.7.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// The minimum of RFC 5321, 4.5.3.1.8.
const MAX_RECIPIENTS: usize = 100;

/// RFC 5321, 4.5.3.1.3.
const MAX_ADDRESS_BYTES: usize = 256;

/// After this many rejected commands the connection is closed.
const MAX_ERRORS: u32 = 50;

struct SmtpConnection<'a> {
    sink: &'a MailSink,
    reader: BufReader<PromptAck>,
    writer: OwnedWriteHalf,
    /// Buffered replies; those to pipelined commands are sent together.
    replies: Vec<u8>,
    has_greeted: bool,
    sender: Option<String>,
    recipients: Vec<String>,
    errors: u32,
}

/// What to do with the connection after a command.
enum NextStep {
    Continue,
    Close,
}

/// Serves until the client disconnects or shutdown is requested.
pub(super) async fn serve(
    stream: TcpStream,
    sink: &MailSink,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    let mut connection = SmtpConnection {
        sink,
        reader: BufReader::new(PromptAck(reader)),
        writer,
        replies: Vec::new(),
        has_greeted: false,
        sender: None,
        recipients: Vec::new(),
        errors: 0,
    };
    connection.reply("220 simulators.invalid ESMTP");
    loop {
        if connection.reader.buffer().is_empty() {
            connection.flush().await?;
        }
        let line = tokio::select! {
            line = tokio::time::timeout(IDLE_TIMEOUT, read_command(&mut connection.reader)) => match line {
                Ok(line) => line?,
                Err(_) => {
                    connection.reply("421 4.4.2 idle for too long");
                    return connection.flush().await;
                }
            },
            _ = server::shutdown_requested(&mut shutdown) => {
                connection.reply("421 4.3.2 the server is shutting down");
                return connection.flush().await;
            }
        };
        let next = match line {
            Command::Line(line) => connection.handle_command(&line).await?,
            Command::TooLong => connection.reject("500 5.5.6 the line is too long"),
            Command::End => NextStep::Close,
        };
        if let NextStep::Close = next {
            return connection.flush().await;
        }
    }
}

impl SmtpConnection<'_> {
    fn reply(&mut self, line: &str) {
        self.replies.extend_from_slice(line.as_bytes());
        self.replies.extend_from_slice(b"\r\n");
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.replies.is_empty() {
            self.writer.write_all(&self.replies).await?;
            self.replies.clear();
        }
        Ok(())
    }

    fn accept(&mut self, line: &str) -> NextStep {
        self.reply(line);
        NextStep::Continue
    }

    fn reject(&mut self, line: &str) -> NextStep {
        self.errors += 1;
        if self.errors > MAX_ERRORS {
            self.reply("421 4.7.0 too many errors");
            return NextStep::Close;
        }
        self.reply(line);
        NextStep::Continue
    }

    fn reset_mail(&mut self) {
        self.sender = None;
        self.recipients.clear();
    }

    async fn handle_command(&mut self, line: &[u8]) -> io::Result<NextStep> {
        let Ok(line) = std::str::from_utf8(line) else {
            return Ok(self.reject("500 5.5.2 a command must be UTF-8"));
        };
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let next = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => self.greet(rest, true),
            "HELO" => self.greet(rest, false),
            "MAIL" => self.set_sender(rest),
            "RCPT" => self.add_recipient(rest),
            "DATA" => return self.receive_mail(rest).await,
            "RSET" => {
                self.reset_mail();
                self.accept("250 2.0.0 reset")
            }
            "NOOP" => self.accept("250 2.0.0 ok"),
            "VRFY" => self.accept("252 2.1.5 every address is accepted"),
            "HELP" => self.accept("214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP VRFY QUIT"),
            "QUIT" => {
                self.reply("221 2.0.0 good bye");
                NextStep::Close
            }
            "STARTTLS" | "AUTH" | "BDAT" | "EXPN" => self.reject("502 5.5.1 not implemented"),
            _ => self.reject("500 5.5.1 unknown command"),
        };
        Ok(next)
    }

    fn greet(&mut self, client: &str, is_extended: bool) -> NextStep {
        if client.trim().is_empty() {
            return self.reject("501 5.5.4 a client name is required");
        }
        self.reset_mail();
        self.has_greeted = true;
        if !is_extended {
            return self.accept("250 simulators.invalid");
        }
        let size = format!("250 SIZE {}", self.sink.max_mail_bytes);
        for line in [
            "250-simulators.invalid",
            "250-PIPELINING",
            "250-8BITMIME",
            "250-SMTPUTF8",
            "250-ENHANCEDSTATUSCODES",
        ] {
            self.reply(line);
        }
        self.accept(&size)
    }

    fn set_sender(&mut self, rest: &str) -> NextStep {
        if !self.has_greeted {
            return self.reject("503 5.5.1 EHLO or HELO first");
        }
        if self.sender.is_some() {
            return self.reject("503 5.5.1 the sender is already set");
        }
        let Some((address, parameters)) = parse_path("FROM:", rest) else {
            return self.reject("501 5.5.4 expected MAIL FROM:<address>");
        };
        // Bounces have an empty sender.
        if !address.is_empty() && !is_address(address) {
            return self.reject("501 5.1.7 the sender is not an address");
        }
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.to_ascii_uppercase().as_str() {
                "BODY" | "SMTPUTF8" => {}
                "SIZE" => match value.parse::<usize>() {
                    Ok(size) if size <= self.sink.max_mail_bytes => {}
                    Ok(_) => return self.reject("552 5.3.4 the mail is too large"),
                    Err(_) => return self.reject("501 5.5.4 SIZE must be a number of bytes"),
                },
                _ => return self.reject("555 5.5.4 unknown parameter"),
            }
        }
        self.sender = Some(address.to_owned());
        self.accept("250 2.1.0 sender accepted")
    }

    fn add_recipient(&mut self, rest: &str) -> NextStep {
        if self.sender.is_none() {
            return self.reject("503 5.5.1 MAIL first");
        }
        let Some((address, parameters)) = parse_path("TO:", rest) else {
            return self.reject("501 5.5.4 expected RCPT TO:<address>");
        };
        if !parameters.trim().is_empty() {
            return self.reject("555 5.5.4 unknown parameter");
        }
        if !is_address(address) && !address.eq_ignore_ascii_case("postmaster") {
            return self.reject("501 5.1.3 the recipient is not an address");
        }
        if self.recipients.len() >= MAX_RECIPIENTS {
            return self.reject("452 4.5.3 too many recipients");
        }
        self.recipients.push(address.to_owned());
        self.accept("250 2.1.5 recipient accepted")
    }

    async fn receive_mail(&mut self, rest: &str) -> io::Result<NextStep> {
        if !rest.trim().is_empty() {
            return Ok(self.reject("501 5.5.4 DATA has no parameters"));
        }
        if self.recipients.is_empty() {
            return Ok(self.reject("503 5.5.1 RCPT first"));
        }
        self.reply("354 end with a dot on a line by itself");
        self.flush().await?;
        let reading = read_mail(&mut self.reader, self.sink.max_mail_bytes);
        let Ok(read) = tokio::time::timeout(IDLE_TIMEOUT, reading).await else {
            self.reply("421 4.4.2 the mail took too long");
            return Ok(NextStep::Close);
        };
        let envelope = Envelope {
            from: self.sender.take().unwrap_or_default(),
            to: std::mem::take(&mut self.recipients),
        };
        let Some(raw) = read? else {
            return Ok(self.reject("552 5.3.4 the mail is too large"));
        };
        Ok(self.deliver(envelope, raw).await)
    }

    /// Stores the mail at once and delays the reply, like the HTTP services.
    async fn deliver(&mut self, envelope: Envelope, raw: Vec<u8>) -> NextStep {
        let arrived = Instant::now();
        let injection = self.sink.service.next_injection();
        let stored = match injection.outcome {
            Outcome::Answered | Outcome::LostResponse => {
                let is_answered = injection.outcome == Outcome::Answered;
                Some(self.sink.mailbox.insert(envelope, raw, is_answered))
            }
            Outcome::Error | Outcome::LostRequest => None,
        };
        wait_until(arrived, injection.delay).await;
        match (injection.outcome, stored) {
            (Outcome::Answered, Some(id)) => self.accept(&format!("250 2.0.0 accepted as {id}")),
            (Outcome::Error, _) => self.accept("451 4.3.0 a simulated failure; nothing was done"),
            _ => NextStep::Close,
        }
    }
}

/// The path between `<` and `>`, and the parameters behind it.
fn parse_path<'a>(keyword: &str, rest: &'a str) -> Option<(&'a str, &'a str)> {
    let rest = rest.trim_start();
    let named = rest.get(..keyword.len())?;
    if !named.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let path = rest[keyword.len()..].trim_start().strip_prefix('<')?;
    path.split_once('>')
}

fn is_address(text: &str) -> bool {
    let is_clean = !text
        .chars()
        .any(|character| character.is_control() || character.is_whitespace());
    let has_parts = text
        .rsplit_once('@')
        .is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty());
    is_clean && has_parts && text.len() <= MAX_ADDRESS_BYTES
}
