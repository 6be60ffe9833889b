//! The lesson `welcome_email`: who sends it, and what a mail server that is away means.

use axum::http::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::people::{PASSWORD, post};
use crate::support::arms::arms_of;
use crate::support::shop::{Changes, TestShop};

fn ada() -> Value {
    json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" })
}

/// A mail server that takes one mail.
async fn mail_server() -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let taken = tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        let (reading, mut writing) = connection.into_split();
        let mut lines = BufReader::new(reading).lines();
        let (mut mail, mut in_data) = (String::new(), false);
        writing.write_all(b"220 test\r\n").await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            let answer = match line.split(' ').next().unwrap_or_default() {
                "." if in_data => {
                    writing.write_all(b"250 taken\r\n").await.unwrap();
                    break;
                }
                _ if in_data => {
                    mail += &line;
                    mail.push('\n');
                    continue;
                }
                "EHLO" => "250 test\r\n",
                "DATA" => {
                    in_data = true;
                    "354 go on\r\n"
                }
                _ => {
                    mail += &line;
                    mail.push('\n');
                    "250 ok\r\n"
                }
            };
            writing.write_all(answer.as_bytes()).await.unwrap();
        }
        mail
    });
    (url, taken)
}

#[tokio::test]
async fn every_arm_says_who_registered_and_who_still_has_to_welcome_them() {
    for variants in arms_of("welcome_email") {
        // Nobody listens there: the port for `discard`.
        let changes = Changes::default().set("--smtp-url", "smtp://127.0.0.1:9");
        let shop = TestShop::start_with(&variants.to_string(), changes).await;
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let request = Request::post("/v1/accounts").header("traceparent", trace);
        // A mail that can't be sent fails nothing.
        let answer = shop.send_json(request, &ada()).await;
        assert_eq!(answer.status, 201, "{variants}: {}", answer.text());
        let event = shop
            .database
            .json("select jsonb_agg(to_jsonb(o)) from outbox o")
            .await;
        assert_eq!(event.as_array().unwrap().len(), 1, "{variants}");
        assert_eq!(event[0]["event"], "customer.registered");
        assert_eq!(
            event[0]["body"],
            json!({ "v": 1, "customer_id": answer.json()["id"] })
        );
        assert_eq!(event[0]["trace_context"], trace);
        let done = shop
            .database
            .json("select jsonb_agg(jsonb_build_array(message_id, consumer)) from inbox")
            .await;
        let expected = match variants.welcome_email.as_str() {
            "inline" => json!([[event[0]["message_id"], "welcome_email"]]),
            _ => Value::Null,
        };
        assert_eq!(done, expected, "{variants}");
    }
}

#[tokio::test]
async fn only_inline_has_sent_the_mail_when_it_answers() {
    for variants in arms_of("welcome_email") {
        let (url, taken) = mail_server().await;
        let shop =
            TestShop::start_with(&variants.to_string(), Changes::default().set("--smtp-url", url)).await;
        assert_eq!(post(&shop, "/v1/accounts", &ada()).await.status, 201);
        if variants.welcome_email.as_str() == "inline" {
            let mail = taken.await.unwrap();
            assert!(mail.contains("RCPT TO:<ada@example.com>"), "{mail}");
            assert!(mail.contains("Subject: Welcome, Ada"), "{mail}");
        } else {
            assert!(!taken.is_finished());
            taken.abort();
        }
    }
}
