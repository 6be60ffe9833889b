//! A gateway that fails for one order: a forwarder before the simulator, which answers whatever names that order with a 500.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::load::{Fetched, Request, Target, fetch};

/// The forwarder. It ends with this value.
#[derive(Debug)]
pub(super) struct Fault {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    upstream: Mutex<Option<SocketAddr>>,
    refused_text: Mutex<Option<String>>,
    refused: AtomicU64,
}

impl Fault {
    pub(super) async fn start() -> Result<Fault> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no free port for a faulty gateway")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Ok(Fault { address, state, task })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The simulator, which is started later than this.
    pub(super) fn forward_to(&self, upstream: SocketAddr) {
        *self.state.upstream.lock().unwrap_or_else(PoisonError::into_inner) = Some(upstream);
    }

    /// From now on, whatever has this text in its path or its body gets a 500.
    pub(super) fn refuse(&self, text: &str) {
        *self
            .state
            .refused_text
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }

    /// How often that was so.
    pub(super) fn refused(&self) -> u64 {
        self.state.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(Arc::clone(&state), request));
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn answer(
    state: Arc<State>,
    request: HttpRequest<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let forwarded = forward(&state, request).await;
    Ok(forwarded.unwrap_or_else(|_| plain(StatusCode::BAD_GATEWAY)))
}

async fn forward(state: &State, request: HttpRequest<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path = head
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let refused = state
        .refused_text
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    if refused.is_some_and(|text| path.contains(&text) || String::from_utf8_lossy(&body).contains(&text)) {
        state.refused.fetch_add(1, Ordering::Relaxed);
        return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR));
    }
    let upstream = *state.upstream.lock().unwrap_or_else(PoisonError::into_inner);
    let upstream = upstream.context("nothing is behind this gateway yet")?;
    let mut forwarded = Request::get(&path)?;
    forwarded.method = head.method;
    forwarded.body = body;
    let own = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, hyper::header::HOST];
    forwarded.headers = head
        .headers
        .iter()
        .filter(|(name, _)| !own.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let Fetched {
        status,
        headers,
        body,
    } = fetch(&Target::new(upstream), &forwarded).await?;
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    for (name, value) in headers.iter().filter(|(name, _)| !own.contains(name)) {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    Ok(response)
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let body = r#"{"code": "internal", "message": "a fault that the lab asked for"}"#;
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response
}
