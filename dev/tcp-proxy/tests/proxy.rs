//! The proxy against servers that echo.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tcp_proxy::{Counters, Direction, Proxy, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers each byte with two of the same.
async fn doubling_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    stream.write_all(&buffer[..length].repeat(2)).await.unwrap();
                }
            });
        }
    });
    address
}

async fn ask(stream: &mut TcpStream, request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.unwrap();
    let mut answer = vec![0; request.len() * 2];
    stream.read_exact(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_delay_it_counts_exactly() {
    let proxy = Proxy::start(doubling_server().await, Duration::ZERO).unwrap();
    let mut first = TcpStream::connect(proxy.address()).await.unwrap();
    let mut second = TcpStream::connect(proxy.address()).await.unwrap();
    for _ in 0..10 {
        assert_eq!(ask(&mut first, b"abc").await.len(), 6);
    }
    let before = proxy.counters();
    assert_eq!(
        before,
        Counters {
            bytes_to_server: 30,
            bytes_to_client: 60,
            round_trips: 10,
            connections: 2
        }
    );
    ask(&mut second, b"x").await;
    let since = proxy.counters().since(&before);
    assert_eq!(
        since,
        Counters {
            bytes_to_server: 1,
            bytes_to_client: 2,
            round_trips: 1,
            connections: 0
        }
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_arrive_whole_and_in_order() {
    let proxy = Proxy::start(doubling_server().await, Duration::from_millis(1)).unwrap();
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let message: Vec<u8> = (0..1_000_000u32).map(|number| (number % 251) as u8).collect();
    let expected = message.len();
    let sender = tokio::spawn(async move {
        write.write_all(&message).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut answer = Vec::new();
    read.read_to_end(&mut answer).await.unwrap();
    sender.await.unwrap();
    assert_eq!(
        answer.len(),
        2 * expected,
        "the end of the stream passes behind the last byte"
    );
    let counters = proxy.counters();
    assert_eq!(
        (counters.bytes_to_server, counters.bytes_to_client),
        (1_000_000, 2_000_000)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_takes_the_delay_and_a_connection_one_round_trip() {
    let delay = Duration::from_millis(5);
    let proxy = Proxy::start(doubling_server().await, delay).unwrap();
    let begin = Instant::now();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    ask(&mut stream, b"a").await;
    let first = begin.elapsed();
    assert!(first >= 4 * delay, "connecting and asking took {first:?}");

    for _ in 0..5 {
        let begin = Instant::now();
        ask(&mut stream, b"a").await;
        let trip = begin.elapsed();
        assert!(trip >= 2 * delay, "a round trip took {trip:?}");
    }
    proxy.set_delay(Duration::from_millis(20));
    let begin = Instant::now();
    ask(&mut stream, b"a").await;
    assert!(
        begin.elapsed() >= Duration::from_millis(40),
        "a new delay holds for open connections"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_chunks_are_in_flight_together() {
    let delay = Duration::from_millis(50);
    let proxy = Proxy::start(doubling_server().await, delay).unwrap();
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    ask(&mut stream, b"warm").await;
    let begin = Instant::now();
    for _ in 0..10 {
        stream.write_all(b"a").await.unwrap();
        // Sends the bytes apart, so that each is a packet of its own.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let mut answer = [0; 20];
    stream.read_exact(&mut answer).await.unwrap();
    let elapsed = begin.elapsed();
    // One after the other they would take ten round trips of 100 ms.
    assert!(elapsed >= 2 * delay && elapsed < 10 * delay, "{elapsed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_gone_closes_the_clients_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap(), Duration::ZERO).unwrap();
    drop(listener);
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);

    let address = proxy.address();
    drop(proxy);
    assert!(
        TcpStream::connect(address).await.is_err(),
        "a dropped proxy listens no more"
    );
}

/// Echoes, and counts the bytes that it has read.
async fn echo() -> (SocketAddr, tokio::sync::watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, told) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 64];
                while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                    heard.send_modify(|count| *count += length);
                    stream.write_all(&buffer[..length]).await.unwrap();
                }
            });
        }
    });
    (address, told)
}

#[tokio::test]
async fn a_blackhole_swallows_one_direction_and_its_end_closes_the_connections() {
    let (server, mut heard) = echo().await;
    let proxy = Proxy::start(server, Duration::ZERO).unwrap();
    let mut answer = [0; 2];

    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"ab").await.unwrap();
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"ab");

    proxy.blackhole(Direction::Responses);
    client.write_all(b"cd").await.unwrap();
    heard.wait_for(|count| *count == 4).await.unwrap();
    proxy.restore().unwrap();
    assert_eq!(
        client.read(&mut answer).await.unwrap_or(0),
        0,
        "the answer is gone, and so is the connection"
    );

    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"ef").await.unwrap();
    client.read_exact(&mut answer).await.unwrap();
    proxy.blackhole(Direction::Requests);
    client.write_all(b"gh").await.unwrap();
    proxy.restore().unwrap();
    assert_eq!(client.read(&mut answer).await.unwrap_or(0), 0);
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    client.write_all(b"ij").await.unwrap();
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(
        (&answer, *heard.borrow()),
        (b"ij", 8),
        "what was swallowed never arrived"
    );
}

#[tokio::test]
async fn a_cut_proxy_refuses_connections_until_it_is_restored() {
    let proxy = Proxy::start(doubling_server().await, Duration::ZERO).unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    ask(&mut client, b"a").await;
    proxy.cut();
    assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(proxy.address()).await.is_err());
    proxy.restore().unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    assert_eq!(ask(&mut client, b"b").await, b"bb");
}

#[tokio::test]
async fn an_inspector_sees_a_connections_chunks_in_order_and_can_swallow_them() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let url = format!("http://{}", doubling_server().await);
    let proxy = Proxy::inspecting(&url, move || {
        let noted = Arc::clone(&noted);
        move |direction, bytes: &[u8]| {
            noted.lock().unwrap().push((direction, bytes.to_vec()));
            match bytes {
                b"quiet" => Verdict::Swallow,
                _ => Verdict::Forward,
            }
        }
    })
    .unwrap();
    let mut client = TcpStream::connect(proxy.address()).await.unwrap();
    ask(&mut client, b"a").await;
    client.write_all(b"quiet").await.unwrap();
    let expected = [
        (Direction::Requests, b"a".to_vec()),
        (Direction::Responses, b"aa".to_vec()),
        (Direction::Requests, b"quiet".to_vec()),
    ];
    let all_seen = async {
        while seen.lock().unwrap().len() < expected.len() {
            // Between two looks: the loop waits for the chunks, and fails without them.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_seen)
        .await
        .unwrap();
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn urls_lead_through_the_proxy() {
    let proxy = Proxy::in_front_of("redis://127.0.0.1:1/2", Duration::ZERO).unwrap();
    let through = proxy.through("redis://127.0.0.1:1/2").unwrap();
    assert_eq!(through, format!("redis://{}/2", proxy.address()));
}
