//! From settings to a connected worker, and back to nothing on SIGTERM or Ctrl-C.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context;
use storefront::{amqp, postgres, telemetry};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::health::{self, Health};
use crate::settings::Settings;

/// Works until a signal comes. Exit code 2 for settings that can't be used.
pub fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work(settings))
}

async fn work(settings: Settings) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    if let Err(error) = telemetry::init_logs(&settings.log) {
        eprintln!("backstock-worker: BACKSTOCK_LOG: {error}; an example: info,sqlx=warn");
        return Ok(ExitCode::from(2));
    }
    let metrics = telemetry::init_metrics(&settings.variants);
    let options = match postgres::connect_options(&settings.database, "backstock-worker") {
        Ok(options) => options,
        Err(error) => {
            eprintln!("backstock-worker: {error}");
            return Ok(ExitCode::from(2));
        }
    };
    let pool = postgres::pool(&settings.database, options);
    let connecting = amqp::connect(&settings.amqp, "backstock-worker");
    let broker = Arc::new(
        connecting
            .await
            .context("can't connect to RabbitMQ at BACKSTOCK_AMQP_URL")?,
    );

    let address = settings.internal_listen;
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| {
        format!("can't listen on {address}; set BACKSTOCK_INTERNAL_LISTEN to a free address, for example 127.0.0.1:0")
    })?;
    let draining = Arc::new(AtomicBool::new(false));
    let health = Health {
        pool: pool.clone(),
        broker: broker.clone(),
        variants: settings.variants,
        metrics,
        draining: draining.clone(),
    };
    let internal_server = tokio::spawn(axum::serve(listener, health::router(health)).into_future());
    tracing::info!(
        variants = %settings.variants,
        internal_listen = %address,
        ready_after_ms = started.elapsed().as_millis() as u64,
        "working"
    );

    wait_for_signal().await?;
    draining.store(true, Ordering::Relaxed);
    tracing::info!(drain_timeout = ?settings.drain_timeout, "stopping: work in flight is finished first");
    let closing = async {
        if let Err(error) = broker.close(200, "the worker stops".into()).await {
            tracing::warn!(%error, "the connection to RabbitMQ didn't close cleanly");
        }
        pool.close().await;
    };
    if tokio::time::timeout(settings.drain_timeout, closing)
        .await
        .is_err()
    {
        tracing::warn!(
            "work was still in flight at the deadline; it is cut off, and will be delivered again"
        );
    }
    internal_server.abort();
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
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
