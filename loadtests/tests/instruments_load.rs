//! The load generator against small servers whose behaviour is known.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request as AxumRequest, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use loadtests::load::{Request, Target, closed_loop, open_loop, warm_up};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

const BODY: &str = "twenty bytes of body";

/// Answers everything, remembers what came, and can be told to stall.
#[derive(Clone, Default)]
struct Server {
    answered: Arc<AtomicU64>,
    paths: Arc<Mutex<Vec<String>>>,
    stall: Arc<tokio::sync::RwLock<()>>,
    stalled: Arc<AtomicBool>,
}

impl Server {
    async fn start(&self) -> Target {
        let router = Router::new().fallback(answer).with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Target::new(address)
    }

    /// From the thousandth request on, nobody is answered for a second.
    async fn stall_once_for_a_second(&self) {
        if self.answered.load(Ordering::SeqCst) >= 1_000 && !self.stalled.swap(true, Ordering::SeqCst) {
            let _nobody_passes = self.stall.write().await;
            // The stall that is to be measured.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn answer(State(server): State<Server>, request: AxumRequest) -> Response {
    if request.uri().path() == "/stalls" {
        server.stall_once_for_a_second().await;
    }
    let _passed = server.stall.read().await;
    server.answered.fetch_add(1, Ordering::SeqCst);
    match request.uri().path() {
        "/missing" => StatusCode::NOT_FOUND.into_response(),
        "/busy" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        path => {
            server.paths.lock().unwrap().push(path.to_owned());
            BODY.into_response()
        }
    }
}

fn gets(paths: &[&str]) -> Arc<[Request]> {
    paths.iter().map(|path| Request::get(path).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_loop_charges_a_stall_to_everyone_who_would_have_come() {
    let server = Server::default();
    let target = server.start().await;
    let outcome = open_loop(
        &target,
        &gets(&["/stalls"]),
        2_500.0,
        Duration::from_secs(5),
        16,
        1,
    )
    .await
    .unwrap();

    // A fifth of the arrivals fell into the stall, so the slowest hundredth waited for most of it.
    let p99 = outcome.p99_ms().unwrap();
    assert!(p99 > 800.0, "p99 was {p99} ms");
    assert_eq!(
        outcome.completed + outcome.dropped,
        (outcome.offered.unwrap() * 5.0).round() as u64
    );
    assert_eq!(outcome.dropped, 0);
    assert_eq!(outcome.errors.total(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_loop_omits_the_same_stall() {
    let server = Server::default();
    let target = server.start().await;
    let outcome = closed_loop(&target, &gets(&["/stalls"]), 1, Duration::from_millis(2_500), 1)
        .await
        .unwrap();

    assert!(server.stalled.load(Ordering::SeqCst), "the server has stalled");
    assert!(outcome.total.max() > 900_000_000, "one request saw it");
    let p99_ns = outcome.total.value_at_quantile(0.99);
    assert!(p99_ns < 500_000_000, "p99 was {p99_ns} ns");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_those_of_the_server() {
    let server = Server::default();
    let target = server.start().await;
    let requests: Arc<[Request]> = [
        Request::get("/a").unwrap().with_class(1),
        Request::get("/b").unwrap().with_class(2),
    ]
    .into();
    let closed = closed_loop(&target, &requests, 4, Duration::from_millis(300), 1)
        .await
        .unwrap();
    let after_closed = server.answered.load(Ordering::SeqCst);
    let open = open_loop(&target, &requests, 500.0, Duration::from_millis(500), 4, 1)
        .await
        .unwrap();
    let after_open = server.answered.load(Ordering::SeqCst) - after_closed;

    for (outcome, answered) in [(&closed, after_closed), (&open, after_open)] {
        assert_eq!(outcome.completed, answered);
        assert_eq!(outcome.total.len(), answered);
        assert_eq!(outcome.first_byte.len(), answered);
        assert_eq!(outcome.bytes, answered * BODY.len() as u64);
        assert!(outcome.wire_bytes > outcome.bytes);
        let classes: u64 = outcome.by_class.values().map(|histogram| histogram.len()).sum();
        assert_eq!(classes, answered);
        assert!(outcome.by_class[&1].len().abs_diff(outcome.by_class[&2].len()) <= 1);
    }
    assert_eq!(closed.offered, None);
    assert!(closed.generator_cpu > Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_seed_sends_the_same_sequence() {
    let paths: Vec<String> = (0..50).map(|number| format!("/{number}")).collect();
    let requests = gets(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    let mut sequences = Vec::new();
    for seed in [3, 3, 4] {
        let server = Server::default();
        let target = server.start().await;
        closed_loop(&target, &requests, 1, Duration::from_millis(200), seed)
            .await
            .unwrap();
        let mut sequence = std::mem::take(&mut *server.paths.lock().unwrap());
        assert!(sequence.len() >= 10);
        sequence.truncate(10);
        sequences.push(sequence);
    }
    assert_eq!(sequences[0], sequences[1]);
    assert_ne!(sequences[0], sequences[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_told_apart_and_leave_the_histograms_alone() {
    let server = Server::default();
    let target = server.start().await;
    let requests = gets(&["/fine", "/missing", "/busy"]);
    let outcome = closed_loop(&target, &requests, 1, Duration::from_millis(200), 1)
        .await
        .unwrap();
    assert!(outcome.completed > 0);
    assert!(outcome.errors.status_4xx().abs_diff(outcome.completed) <= 1);
    assert!(outcome.errors.status_5xx().abs_diff(outcome.completed) <= 1);
    assert_eq!(outcome.total.len(), outcome.completed);
    assert_eq!(
        server.answered.load(Ordering::SeqCst),
        outcome.completed + outcome.errors.total()
    );

    let nobody = Target::new(unused_address().await);
    let outcome = closed_loop(&nobody, &requests, 2, Duration::from_millis(100), 1)
        .await
        .unwrap();
    assert!(outcome.errors.connect > 0);
    assert_eq!(outcome.errors.total(), outcome.errors.connect);
    assert_eq!((outcome.completed, outcome.p50_ms()), (0, None));

    let hangs_up = Target::new(server_that_hangs_up().await);
    let outcome = open_loop(&hangs_up, &requests, 100.0, Duration::from_millis(200), 2, 1)
        .await
        .unwrap();
    assert!(outcome.errors.broken > 0);
    assert_eq!(outcome.errors.total(), outcome.errors.broken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warming_up_is_bounded_and_needs_an_answer() {
    let server = Server::default();
    let target = server.start().await;
    let warm = warm_up(&target, &gets(&["/fine"]), 2).await.unwrap();
    assert!((2..=12).contains(&warm.windows));
    assert!(warm.throughput > 0.0);
    let error = warm_up(&target, &gets(&["/busy"]), 2).await.unwrap_err();
    assert!(error.to_string().contains("warming up"), "{error}");
}

#[tokio::test]
async fn a_load_without_requests_or_rate_is_refused() {
    let target = Target::new(unused_address().await);
    assert!(
        closed_loop(&target, &gets(&[]), 1, Duration::from_millis(1), 1)
            .await
            .is_err()
    );
    assert!(
        closed_loop(&target, &gets(&["/"]), 0, Duration::from_millis(1), 1)
            .await
            .is_err()
    );
    assert!(
        open_loop(&target, &gets(&["/"]), 0.0, Duration::from_millis(1), 1, 1)
            .await
            .is_err()
    );
}

async fn unused_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

async fn server_that_hangs_up() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 16]).await;
        }
    });
    address
}
