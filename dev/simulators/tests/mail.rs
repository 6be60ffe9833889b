//! Mails through a real client, read back at the inbox.

use std::time::{Duration, Instant};

use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart, header::ContentType};
use lettre::transport::smtp::Error;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Simulators, until};

const TEXT: &str = "Grüße aus Köln,\n\n.a line that begins with a dot\n..and one with two\n.\nthe end\n";
const HTML: &str =
    "<h1>Grüße &amp; Dank</h1><script>alert(1)</script><p>Your order cost 12,99\u{a0}€ = \"paid\".</p>";

fn client(simulators: &Simulators) -> AsyncSmtpTransport<Tokio1Executor> {
    AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(simulators.smtp.ip().to_string())
        .port(simulators.smtp.port())
        .build()
}

fn mail(to: &str, subject: &str) -> Message {
    let from: Mailbox = "Backstock <shop@backstock.example>".parse().unwrap();
    Message::builder()
        .from(from)
        .to(to.parse().unwrap())
        .subject(subject)
        .multipart(MultiPart::alternative_plain_html(
            TEXT.to_owned(),
            HTML.to_owned(),
        ))
        .unwrap()
}

async fn text_of(simulators: &Simulators, path: &str) -> (StatusCode, String, String) {
    let response = simulators.inbox.request(Method::GET, path).send().await.unwrap();
    let policy = response.headers().get("content-security-policy");
    let policy = policy.map_or(String::new(), |policy| policy.to_str().unwrap().to_owned());
    (response.status(), policy, response.text().await.unwrap())
}

/// Lines end with CRLF on the wire.
fn lines(text: &Value) -> String {
    text.as_str().unwrap().replace("\r\n", "\n")
}

#[tokio::test]
async fn text_and_html_arrive_as_they_were_written() {
    let simulators = Simulators::start(&[]).await;
    let sent = client(&simulators)
        .send(mail("Ada <ada@example.org>", "Ihre Bestellung № 7 <b>"))
        .await;
    assert!(sent.unwrap().is_positive());

    let list = simulators.inbox.get("/messages?to=ADA@example.org&limit=5").await;
    let item = &list.body["items"][0];
    assert_eq!(
        (&item["to"], &item["from"], &item["subject"], &item["answered"]),
        (
            &json!(["ada@example.org"]),
            &json!("shop@backstock.example"),
            &json!("Ihre Bestellung № 7 <b>"),
            &json!(true)
        )
    );
    let id = item["id"].as_u64().unwrap();
    let mail = simulators.inbox.get(&format!("/messages/{id}")).await.body;
    assert_eq!(lines(&mail["text"]), TEXT);
    assert_eq!(lines(&mail["html"]), HTML);
    let headers = mail["headers"].as_array().unwrap();
    assert!(
        headers.contains(&json!({ "name": "To", "value": "Ada <ada@example.org>" })),
        "{headers:?}"
    );

    let (status, policy, page) = text_of(&simulators, "/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains("Ihre Bestellung № 7 &#60;b&#62;"), "{page}");
    assert!(policy.contains("default-src 'none'"));
    let (_, _, page) = text_of(&simulators, &format!("/mail/{id}")).await;
    assert!(
        page.contains("<iframe sandbox") && page.contains("Grüße aus Köln"),
        "{page}"
    );
    assert!(!page.contains("<script>"));
    let (_, policy, framed) = text_of(&simulators, &format!("/messages/{id}/html")).await;
    assert!(framed.contains("Dank") && policy.starts_with("sandbox; default-src 'none'"));
    let (_, _, raw) = text_of(&simulators, &format!("/messages/{id}/raw")).await;
    assert!(raw.contains("\r\n\r\n") && raw.contains("multipart/alternative"));
}

#[tokio::test]
async fn a_mail_of_one_kind_shows_no_other_and_attachments_are_listed() {
    let simulators = Simulators::start(&[]).await;
    let client = client(&simulators);
    let builder = || {
        Message::builder()
            .from("shop@backstock.example".parse().unwrap())
            .to("ada@example.org".parse().unwrap())
            .subject("one kind")
    };
    client
        .send(
            builder()
                .singlepart(SinglePart::plain("only text\n".to_owned()))
                .unwrap(),
        )
        .await
        .unwrap();
    client
        .send(
            builder()
                .singlepart(SinglePart::html("<p>only HTML</p>".to_owned()))
                .unwrap(),
        )
        .await
        .unwrap();
    let invoice = Attachment::new("invoice.pdf".to_owned())
        .body(vec![0_u8; 1000], ContentType::parse("application/pdf").unwrap());
    let with_invoice = MultiPart::mixed()
        .singlepart(SinglePart::plain("see the invoice\n".to_owned()))
        .singlepart(invoice);
    client
        .send(builder().multipart(with_invoice).unwrap())
        .await
        .unwrap();

    let plain = simulators.inbox.get("/messages/1").await.body;
    assert_eq!(
        // The client appends empty lines to a single part.
        (lines(&plain["text"]).trim_end(), &plain["html"]),
        ("only text", &Value::Null)
    );
    assert_eq!(
        text_of(&simulators, "/messages/1/html").await.0,
        StatusCode::NOT_FOUND
    );
    let html = simulators.inbox.get("/messages/2").await.body;
    assert_eq!(
        (&html["text"], lines(&html["html"]).trim_end()),
        (&Value::Null, "<p>only HTML</p>")
    );
    let attached = simulators.inbox.get("/messages/3").await.body;
    assert_eq!(
        attached["attachments"],
        json!([{ "name": "invoice.pdf", "content_type": "application/pdf", "size_bytes": 1000 }])
    );
    for id in 1..=3 {
        assert_eq!(
            text_of(&simulators, &format!("/mail/{id}")).await.0,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn the_inbox_lists_the_newest_first_counts_by_address_and_is_bounded() {
    let simulators = Simulators::start(&[("BACKSTOCK_INBOX_MAX_MAILS", "3")]).await;
    let client = client(&simulators);
    for (to, subject) in [
        ("a@x.org", "1"),
        ("b@x.org", "2"),
        ("a@x.org", "3"),
        ("a@x.org", "4"),
    ] {
        client.send(mail(to, subject)).await.unwrap();
    }
    let subjects = async |path: &str| -> Vec<String> {
        let items = simulators.inbox.get(path).await.body["items"].take();
        let items = items.as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["subject"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(subjects("/messages").await, ["4", "3", "2"]);
    assert_eq!(subjects("/messages?to=a@x.org&limit=1").await, ["4"]);
    assert_eq!(
        simulators.inbox.get("/messages/count").await.body,
        json!({ "stored": 3, "received": 4, "evicted": 1, "unanswered": 0 })
    );
    let of_a = simulators.inbox.get("/messages/count?to=a@x.org").await.body;
    assert_eq!(of_a["stored"], 2);

    assert_eq!(
        simulators.inbox.delete("/messages").await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(simulators.inbox.get("/messages/count").await.body["received"], 0);
    assert!(text_of(&simulators, "/").await.2.contains("Nothing arrived yet."));
    for path in ["/messages/4", "/messages/99", "/messages/x", "/mail/4"] {
        assert_eq!(
            text_of(&simulators, path).await.0,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    for path in [
        "/messages?limit=0",
        "/messages?limit=1001",
        "/messages?limit=x",
        "/messages?from=x",
        "/messages/count?limit=1",
    ] {
        assert_eq!(
            simulators.inbox.get(path).await.status,
            StatusCode::BAD_REQUEST,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_mail_is_stored_when_its_reply_is_lost_and_not_when_it_is_rejected() {
    let simulators = Simulators::start(&[]).await;
    let send = async |subject: &str| -> Result<(), Error> {
        let sent = client(&simulators).send(mail("ada@example.org", subject)).await;
        sent.map(|_| ())
    };
    simulators.inbox.set(json!({ "failure_error": 1 })).await;
    assert!(send("refused").await.unwrap_err().is_transient());
    simulators
        .inbox
        .set(json!({ "failure_error": 0, "failure_before": 1 }))
        .await;
    let lost = send("lost").await.unwrap_err();
    assert!(!lost.is_transient() && !lost.is_permanent(), "{lost:?}");
    assert_eq!(simulators.inbox.get("/messages/count").await.body["received"], 0);
    simulators
        .inbox
        .set(json!({ "failure_before": 0, "failure_after": 1 }))
        .await;
    let unanswered = send("unanswered").await.unwrap_err();
    assert!(
        !unanswered.is_transient() && !unanswered.is_permanent(),
        "{unanswered:?}"
    );
    let count = until("the mail is stored", async || {
        let count = simulators.inbox.get("/messages/count").await.body;
        (count["received"] == 1).then_some(count)
    })
    .await;
    assert_eq!(count["unanswered"], 1);
    assert_eq!(
        simulators.inbox.get("/messages").await.body["items"][0]["answered"],
        false
    );
}

/// Nagle's algorithm with delayed acknowledgements costs at least 40 ms per mail. The fastest of several mails shows
/// whether it did, even on a busy machine.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_client_that_writes_the_final_dot_separately_waits_for_no_acknowledgement() {
    let simulators = Simulators::start(&[]).await;
    let client = client(&simulators);
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let begin = Instant::now();
        client.send(mail("ada@example.org", "prompt")).await.unwrap();
        fastest = fastest.min(begin.elapsed());
    }
    assert!(fastest < Duration::from_millis(20), "{fastest:?}");
}
