//! A gateway that fails for one order: a forwarder before the simulator, which answers whatever names that order with a 500.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::load::{Fetched, Request, Target, fetch};

/// The forwarder. It ends with this value.
#[derive(Debug)]
pub(super) struct Fault {
    address: SocketAddr,
    state: Arc<FaultState>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct FaultState {
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
        let state = Arc::new(FaultState::default());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        // It serves until it is aborted.
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
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

async fn answer(State(state): State<Arc<FaultState>>, request: HttpRequest) -> Response {
    let forwarded = forward(&state, request).await;
    forwarded.unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

async fn forward(state: &FaultState, request: HttpRequest) -> Result<Response> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await?;
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
        return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    }
    let upstream = *state.upstream.lock().unwrap_or_else(PoisonError::into_inner);
    let upstream = upstream.context("nothing is behind this gateway yet")?;
    let mut forwarded = Request::get(&path)?;
    forwarded.method = head.method;
    forwarded.body = body;
    let own = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, HOST];
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
    let mut response = (status, body).into_response();
    for (name, value) in headers.iter().filter(|(name, _)| !own.contains(name)) {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    Ok(response)
}
