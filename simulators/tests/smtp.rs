//! The mail server's side of a conversation, line by line.

use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::Simulators;

struct Talk(BufReader<TcpStream>);

impl Talk {
    /// After the greeting.
    async fn open(simulators: &Simulators) -> Self {
        let stream = TcpStream::connect(simulators.smtp).await.unwrap();
        let mut talk = Self(BufReader::new(stream));
        assert_eq!(talk.hear().await, 220);
        talk
    }

    async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).await.unwrap();
    }

    /// The code of the next answer.
    async fn hear(&mut self) -> u16 {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.unwrap();
            if line.get(3..4) != Some("-") {
                return line[..3].parse().unwrap();
            }
        }
    }

    async fn ask(&mut self, line: &str) -> u16 {
        self.say(format!("{line}\r\n")).await;
        self.hear().await
    }
}

#[tokio::test]
async fn several_mails_go_over_one_connection_also_pipelined() {
    let simulators = Simulators::start(&[]).await;
    let mut talk = Talk::open(&simulators).await;
    assert_eq!(talk.ask("EHLO test").await, 250);
    let mail =
        "MAIL FROM:<a@x.org> BODY=8BITMIME SIZE=20\r\nRCPT TO:<b@x.org>\r\nRCPT TO:<c@x.org>\r\nDATA\r\n";
    for subject in ["one", "two"] {
        talk.say(mail).await;
        for code in [250, 250, 250, 354] {
            assert_eq!(talk.hear().await, code);
        }
        talk.say(format!("Subject: {subject}\r\n\r\n..dot\r\n.\r\nNOOP\r\n"))
            .await;
        assert_eq!((talk.hear().await, talk.hear().await), (250, 250));
    }
    assert_eq!(talk.ask("QUIT").await, 221);
    assert_eq!(talk.0.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    let letter = simulators.inbox.get("/messages/2").await.body;
    assert_eq!(
        (&letter["subject"], &letter["to"], &letter["text"]),
        (&json!("two"), &json!(["b@x.org", "c@x.org"]), &json!(".dot\r\n"))
    );
}

#[tokio::test]
async fn commands_out_of_order_or_out_of_shape_are_refused_and_the_conversation_goes_on() {
    let simulators = Simulators::start(&[]).await;
    let mut talk = Talk::open(&simulators).await;
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
        ("RCPT TO:<nobody>", 501),
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
        assert_eq!(talk.ask(line).await, code, "{shown}");
    }
    talk.say(b"NOOP \xff\r\n").await;
    assert_eq!(talk.hear().await, 500);
    assert_eq!(simulators.inbox.get("/messages/count").await.body["received"], 0);
}

#[tokio::test]
async fn a_mail_over_the_limit_is_refused_as_announced_or_as_sent() {
    let simulators = Simulators::start(&[("BACKSTOCK_SMTP_MAX_MAIL_BYTES", "1000")]).await;
    let mut talk = Talk::open(&simulators).await;
    talk.ask("EHLO test").await;
    assert_eq!(talk.ask("MAIL FROM:<a@x.org> SIZE=1001").await, 552);
    for (bytes, code) in [(2_000_000, 552), (900, 250)] {
        assert_eq!(talk.ask("MAIL FROM:<a@x.org>").await, 250);
        assert_eq!(talk.ask("RCPT TO:<b@x.org>").await, 250);
        assert_eq!(talk.ask("DATA").await, 354);
        assert_eq!(talk.ask(&format!("{}\r\n.", "x".repeat(bytes))).await, code);
    }
    assert_eq!(simulators.inbox.get("/messages/count").await.body["received"], 1);
}

#[tokio::test]
async fn a_client_that_makes_nothing_but_mistakes_or_names_a_crowd_is_stopped() {
    let simulators = Simulators::start(&[]).await;
    let mut talk = Talk::open(&simulators).await;
    talk.ask("EHLO test").await;
    talk.ask("MAIL FROM:<a@x.org>").await;
    for _ in 0..100 {
        assert_eq!(talk.ask("RCPT TO:<b@x.org>").await, 250);
    }
    assert_eq!(talk.ask("RCPT TO:<b@x.org>").await, 452);
    for _ in 0..49 {
        assert_eq!(talk.ask("what").await, 500);
    }
    assert_eq!(talk.ask("what").await, 421);
    assert_eq!(talk.0.read_to_end(&mut Vec::new()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_mail_that_breaks_off_is_no_mail() {
    let simulators = Simulators::start(&[]).await;
    let mut talk = Talk::open(&simulators).await;
    talk.say("EHLO test\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nDATA\r\n")
        .await;
    for code in [250, 250, 250, 354] {
        assert_eq!(talk.hear().await, code);
    }
    talk.say("Subject: half\r\n\r\nof it\r\n").await;
    talk.0.get_mut().shutdown().await.unwrap();
    assert_eq!(talk.0.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    assert_eq!(simulators.inbox.get("/messages/count").await.body["received"], 0);
    assert_eq!(simulators.inbox.get("/livez").await.status, StatusCode::OK);
}
