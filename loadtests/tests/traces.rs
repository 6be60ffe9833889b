//! Traces as a collector gets them: real processes, and a collector that listens.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod town_support;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use hyper::header::{HeaderName, HeaderValue};
use loadtests::load::{Request, fetch};
use loadtests::trials::{Carts, Goods};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use tokio::net::TcpListener;

use town_support::{services, town};

const PATIENCE: Duration = Duration::from_secs(30);

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A collector, by the protocol's specification: <https://opentelemetry.io/docs/specs/otlp/#otlphttp>.
struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let spans = Arc::new(Mutex::new(Vec::new()));
        let collected = spans.clone();
        let collect = post(async move |body: Bytes| {
            let export = ExportTraceServiceRequest::decode(body).unwrap();
            let scopes = export.resource_spans.into_iter().flat_map(|of| of.scope_spans);
            collected
                .lock()
                .unwrap()
                .extend(scopes.flat_map(|scope| scope.spans));
        });
        let router = Router::new().route("/v1/traces", collect);
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { url, spans }
    }

    /// The spans of a trace, by what they are called.
    fn of_trace(&self, trace_id: &str) -> Vec<Span> {
        let spans = self.spans.lock().unwrap();
        let is_of = |span: &&Span| hex(&span.trace_id) == trace_id;
        spans.iter().filter(is_of).cloned().collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn traced(request: Request, flags: &str) -> Request {
    let traceparent = format!("00-{TRACE_ID}-00f067aa0ba902b7-{flags}");
    request.with_header(
        HeaderName::from_static("traceparent"),
        HeaderValue::from_str(&traceparent).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_leads_from_a_purchase_to_its_mail_and_its_label() {
    let services = services().await;
    let collector = Collector::start().await;
    let settings = [
        ("BACKSTOCK_OTLP_ENDPOINT", collector.url.as_str()),
        ("BACKSTOCK_TRACE_SAMPLE_RATIO", "0"),
    ];
    let mut town = town(&services, 36, "optimized", &settings).await;
    let goods = Goods::choose(&mut town.monitor, 4, 1, 10).await.unwrap();
    let cart = Carts::of(goods)
        .make(&mut town.monitor, 1)
        .await
        .unwrap()
        .remove(0);
    let order = traced(cart.order("tok_ok").unwrap(), "01");
    assert_eq!(fetch(&town.shop().target(), &order).await.unwrap().status, 201);
    let list = traced(Request::get("/v1/products").unwrap(), "01");
    assert_eq!(fetch(&town.shop().target(), &list).await.unwrap().status, 200);
    town.start_worker("relay,consumers").await.unwrap();
    assert_eq!(town.drain(PATIENCE).await.unwrap(), 0);
    // What is left is sent when a process stops.
    town.stop().await.unwrap();

    let spans = collector.of_trace(TRACE_ID);
    let names: HashSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    for name in [
        "POST /v1/orders",
        // The reservation: its only statement, or the first of several where the api was slow to begin with.
        "insert idempotency_keys",
        "payment authorize",
        "update orders",
        "publish order.paid",
        "process confirmation_email",
        "mail send",
        "insert inbox",
        "process shipping_label",
        "carrier create_label",
        "payment capture",
        "process popularity",
        "GET /v1/products",
        "redis GET",
        "select products",
    ] {
        assert!(names.contains(name), "`{name}` is not among {names:?}");
    }
    assert_one_tree(&spans);
}

/// Every span hangs on another of the trace, but for the two requests, which hang on the client.
fn assert_one_tree(spans: &[Span]) {
    let ids: HashMap<Vec<u8>, &str> = spans
        .iter()
        .map(|span| (span.span_id.clone(), span.name.as_str()))
        .collect();
    for span in spans {
        let hangs_on_client = hex(&span.parent_span_id) == "00f067aa0ba902b7";
        assert!(
            hangs_on_client || ids.contains_key(&span.parent_span_id),
            "`{}` hangs on nothing",
            span.name
        );
    }
    let parent_of = |name: &str| {
        let span = spans.iter().find(|span| span.name == name).unwrap();
        ids.get(&span.parent_span_id).copied()
    };
    assert_eq!(parent_of("payment authorize"), Some("POST /v1/orders"));
    assert_eq!(parent_of("publish order.paid"), Some("POST /v1/orders"));
    assert_eq!(parent_of("process shipping_label"), Some("publish order.paid"));
    assert_eq!(parent_of("payment capture"), Some("process shipping_label"));
    assert_eq!(parent_of("mail send"), Some("process confirmation_email"));
    for claimed in spans.iter().filter(|span| span.name == "insert inbox") {
        let parent = ids[&claimed.parent_span_id];
        assert!(
            parent.starts_with("process "),
            "a consumer's statement hangs on `{parent}`"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_was_not_drawn_only_the_failed_and_the_slow_is_kept() {
    let services = services().await;
    let collector = Collector::start().await;
    let settings = [
        ("BACKSTOCK_OTLP_ENDPOINT", collector.url.as_str()),
        ("BACKSTOCK_TRACE_SAMPLE_RATIO", "0"),
        ("BACKSTOCK_TRACE_SLOW_MS", "3000"),
        ("BACKSTOCK_PAYMENT_TIMEOUT_MS", "4000"),
    ];
    let mut town = town(&services, 37, "optimized", &settings).await;
    let goods = Goods::choose(&mut town.monitor, 4, 1, 10).await.unwrap();
    let mut carts = Carts::of(goods).make(&mut town.monitor, 2).await.unwrap();
    let list = traced(Request::get("/v1/products").unwrap(), "00");
    assert_eq!(fetch(&town.shop().target(), &list).await.unwrap().status, 200);
    let slow = traced(carts.remove(0).order("tok_timeout").unwrap(), "00");
    assert_eq!(fetch(&town.shop().target(), &slow).await.unwrap().status, 202);
    town.stop().await.unwrap();

    let spans = collector.of_trace(TRACE_ID);
    let names: HashSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert!(names.contains("POST /v1/orders"), "{names:?}");
    assert!(!names.contains("GET /v1/products"), "{names:?}");
    let authorize = spans
        .iter()
        .find(|span| span.name == "payment authorize")
        .unwrap();
    let status = authorize.status.as_ref().unwrap();
    assert_eq!(
        status.code(),
        StatusCode::Error,
        "an answer that never came is a failure"
    );
}
