//! `backstock-api serve`: from settings to listening sockets, and back to nothing on SIGTERM or Ctrl-C.
//!
//! How it starts: operators are answered at once; Postgres is waited for; then customers are let in. How it goes: for the
//! closing notice it is unready and asks every client to come back over another connection; then the door is closed; then
//! what is in flight is finished, up to the drain timeout. Read next: `listening.rs`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::ServiceExt;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::Layer;
use tower::util::MapResponseLayer;

use api::app;
use api::http::internal::{self, Internal};
use api::migrate::{self, UnusableDatabase};
use api::settings::{HttpSettings, Settings};
use api::state::assemble;
use storefront::starting::{POSTGRES, Start};
use storefront::stopping::Signals;
use storefront::supervisor::{self, News};
use storefront::{postgres, telemetry};

use crate::listening::{Door, Listener};

/// For a request that is on its way over a connection that was taken as the last.
const LAST_ARRIVALS: Duration = Duration::from_millis(50);

/// Serves until a signal comes. Exit code 2 for settings that can't be used.
pub fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let threads = match usize::from(settings.threads) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    // The runtime starts those that run requests first; all others are for blocking work. `top -H` shows which are busy.
    let started = AtomicUsize::new(0);
    let name = move || match started.fetch_add(1, Ordering::Relaxed) {
        earlier if earlier < threads => "api-requests".to_owned(),
        _ => "api-blocking".to_owned(),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(threads).thread_name_fn(name);
    runtime.enable_all().build()?.block_on(serve(settings))
}

async fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    if let Err(error) = telemetry::init_logs(&settings.log) {
        eprintln!("backstock-api: BACKSTOCK_LOG: {error}; an example: info,sqlx=warn");
        return Ok(ExitCode::from(2));
    }
    // Before anything that takes time, so that no signal is missed.
    let mut signals = Signals::listen()?;
    let metrics = telemetry::init_metrics(&settings.telemetry, &settings.variants, "backstock-api");
    api::metrics::describe();
    let traces = match telemetry::init_traces(&settings.telemetry, "backstock-api") {
        Ok(traces) => traces,
        Err(error) => {
            eprintln!("backstock-api: {error}");
            return Ok(ExitCode::from(2));
        }
    };
    let assembly = match assemble(&settings) {
        Ok(assembly) => assembly,
        Err(error) => {
            eprintln!("backstock-api: {error}");
            return Ok(ExitCode::from(2));
        }
    };

    let door = Door::find(settings.listen)?;
    let private = bind(settings.internal_listen).await?;
    let internal_listen = private.local_addr()?;
    let (start, draining) = (Start::needs(&[POSTGRES]), Arc::new(AtomicBool::new(false)));
    let internal = internal::router(Internal {
        app: assembly.state.clone(),
        variants: assembly.variants,
        metrics,
        start: start.clone(),
        draining: draining.clone(),
    });
    let internal_server = tokio::spawn(axum::serve(private, internal).into_future());
    let options = postgres::connect_options(&settings.database, "backstock-api")?;
    let connecting = async || migrate::connect(&options, settings.variants.indexes).await;
    tokio::select! {
        reached = start.reach(POSTGRES, UnusableDatabase::may_pass, connecting) => drop(reached?),
        () = signals.next() => {
            tracing::info!("stopped before it served");
            return Ok(ExitCode::SUCCESS);
        }
    }

    let (close, closing) = watch::channel(false);
    let (stop, stopped) = watch::channel(false);
    let is_handed_over = door.is_handed_over();
    let listener = door.open(closing)?;
    // The system chooses a port for a setting that ends in `:0`.
    let listen = listener.address();
    let epoch = tokio::spawn(follow_epoch(assembly.state.clone()));
    let public_server = tokio::spawn(serve_public(listener, app(&assembly), draining.clone(), stopped));
    start.is_over();
    tracing::info!(
        variants = %assembly.variants,
        %listen,
        %internal_listen,
        is_handed_over,
        database_connections = settings.database.database_connections,
        ready_after_ms = started.elapsed().as_millis() as u64,
        "serving"
    );
    supervisor::tell(News::Ready);

    signals.next().await;
    signals.end_at_the_next();
    supervisor::tell(News::Stopping);
    draining.store(true, Ordering::Relaxed);
    let HttpSettings {
        closing_notice,
        drain_timeout,
        ..
    } = settings.http;
    tracing::info!(
        ?closing_notice,
        ?drain_timeout,
        "stopping: requests in flight are finished first"
    );
    // Who comes from now on waits for the next process. Nobody would be there for them at a socket of our own.
    close.send_replace(is_handed_over);
    tokio::time::sleep(closing_notice).await;
    if !is_handed_over {
        close.send_replace(true);
        tokio::time::sleep(LAST_ARRIVALS).await;
    }
    stop.send_replace(true);
    let drained = tokio::time::timeout(drain_timeout, public_server).await;
    epoch.abort();
    internal_server.abort();
    match drained {
        Ok(ended) => ended.context("the server ended unexpectedly")??,
        Err(_) => tracing::warn!("requests were still in flight at the deadline; they are cut off"),
    }
    let closing = assembly.state.database.close();
    let _ = tokio::time::timeout(Duration::from_secs(1), closing).await;
    traces.stop().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| {
        format!("can't listen on {address}; set BACKSTOCK_INTERNAL_LISTEN to a free address, for example 127.0.0.1:0")
    })
}

async fn serve_public(
    listener: Listener,
    router: axum::Router,
    draining: Arc<AtomicBool>,
    mut stopped: watch::Receiver<bool>,
) -> std::io::Result<()> {
    // Without it, the last part of an answer waits for the client's acknowledgement of the one before.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY can't be set");
        }
    });
    let stop = async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    // A connection that is closed while it is idle may be closed under a request that was just sent. One that is closed
    // after an answer that says so isn't: its client sends the next request elsewhere. Around the router and not one of
    // its layers, which would cost each request two boxes; this one costs it a look at a flag.
    let goodbye = MapResponseLayer::new(move |mut response: Response| {
        if draining.load(Ordering::Relaxed) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    });
    // Limits on attempts count by the address that connects.
    let service =
        ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(goodbye.layer(router));
    axum::serve(listener, service).with_graceful_shutdown(stop).await
}

async fn follow_epoch(app: api::state::AppState) {
    app.catalog.cache.follow_epoch(&app.side).await;
}
