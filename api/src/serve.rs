//! `backstock-api serve`: from settings to listening sockets, and back to nothing on SIGTERM or Ctrl-C.
//!
//! Operators are answered at once; Postgres is waited for; then customers are let in. Read next: `customers.rs`, how they are
//! sent home again.

use std::fmt::Display;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;

use api::app;
use api::http::internal::{self, Internal};
use api::migrate::{self, UnusableDatabase};
use api::passwords::pool::hashes_at_once;
use api::settings::Settings;
use api::state::assemble;
use storefront::server::{self, ConnectionSettings, MAX_INTERNAL_CONNECTIONS};
use storefront::starting::{POSTGRES, Start};
use storefront::stopping::Signals;
use storefront::supervisor::{self, News};
use storefront::{postgres, telemetry};

use crate::customers::Customers;
use crate::listening::Door;

/// How long the process waits for blocking work when all else has ended.
const BLOCKING_WORK_TIMEOUT: Duration = Duration::from_secs(1);

/// Threads for blocking work besides hashing passwords: names that are looked up, and the collector's last traces. The
/// runtime would start up to 512, each with memory of its own.
const OTHER_BLOCKING_THREADS: usize = 8;

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
    let blocking = hashes_at_once(settings.passwords) + OTHER_BLOCKING_THREADS;
    runtime
        .worker_threads(threads)
        .max_blocking_threads(blocking)
        .thread_name_fn(name);
    let runtime = runtime.enable_all().build()?;
    let ended = runtime.block_on(serve(settings));
    // Dropped, it would wait for blocking work without end: a name that is looked up, for example.
    runtime.shutdown_timeout(BLOCKING_WORK_TIMEOUT);
    ended
}

async fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    if let Err(error) = telemetry::init_logs(&settings.log) {
        return unusable(&format!("BACKSTOCK_LOG: {error}; an example: info,sqlx=warn"));
    }
    // Before anything that takes time, so that no signal is missed.
    let mut signals = Signals::listen()?;
    let metrics = telemetry::init_metrics(&settings.telemetry, &settings.variants, "backstock-api");
    api::metrics::describe();
    let traces = match telemetry::init_traces(&settings.telemetry, "backstock-api") {
        Ok(traces) => traces,
        Err(error) => return unusable(&error),
    };
    let assembly = match assemble(&settings) {
        Ok(assembly) => assembly,
        Err(error) => return unusable(&error),
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
    let operators = ConnectionSettings {
        max_connections: MAX_INTERNAL_CONNECTIONS,
        ..settings.http.connections
    };
    let (keep_answering, stopped) = watch::channel(false);
    let internal_server = tokio::spawn(server::serve(private, internal, operators, stopped));
    let options = postgres::connect_options(&settings.database, "backstock-api")?;
    let connecting = async || migrate::connect(&options, settings.variants.indexes).await;
    tokio::select! {
        reached = start.reach(POSTGRES, UnusableDatabase::may_pass, connecting) => {
            assembly.state.catalog.reference.load(&mut reached?).await?;
        }
        () = signals.next() => {
            tracing::info!("stopped before it served");
            return Ok(ExitCode::SUCCESS);
        }
    }

    let customers = Customers::let_in(door, app(&assembly), settings.http.connections, draining.clone())?;
    assembly.state.catalog.replicas.load_ahead();
    let changes = tokio::spawn(follow_changes(assembly.state.clone()));
    start.is_over();
    log_serving(&settings, &customers, internal_listen, started);
    supervisor::tell(News::Ready);

    signals.next().await;
    signals.end_at_the_next();
    supervisor::tell(News::Stopping);
    draining.store(true, Ordering::Relaxed);
    tracing::info!(
        closing_notice = ?settings.http.closing_notice,
        drain_timeout = ?settings.http.drain_timeout,
        "stopping: requests in flight are finished first"
    );
    let sent_home = customers.send_home(settings.http).await;
    changes.abort();
    internal_server.abort();
    drop(keep_answering);
    let closing = assembly.state.database.close();
    let _ = tokio::time::timeout(Duration::from_secs(1), closing).await;
    traces.stop().await;
    tracing::info!("stopped");
    sent_home.map(|()| ExitCode::SUCCESS)
}

fn log_serving(settings: &Settings, customers: &Customers, internal_listen: SocketAddr, started: Instant) {
    tracing::info!(
        variants = %settings.variants,
        // The system chooses a port for a setting that ends in `:0`.
        listen = %customers.listen,
        %internal_listen,
        is_handed_over = customers.is_handed_over,
        database_connections = settings.database.database_connections,
        ready_after_ms = started.elapsed().as_millis() as u64,
        "serving"
    );
}

/// A setting is, and this says why.
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

async fn follow_changes(app: api::state::AppState) {
    api::catalog::changes::follow(&app).await;
}
