//! The SMTP protocol, line by line.

use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::Simulators;

struct SmtpClient(BufReader<TcpStream>);

impl SmtpClient {
    /// Connects and reads the greeting.
    async fn open(simulators: &Simulators) -> Self {
        let stream = TcpStream::connect(simulators.smtp).await.unwrap();
        let mut client = Self(BufReader::new(stream));
        assert_eq!(client.read_code().await, 220);
        client
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).await.unwrap();
    }

    /// The code of the next reply.
    async fn read_code(&mut self) -> u16 {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            if line.get(3..4) != Some("-") {
                return line[..3].parse().unwrap();
            }
        }
    }

    async fn command(&mut self, line: &str) -> u16 {
        self.send(format!("{line}\r\n")).await;
        self.read_code().await
    }
}

#[tokio::test]
async fn several_mails_go_over_one_connection_with_pipelining() {
    let simulators = Simulators::start(&[]).await;
    let mut client = SmtpClient::open(&simulators).await;
    assert_eq!(client.command("EHLO test").await, 250);
    let mail =
        "MAIL FROM:<a@x.org> BODY=8BITMIME SIZE=20\r\nRCPT TO:<b@x.org>\r\nRCPT TO:<c@x.org>\r\nDATA\r\n";
    for subject in ["one", "two"] {
        client.send(mail).await;
        for code in [250, 250, 250, 354] {
            assert_eq!(client.read_code().await, code);
        }
        client
            .send(format!("Subject: {subject}\r\n\r\n..dot\r\n.\r\nNOOP\r\n"))
            .await;
        assert_eq!((client.read_code().await, client.read_code().await), (250, 250));
    }
    assert_eq!(client.command("QUIT").await, 221);
    assert_eq!(client.0.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    let mail = simulators.inbox.get("/messages/2").await.body;
    assert_eq!(
        (&mail["subject"], &mail["to"], &mail["text"]),
        (&json!("two"), &json!(["b@x.org", "c@x.org"]), &json!(".dot\r\n"))
    );
}

#[tokio::test]
async fn invalid_commands_are_rejected_and_the_connection_stays_open() {
    let simulators = Simulators::start(&[]).await;
    let mut client = SmtpClient::open(&simulators).await;
    for (line, code) in [
        ("MAIL FROM:<a@x.org>", 503),
        ("EHLO", 501),
        ("HELO test", 250),
        ("RCPT TO:<b@x.org>", 503),
        ("DATA", 503),
        ("MAIL FROM a@x.org", 501),
        ("MAIL FROM:<no address>", 501),
        ("MAIL FROM:<a@x.org> SIZE=lots", 501),
        ("MAIL FROM:<a@x.org> FAST=yes", 555),
        ("mail from:<>", 250),
        ("MAIL FROM:<a@x.org>", 503),
        ("DATA", 503),
        ("RCPT TO:<>", 501),
        ("RCPT TO:<no-domain>", 501),
        ("RCPT TO:<b@x.org> NOTIFY=NEVER", 555),
        ("rcpt to: <b@x.org>", 250),
        ("RSET", 250),
        ("DATA", 503),
        ("STARTTLS", 502),
        ("AUTH PLAIN AAA=", 502),
        ("VRFY b", 252),
        ("NOOP", 250),
        ("", 500),
        ("HELLO", 500),
        (&"x".repeat(100_000), 500),
        ("NOOP", 250),
    ] {
        let shown: String = line.chars().take(40).collect();
        assert_eq!(client.command(line).await, code, "{shown}");
    }
    client.send(b"NOOP \xff\r\n").await;
    assert_eq!(client.read_code().await, 500);
    assert_eq!(simulators.inbox.get("/messages/count").await.body["received"], 0);
}

#[tokio::test]
async fn a_mail_over_the_limit_is_rejected_by_its_announced_or_its_real_size() {
    let simulators = Simulators::start(&[("BACKSTOCK_SMTP_MAX_MAIL_BYTES", "1000")]).await;
    let mut client = SmtpClient::open(&simulators).await;
    client.command("EHLO test").await;
    assert_eq!(client.command("MAIL FROM:<a@x.org> SIZE=1001").await, 552);
    for (bytes, code) in [(2_000_000, 552), (900, 250)] {
        assert_eq!(client.command("MAIL FROM:<a@x.org>").await, 250);
        assert_eq!(client.command("RCPT TO:<b@x.org>").await, 250);
        assert_eq!(client.command("DATA").await, 354);
        assert_eq!(client.command(&format!("{}\r\n.", "x".repeat(bytes))).await, code);
    }
    assert_eq!(simulators.inbox.get("/messages/count").await.body["received"], 1);
}

#[tokio::test]
async fn too_many_errors_or_recipients_are_rejected() {
    let simulators = Simulators::start(&[]).await;
    let mut client = SmtpClient::open(&simulators).await;
    client.command("EHLO test").await;
    client.command("MAIL FROM:<a@x.org>").await;
    for _ in 0..100 {
        assert_eq!(client.command("RCPT TO:<b@x.org>").await, 250);
    }
    assert_eq!(client.command("RCPT TO:<b@x.org>").await, 452);
    for _ in 0..49 {
        assert_eq!(client.command("what").await, 500);
    }
    assert_eq!(client.command("what").await, 421);
    assert_eq!(client.0.read_to_end(&mut Vec::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn an_incomplete_mail_is_discarded() {
    let simulators = Simulators::start(&[]).await;
    let mut client = SmtpClient::open(&simulators).await;
    client
        .send("EHLO test\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nDATA\r\n")
        .await;
    for code in [250, 250, 250, 354] {
        assert_eq!(client.read_code().await, code);
    }
    client.send("Subject: half\r\n\r\nof it\r\n").await;
    client.0.get_mut().shutdown().await.unwrap();
    assert_eq!(client.0.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    assert_eq!(simulators.inbox.get("/messages/count").await.body["received"], 0);
    assert_eq!(simulators.inbox.get("/livez").await.status, StatusCode::OK);
}
