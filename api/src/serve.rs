//! `backstock-api serve`: from settings to listening sockets, and back to nothing on SIGTERM or Ctrl-C.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::serve::ListenerExt;
use sqlx::ConnectOptions;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use api::http::internal::{self, Internal};
use api::settings::Settings;
use api::state::assemble;
use api::{app, migrate};
use storefront::telemetry;

/// How long the process says that it is not ready before it stops taking connections, so that a balancer can look
/// away first. Short: behind none, nobody waits for it.
const UNREADY_BEFORE_CLOSING: Duration = Duration::from_millis(100);

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
    let metrics = telemetry::init_metrics(&settings.variants);
    api::metrics::describe();
    let assembly = match assemble(&settings) {
        Ok(assembly) => assembly,
        Err(error) => {
            eprintln!("backstock-api: {error}");
            return Ok(ExitCode::from(2));
        }
    };
    check_schema(&settings).await?;

    let public = bind(settings.listen, "BACKSTOCK_LISTEN").await?;
    let private = bind(settings.internal_listen, "BACKSTOCK_INTERNAL_LISTEN").await?;
    // The system chooses a port for a setting that ends in `:0`.
    let (listen, internal_listen) = (public.local_addr()?, private.local_addr()?);
    let draining = Arc::new(AtomicBool::new(false));
    let internal = internal::router(Internal {
        app: assembly.state.clone(),
        variants: assembly.variants,
        metrics,
        draining: draining.clone(),
    });
    let (stop, stopped) = watch::channel(false);
    let internal_server = tokio::spawn(axum::serve(private, internal).into_future());
    let epoch = tokio::spawn(follow_epoch(assembly.state.clone()));
    let public_server = tokio::spawn(serve_public(public, app(&assembly), stopped));
    tracing::info!(
        variants = %assembly.variants,
        %listen,
        %internal_listen,
        database_connections = settings.database.database_connections,
        ready_after_ms = started.elapsed().as_millis() as u64,
        "serving"
    );

    wait_for_signal().await?;
    draining.store(true, Ordering::Relaxed);
    tracing::info!(drain_timeout = ?settings.http.drain_timeout, "stopping: requests in flight are finished first");
    tokio::time::sleep(UNREADY_BEFORE_CLOSING).await;
    stop.send_replace(true);
    let drained = tokio::time::timeout(settings.http.drain_timeout, public_server).await;
    epoch.abort();
    internal_server.abort();
    match drained {
        Ok(ended) => ended.context("the server ended unexpectedly")??,
        Err(_) => tracing::warn!("requests were still in flight at the deadline; they are cut off"),
    }
    let closing = assembly.state.database.close();
    let _ = tokio::time::timeout(Duration::from_secs(1), closing).await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

async fn check_schema(settings: &Settings) -> anyhow::Result<()> {
    let options = storefront::postgres::connect_options(&settings.database, "backstock-api")?;
    let mut connection = options
        .connect()
        .await
        .context("can't connect to Postgres at BACKSTOCK_DATABASE_URL")?;
    migrate::check(&mut connection, settings.variants.indexes).await?;
    Ok(())
}

async fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| {
        format!("can't listen on {address}; set {setting} to a free address, for example 127.0.0.1:0")
    })
}

async fn serve_public(
    listener: TcpListener,
    router: axum::Router,
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
    // Limits on attempts count by the address that connects.
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stop).await
}

async fn follow_epoch(app: api::state::AppState) {
    app.catalog.cache.follow_epoch(&app.side).await;
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
