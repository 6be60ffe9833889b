//! One conversation of SMTP (RFC 5321), with PIPELINING, SIZE, 8BITMIME, SMTPUTF8 and ENHANCEDSTATUSCODES.
//!
//! It offers neither TLS nor sign-in: it listens on loopback. Latency and failures take effect where a mail changes
//! hands, at the answer to its lone dot. Read next: `lines.rs`.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Sink;
use super::lines::{Line, read_command, read_mail};
use super::mailbox::Envelope;
use super::prompt_ack::PromptAck;
use crate::conduct::{Fate, wait_until};
use crate::server;

/// How long a client may be silent: RFC 5321, 4.5.3.2.7.
const SILENCE: Duration = Duration::from_secs(300);

/// RFC 5321, 4.5.3.1.8, asks for at least as many.
const MOST_RECIPIENTS: usize = 100;

/// RFC 5321, 4.5.3.1.3.
const LONGEST_ADDRESS_BYTES: usize = 256;

/// A client that makes more mistakes than this is no mail client.
const MOST_MISTAKES: u32 = 50;

struct Session<'a> {
    sink: &'a Sink,
    reader: BufReader<PromptAck>,
    writer: OwnedWriteHalf,
    /// Answers that are not sent yet: those of pipelined commands go together.
    answers: Vec<u8>,
    is_greeted: bool,
    sender: Option<String>,
    recipients: Vec<String>,
    mistakes: u32,
}

/// Whether the conversation goes on.
enum Next {
    Listen,
    HangUp,
}

/// Talks until the client goes, or the process stops.
pub(super) async fn converse(
    stream: TcpStream,
    sink: &Sink,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    let mut session = Session {
        sink,
        reader: BufReader::new(PromptAck(reader)),
        writer,
        answers: Vec::new(),
        is_greeted: false,
        sender: None,
        recipients: Vec::new(),
        mistakes: 0,
    };
    session.answer("220 simulators.invalid ESMTP");
    loop {
        if session.reader.buffer().is_empty() {
            session.flush().await?;
        }
        let line = tokio::select! {
            line = tokio::time::timeout(SILENCE, read_command(&mut session.reader)) => match line {
                Ok(line) => line?,
                Err(_) => {
                    session.answer("421 4.4.2 nothing was said for too long");
                    return session.flush().await;
                }
            },
            _ = server::until_stopped(&mut stopped) => {
                session.answer("421 4.3.2 the server stops");
                return session.flush().await;
            }
        };
        let next = match line {
            Line::Command(line) => session.obey(&line).await?,
            Line::TooLong => session.refuse("500 5.5.6 the line is too long"),
            Line::End => Next::HangUp,
        };
        if let Next::HangUp = next {
            return session.flush().await;
        }
    }
}

impl Session<'_> {
    fn answer(&mut self, line: &str) {
        self.answers.extend_from_slice(line.as_bytes());
        self.answers.extend_from_slice(b"\r\n");
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.answers.is_empty() {
            self.writer.write_all(&self.answers).await?;
            self.answers.clear();
        }
        Ok(())
    }

    fn accept(&mut self, line: &str) -> Next {
        self.answer(line);
        Next::Listen
    }

    fn refuse(&mut self, line: &str) -> Next {
        self.mistakes += 1;
        if self.mistakes > MOST_MISTAKES {
            self.answer("421 4.7.0 too many mistakes");
            return Next::HangUp;
        }
        self.answer(line);
        Next::Listen
    }

    fn forget_mail(&mut self) {
        self.sender = None;
        self.recipients.clear();
    }

    async fn obey(&mut self, line: &[u8]) -> io::Result<Next> {
        let Ok(line) = std::str::from_utf8(line) else {
            return Ok(self.refuse("500 5.5.2 a command must be UTF-8"));
        };
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let next = match verb.to_ascii_uppercase().as_str() {
            "EHLO" => self.greet(rest, true),
            "HELO" => self.greet(rest, false),
            "MAIL" => self.take_sender(rest),
            "RCPT" => self.take_recipient(rest),
            "DATA" => return self.take_mail(rest).await,
            "RSET" => {
                self.forget_mail();
                self.accept("250 2.0.0 forgotten")
            }
            "NOOP" => self.accept("250 2.0.0 nothing done"),
            "VRFY" => self.accept("252 2.1.5 send it and it will be taken"),
            "HELP" => self.accept("214 2.0.0 EHLO HELO MAIL RCPT DATA RSET NOOP VRFY QUIT"),
            "QUIT" => {
                self.answer("221 2.0.0 good bye");
                Next::HangUp
            }
            "STARTTLS" | "AUTH" | "BDAT" | "EXPN" => self.refuse("502 5.5.1 not offered here"),
            _ => self.refuse("500 5.5.1 unknown command"),
        };
        Ok(next)
    }

    fn greet(&mut self, client: &str, is_extended: bool) -> Next {
        if client.trim().is_empty() {
            return self.refuse("501 5.5.4 say who you are");
        }
        self.forget_mail();
        self.is_greeted = true;
        if !is_extended {
            return self.accept("250 simulators.invalid");
        }
        let size = format!("250 SIZE {}", self.sink.largest_mail_bytes);
        for line in [
            "250-simulators.invalid",
            "250-PIPELINING",
            "250-8BITMIME",
            "250-SMTPUTF8",
            "250-ENHANCEDSTATUSCODES",
        ] {
            self.answer(line);
        }
        self.accept(&size)
    }

    fn take_sender(&mut self, rest: &str) -> Next {
        if !self.is_greeted {
            return self.refuse("503 5.5.1 greet first");
        }
        if self.sender.is_some() {
            return self.refuse("503 5.5.1 there is a sender already");
        }
        let Some((address, parameters)) = path("FROM:", rest) else {
            return self.refuse("501 5.5.4 expected MAIL FROM:<address>");
        };
        // The empty address is that of a bounce.
        if !address.is_empty() && !is_address(address) {
            return self.refuse("501 5.1.7 the sender is no address");
        }
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.to_ascii_uppercase().as_str() {
                "BODY" | "SMTPUTF8" => {}
                "SIZE" => match value.parse::<usize>() {
                    Ok(size) if size <= self.sink.largest_mail_bytes => {}
                    Ok(_) => return self.refuse("552 5.3.4 the mail is too large"),
                    Err(_) => return self.refuse("501 5.5.4 SIZE must be a number of bytes"),
                },
                _ => return self.refuse("555 5.5.4 unknown parameter"),
            }
        }
        self.sender = Some(address.to_owned());
        self.accept("250 2.1.0 sender taken")
    }

    fn take_recipient(&mut self, rest: &str) -> Next {
        if self.sender.is_none() {
            return self.refuse("503 5.5.1 a sender first");
        }
        let Some((address, parameters)) = path("TO:", rest) else {
            return self.refuse("501 5.5.4 expected RCPT TO:<address>");
        };
        if !parameters.trim().is_empty() {
            return self.refuse("555 5.5.4 unknown parameter");
        }
        if !is_address(address) && !address.eq_ignore_ascii_case("postmaster") {
            return self.refuse("501 5.1.3 the recipient is no address");
        }
        if self.recipients.len() >= MOST_RECIPIENTS {
            return self.refuse("452 4.5.3 too many recipients");
        }
        self.recipients.push(address.to_owned());
        self.accept("250 2.1.5 recipient taken")
    }

    async fn take_mail(&mut self, rest: &str) -> io::Result<Next> {
        if !rest.trim().is_empty() {
            return Ok(self.refuse("501 5.5.4 DATA has no parameters"));
        }
        if self.recipients.is_empty() {
            return Ok(self.refuse("503 5.5.1 a recipient first"));
        }
        self.answer("354 end with a lone dot");
        self.flush().await?;
        let reading = read_mail(&mut self.reader, self.sink.largest_mail_bytes);
        let Ok(read) = tokio::time::timeout(SILENCE, reading).await else {
            self.answer("421 4.4.2 the mail took too long");
            return Ok(Next::HangUp);
        };
        let envelope = Envelope {
            from: self.sender.take().unwrap_or_default(),
            to: std::mem::take(&mut self.recipients),
        };
        let Some(raw) = read? else {
            return Ok(self.refuse("552 5.3.4 the mail is too large"));
        };
        Ok(self.deliver(envelope, raw).await)
    }

    /// As over HTTP: done at once, answered later.
    async fn deliver(&mut self, envelope: Envelope, raw: Vec<u8>) -> Next {
        let arrived = Instant::now();
        let turn = self.sink.party.next_turn();
        let stored = match turn.fate {
            Fate::Answered | Fate::LostAfter => {
                let is_answered = turn.fate == Fate::Answered;
                Some(self.sink.mailbox.put(envelope, raw, is_answered))
            }
            Fate::Error | Fate::LostBefore => None,
        };
        wait_until(arrived, turn.delay).await;
        match (turn.fate, stored) {
            (Fate::Answered, Some(id)) => self.accept(&format!("250 2.0.0 taken as {id}")),
            (Fate::Error, _) => self.accept("451 4.3.0 a simulated failure; nothing was done"),
            _ => Next::HangUp,
        }
    }
}

/// What is between `<` and `>`, and what follows.
fn path<'a>(keyword: &str, rest: &'a str) -> Option<(&'a str, &'a str)> {
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
    is_clean && has_parts && text.len() <= LONGEST_ADDRESS_BYTES
}
