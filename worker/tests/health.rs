//! `backstock-worker health`: the check of an image that has no shell.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

fn health(listen: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_backstock-worker"))
        .arg("health")
        .env("BACKSTOCK_INTERNAL_LISTEN", listen)
        .output()
        .unwrap()
}

#[test]
fn a_worker_that_is_not_ready_is_unhealthy_and_its_reason_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        // It may come in pieces.
        let (mut request, mut piece) = (Vec::new(), [0; 1024]);
        while !request.ends_with(b"\r\n\r\n") {
            let read = connection.read(&mut piece).unwrap();
            assert!(read > 0, "the request has no end");
            request.extend_from_slice(&piece[..read]);
        }
        assert!(request.starts_with(b"GET /readyz "));
        let answer = "HTTP/1.1 503 Service Unavailable\r\n\r\n{\"failing\":\"rabbitmq\"}";
        connection.write_all(answer.as_bytes()).unwrap();
    });
    let ended = health(&format!("0.0.0.0:{port}"));
    answering.join().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(said, "503: {\"failing\":\"rabbitmq\"}\n");
}
