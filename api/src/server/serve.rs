//! `backstock-api serve`: from settings to listening sockets, and graceful shutdown on SIGTERM or Ctrl-C.
//!
//! The internal listener opens first, then the process waits for Postgres, then the public listener opens. Read next:
//! `graceful_shutdown.rs`.

use std::fmt::Display;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use platform::server::{self, ConnectionSettings, MAX_INTERNAL_CONNECTIONS};
use platform::shutdown::ShutdownSignals;
use platform::startup::{POSTGRES, Startup};
use platform::systemd_notify::{self, ServiceState};
use platform::{postgres, telemetry};
use shop::orders::init_order_metrics;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::catalog::changes;
use crate::migrate::{self, UnusableDatabase};
use crate::passwords::pool::hashes_at_once;
use crate::server::app::build_app;
use crate::server::graceful_shutdown::PublicServer;
use crate::server::internal::{self, Internal};
use crate::server::listen_socket::ListenSocket;
use crate::server::router::app;
use crate::settings::Settings;

/// How long the process waits for blocking work at the end of its shutdown.
const BLOCKING_WORK_TIMEOUT: Duration = Duration::from_secs(1);

/// Threads for blocking work other than password hashing: DNS lookups and the export of the last traces. Tokio's
/// default limit is 512 threads, each with its own memory.
const OTHER_BLOCKING_THREADS: usize = 8;

/// Serves until SIGTERM or SIGINT. Exit code 2 for unusable settings.
pub fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let threads = match usize::from(settings.threads) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    // The runtime starts its request threads first; all later ones are for blocking work. `top -H` shows which are
    // busy.
    let started = AtomicUsize::new(0);
    let name = move || match started.fetch_add(1, Ordering::Relaxed) {
        earlier if earlier < threads => "api-requests".to_owned(),
        _ => "api-blocking".to_owned(),
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let blocking = hashes_at_once(settings.passwords) + OTHER_BLOCKING_THREADS;
    runtime
        .worker_threads(threads)
        .max_blocking_threads(blocking)
        .thread_name_fn(name);
    let runtime = runtime.enable_all().build()?;
    let ended = runtime.block_on(serve(settings));
    // Dropping the runtime would wait for blocking work without a bound, for example for a DNS lookup.
    runtime.shutdown_timeout(BLOCKING_WORK_TIMEOUT);
    ended
}

async fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    if let Err(error) = telemetry::init_logs(&settings.log) {
        return unusable(&format!("BACKSTOCK_LOG: {error}; an example: info,sqlx=warn"));
    }
    // Installed before anything slow, so that no signal is missed.
    let mut signals = ShutdownSignals::install()?;
    let metrics = init_metrics(&settings);
    let traces = match telemetry::init_traces(&settings.telemetry, "backstock-api") {
        Ok(traces) => traces,
        Err(error) => return unusable(&error),
    };
    let app_builder = match build_app(&settings) {
        Ok(app_builder) => app_builder,
        Err(error) => return unusable(&error),
    };

    let socket = ListenSocket::bind_or_inherit(settings.listen)?;
    let private = bind(settings.internal_listen).await?;
    let internal_listen = private.local_addr()?;
    let startup = Startup::waiting_for(&[POSTGRES]);
    let draining = Arc::new(AtomicBool::new(false));
    let internal = internal::router(Internal {
        app: app_builder.state.clone(),
        selection: app_builder.selection,
        metrics,
        startup: startup.clone(),
        draining: draining.clone(),
    });
    let operators = internal_connections(&settings);
    let (keep_answering, stopped) = watch::channel(false);
    let internal_server = tokio::spawn(server::serve(private, internal, operators, stopped));
    let options = postgres::connect_options(&settings.database, "backstock-api")?;
    let connecting = async || migrate::connect(&options, settings.selection.indexes).await;
    tokio::select! {
        reached = startup.wait_for(POSTGRES, UnusableDatabase::is_transient, connecting) => {
            app_builder.state.catalog.reference.load(&mut reached?).await?;
        }
        () = signals.recv() => {
            tracing::info!("stopped before it served");
            return Ok(ExitCode::SUCCESS);
        }
    }

    let public_server = PublicServer::start(
        socket,
        app(&app_builder),
        settings.http.connections,
        draining.clone(),
    )?;
    app_builder.state.catalog.replicas.load_ahead();
    let catalog = Arc::clone(&app_builder.state.catalog);
    let changes = tokio::spawn(async move { changes::follow(&catalog).await });
    startup.mark_ready();
    log_serving(&settings, &public_server, internal_listen, started);
    systemd_notify::notify(ServiceState::Ready);

    signals.recv().await;
    signals.exit_on_next();
    systemd_notify::notify(ServiceState::Stopping);
    draining.store(true, Ordering::Relaxed);
    log_stopping(&settings);
    let drained = public_server.shut_down(settings.http).await;
    changes.abort();
    internal_server.abort();
    drop(keep_answering);
    let closing = app_builder.state.database.close();
    let _ = tokio::time::timeout(Duration::from_secs(1), closing).await;
    traces.stop().await;
    tracing::info!("stopped");
    drained.map(|()| ExitCode::SUCCESS)
}

fn internal_connections(settings: &Settings) -> ConnectionSettings {
    ConnectionSettings {
        max_connections: MAX_INTERNAL_CONNECTIONS,
        ..settings.http.connections
    }
}

fn log_stopping(settings: &Settings) {
    tracing::info!(
        closing_notice = ?settings.http.closing_notice,
        drain_timeout = ?settings.http.drain_timeout,
        "stopping: requests in flight are finished first"
    );
}

fn init_metrics(settings: &Settings) -> telemetry::Metrics {
    let metrics = telemetry::init_metrics(&settings.telemetry, "backstock-api");
    settings.selection.record_metrics();
    init_order_metrics();
    crate::metrics::describe();
    metrics
}

fn log_serving(
    settings: &Settings,
    public_server: &PublicServer,
    internal_listen: SocketAddr,
    started: Instant,
) {
    tracing::info!(
        variants = %settings.selection,
        // The port that the system chose, if the setting ends in `:0`.
        listen = %public_server.listen,
        %internal_listen,
        is_inherited = public_server.is_inherited,
        database_connections = settings.database.database_connections,
        ready_after_ms = started.elapsed().as_millis() as u64,
        "serving"
    );
}

/// Exit code 2, with the reason.
fn unusable(why: &dyn Display) -> anyhow::Result<ExitCode> {
    eprintln!("backstock-api: {why}");
    Ok(ExitCode::from(2))
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| {
        format!("can't listen on {address}; set BACKSTOCK_INTERNAL_LISTEN to a free address, for example 127.0.0.1:0")
    })
}
