//! The life of a worker process: startup, running, and graceful shutdown on SIGTERM or Ctrl-C.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use platform::postgres::InstrumentedPool;
use platform::server::{self, ConnectionSettings, MAX_INTERNAL_CONNECTIONS};
use platform::shutdown::ShutdownSignals;
use platform::startup::{POSTGRES, RABBITMQ, Startup};
use platform::systemd_notify::{self, ServiceState};
use platform::{postgres, telemetry};
use shop::messages::Consumer;
use shop::orders::init_order_metrics;
use shop::schema::{self, SchemaError};
use shop::third_parties::carrier::Carrier;
use shop::third_parties::mail::Mailer;
use shop::third_parties::payment::PaymentGateway;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::background_tasks::{BackgroundTasks, cleanup_tasks};
use crate::broker::{Broker, BrokerError};
use crate::components::{HealthRegistry, ShutdownToken};
use crate::consumers::{ConsumeLoop, ConsumerContext, ThirdParties};
use crate::health::{self, InternalState};
use crate::queue_metrics::QueueMetrics;
use crate::relay::{self, Relay};
use crate::settings::{Component, Settings};
use crate::topology::Topology;

/// How long closing the connections to the broker and to Postgres may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Limits of the internal listener, whose clients are nearby and send little.
const INTERNAL_CONNECTIONS: ConnectionSettings = ConnectionSettings {
    max_connections: MAX_INTERNAL_CONNECTIONS,
    header_timeout: Duration::from_secs(5),
    idle_timeout: Duration::from_secs(75),
    write_timeout: Duration::from_secs(30),
    max_header_bytes: 16_384,
};

/// Runs until SIGTERM or Ctrl-C. Exit code 2 for invalid settings.
pub fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(work(settings));
    // Dropping the runtime would wait indefinitely for blocking work, for example a DNS lookup.
    runtime.shutdown_timeout(CLOSE_TIMEOUT);
    ended
}

async fn work(settings: Settings) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    if let Err(error) = telemetry::init_logs(&settings.log) {
        return reject_settings(&[format!("BACKSTOCK_LOG: {error}; an example: info,sqlx=warn")]);
    }
    // Installed before anything slow, so that no signal is missed.
    let mut signals = ShutdownSignals::install()?;
    let metrics = init_metrics(&settings);
    let traces = match telemetry::init_traces(&settings.telemetry, "backstock-worker") {
        Ok(traces) => traces,
        Err(error) => return reject_settings(&[error.to_string()]),
    };
    let contradictions = settings.contradictions();
    if !contradictions.is_empty() {
        return reject_settings(&contradictions);
    }
    let (options, context) = build_context(&settings)?;
    let topology = Topology::new(&settings.consumers.retry_delays);
    let broker = Arc::new(Broker::new(settings.amqp.clone(), topology));

    let listener = bind(settings.internal_listen).await?;
    let internal_listen = listener.local_addr()?;
    let startup = Startup::waiting_for(&[POSTGRES, RABBITMQ]);
    let draining = Arc::new(AtomicBool::new(false));
    let health = HealthRegistry::default();
    let state = InternalState {
        pool: context.pool.clone(),
        broker: broker.clone(),
        components: health.clone(),
        selection: settings.selection,
        metrics,
        startup: startup.clone(),
        draining: draining.clone(),
    };
    // Never sent to: the internal listener keeps answering during the drain and is aborted after it.
    let (_never_stopped, stopped) = watch::channel(false);
    let internal_server = tokio::spawn(server::serve(
        listener,
        health::router(state),
        INTERNAL_CONNECTIONS,
        stopped,
    ));
    tokio::select! {
        connected = connect_dependencies(&startup, &options, &broker) => connected?,
        () = signals.recv() => {
            tracing::info!("stopped during startup");
            return Ok(ExitCode::SUCCESS);
        }
    }

    let (shutdown_sender, shutdown) = ShutdownToken::new();
    let running = start(&settings, options, &broker, &context, &health, &shutdown);
    startup.mark_ready();
    log_working(&settings, internal_listen, started);
    systemd_notify::notify(ServiceState::Ready);

    signals.recv().await;
    signals.exit_on_next();
    systemd_notify::notify(ServiceState::Stopping);
    draining.store(true, Ordering::Relaxed);
    let _ = shutdown_sender.send(true);
    tracing::info!(drain_timeout = ?settings.drain_timeout, "draining work in flight");
    drain(running, settings.drain_timeout).await;
    let closing = async {
        broker.close().await;
        context.pool.close().await;
    };
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
    traces.stop().await;
    internal_server.abort();
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn init_metrics(settings: &Settings) -> telemetry::Metrics {
    let metrics = telemetry::init_metrics(&settings.telemetry, "backstock-worker");
    settings.selection.record_metrics();
    init_order_metrics();
    crate::metrics::describe(cleanup_tasks());
    metrics
}

fn log_working(settings: &Settings, internal_listen: SocketAddr, started: Instant) {
    tracing::info!(
        variants = %settings.selection,
        %internal_listen,
        ready_after_ms = started.elapsed().as_millis() as u64,
        "working"
    );
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| {
        format!("can't listen on {address}; set BACKSTOCK_INTERNAL_LISTEN to a free address, for example 127.0.0.1:0")
    })
}

fn reject_settings(errors: &[String]) -> anyhow::Result<ExitCode> {
    for error in errors {
        eprintln!("backstock-worker: {error}");
    }
    Ok(ExitCode::from(2))
}

/// Returns when all components have ended, or at the deadline.
async fn drain(mut running: JoinSet<()>, drain_timeout: Duration) {
    let draining = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(drain_timeout, draining).await.is_err() {
        tracing::warn!(
            "work was still in flight at the drain deadline; it is aborted and its messages will be redelivered"
        );
    }
}

/// Waits for Postgres and RabbitMQ concurrently.
async fn connect_dependencies(
    startup: &Startup,
    options: &PgConnectOptions,
    broker: &Broker,
) -> anyhow::Result<()> {
    let postgres = async {
        let connecting = async || schema::connect(options).await;
        let reached = startup
            .wait_for(POSTGRES, SchemaError::is_transient, connecting)
            .await;
        reached.map(drop).map_err(anyhow::Error::from)
    };
    let rabbitmq = async {
        let connecting = async || broker.connect().await;
        let reached = startup
            .wait_for(RABBITMQ, BrokerError::is_transient, connecting)
            .await;
        reached.context("can't use the RabbitMQ at BACKSTOCK_AMQP_URL")
    };
    tokio::try_join!(postgres, rabbitmq).map(drop)
}

/// Builds what needs settings only, without connecting to anything.
fn build_context(settings: &Settings) -> anyhow::Result<(PgConnectOptions, Arc<ConsumerContext>)> {
    let options = postgres::connect_options(&settings.database, "backstock-worker")?;
    let third_parties = ThirdParties {
        payments: PaymentGateway::new(&settings.payment)?,
        carrier: Carrier::new(&settings.carrier)?,
        mailer: Mailer::new(&settings.mail)?,
    };
    let pool = InstrumentedPool::new(&settings.database, options.clone());
    let context = ConsumerContext::new(
        pool,
        third_parties,
        settings.consumers.clone(),
        &settings.selection,
    );
    Ok((options, Arc::new(context)))
}

/// Spawns each component as a task that ends after shutdown is requested and its work in flight is drained.
fn start(
    settings: &Settings,
    options: PgConnectOptions,
    broker: &Arc<Broker>,
    context: &Arc<ConsumerContext>,
    health: &HealthRegistry,
    shutdown: &ShutdownToken,
) -> JoinSet<()> {
    let mut running = JoinSet::new();
    let queue_metrics = QueueMetrics {
        pool: context.pool.clone(),
        broker: broker.clone(),
        interval: settings.gauges_interval,
        consumes: settings.components.contains(&Component::Consumers),
    };
    let metrics_shutdown = shutdown.clone();
    running.spawn(async move { queue_metrics.run(&metrics_shutdown).await });
    if settings.components.contains(&Component::Relay) {
        let wake = Arc::new(Notify::new());
        running.spawn(listen(options, wake.clone(), health.clone(), shutdown.clone()));
        running.spawn(relay(
            settings.clone(),
            broker.clone(),
            context.pool.clone(),
            wake,
            health.clone(),
            shutdown.clone(),
        ));
    }
    if settings.components.contains(&Component::Consumers) {
        for consumer in Consumer::ALL {
            let consume_loop = ConsumeLoop {
                consumer,
                broker: broker.clone(),
                context: context.clone(),
                confirm_timeout: settings.relay.confirm_timeout,
                health: health.clone(),
                shutdown: shutdown.clone(),
            };
            running.spawn(consume_loop.run());
        }
    }
    if settings.components.contains(&Component::BackgroundTasks) {
        let tasks = BackgroundTasks {
            pool: context.pool.clone(),
            payments: context.payments.clone(),
            settings: settings.upkeep.clone(),
        };
        running.spawn(tasks.run(health.clone(), shutdown.clone()));
    }
    running
}

async fn relay(
    settings: Settings,
    broker: Arc<Broker>,
    pool: InstrumentedPool,
    wake: Arc<Notify>,
    health: HealthRegistry,
    shutdown: ShutdownToken,
) {
    let relay = Relay {
        pool: &pool,
        broker: &broker,
        settings: &settings.relay,
        wake: &wake,
    };
    relay.run(&health, &shutdown).await;
}

/// `LISTEN` holds its connection permanently, so it gets one outside of the pool.
async fn listen(
    options: PgConnectOptions,
    wake: Arc<Notify>,
    health: HealthRegistry,
    shutdown: ShutdownToken,
) {
    let one = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    relay::listen(&one, &wake, &health, &shutdown).await;
}
