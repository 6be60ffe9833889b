//! The welcome mail: the event of a registration, from which the worker sends it.

use axum::http::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::people::{PASSWORD, post};
use crate::support::arms::each_arm;
use crate::support::shop::{Changes, TestShop};

pub fn ada() -> Value {
    json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" })
}

/// A mail server that accepts one mail.
pub async fn mail_server() -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let received = tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        let (reading, mut writing) = connection.into_split();
        let mut lines = BufReader::new(reading).lines();
        let (mut mail, mut in_data) = (String::new(), false);
        writing.write_all(b"220 test\r\n").await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            let response = match line.split(' ').next().unwrap_or_default() {
                "." if in_data => {
                    writing.write_all(b"250 accepted\r\n").await.unwrap();
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
                    "354 send data\r\n"
                }
                _ => {
                    mail += &line;
                    mail.push('\n');
                    "250 ok\r\n"
                }
            };
            writing.write_all(response.as_bytes()).await.unwrap();
        }
        mail
    });
    (url, received)
}

#[tokio::test]
async fn a_registration_publishes_its_event_and_needs_no_mail_server() {
    each_arm("welcome_email", async || {
        let shop = shop_without_mail_server().await;
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let request = Request::post("/v1/accounts").header("traceparent", trace);
        let response = shop.send_json(request, &ada()).await;
        assert_eq!(response.status, 201, "{}", response.text());
        let event = shop
            .database
            .json("select jsonb_agg(to_jsonb(o)) from outbox o")
            .await;
        assert_eq!(event.as_array().unwrap().len(), 1);
        assert_eq!(event[0]["event"], "customer.registered");
        assert_eq!(
            event[0]["body"],
            json!({ "v": 1, "customer_id": response.json()["id"] })
        );
        assert_eq!(event[0]["trace_context"], trace);
    })
    .await;
}

pub async fn shop_without_mail_server() -> TestShop {
    // Port 9 is `discard`.
    TestShop::start_with(Changes::default().set("--smtp-url", "smtp://127.0.0.1:9")).await
}

#[tokio::test]
async fn the_mail_is_left_to_the_worker() {
    let (url, received) = mail_server().await;
    let shop = TestShop::start_with(Changes::default().set("--smtp-url", url)).await;
    assert_eq!(post(&shop, "/v1/accounts", &ada()).await.status, 201);
    assert!(!received.is_finished());
    received.abort();
    assert_eq!(shop.database.number("select count(*) from inbox").await, 0);
}
