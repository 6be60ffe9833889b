//! From settings to a working process, and back to nothing on SIGTERM or Ctrl-C.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use storefront::messages::Consumer;
use storefront::postgres::MeasuredPool;
use storefront::schema::{self, SchemaError};
use storefront::server::{self, ConnectionSettings, MAX_INTERNAL_CONNECTIONS};
use storefront::shutdown::ShutdownSignals;
use storefront::startup::{POSTGRES, RABBITMQ, Startup};
use storefront::systemd_notify::{self, ServiceState};
use storefront::third_parties::carrier::Carrier;
use storefront::third_parties::mail::Mailer;
use storefront::third_parties::payment::PaymentGateway;
use storefront::{postgres, telemetry};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::broker::{Broker, BrokerError};
use crate::consumers::{Consuming, ThirdParties, Tools};
use crate::gauges::Gauges;
use crate::health::{self, Health};
use crate::parts::{Parts, Stop};
use crate::relay::{self, Relay};
use crate::settings::{Part, Settings};
use crate::topology::Topology;
use crate::upkeep::Upkeep;

/// How long saying goodbye to the broker and to Postgres may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Bounds on the connections of operators, who are near and send little.
const OPERATORS: ConnectionSettings = ConnectionSettings {
    max_connections: MAX_INTERNAL_CONNECTIONS,
    header_timeout: Duration::from_secs(5),
    idle_timeout: Duration::from_secs(75),
    write_timeout: Duration::from_secs(30),
    max_header_bytes: 16_384,
};

/// Works until a signal comes. Exit code 2 for settings that can't be used.
pub fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(work(settings));
    // Dropped, it would wait for blocking work without end: a name that is looked up, for example.
    runtime.shutdown_timeout(GOODBYE_TIMEOUT);
    ended
}

async fn work(settings: Settings) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    if let Err(error) = telemetry::init_logs(&settings.log) {
        return unusable(&[format!("BACKSTOCK_LOG: {error}; an example: info,sqlx=warn")]);
    }
    // Before anything that takes time, so that no signal is missed.
    let mut signals = ShutdownSignals::install()?;
    let metrics = telemetry::init_metrics(&settings.telemetry, &settings.variants, "backstock-worker");
    crate::metrics::describe();
    let traces = match telemetry::init_traces(&settings.telemetry, "backstock-worker") {
        Ok(traces) => traces,
        Err(error) => return unusable(&[error.to_string()]),
    };
    let contradictions = settings.contradictions();
    if !contradictions.is_empty() {
        return unusable(&contradictions);
    }
    let (options, tools) = assemble(&settings)?;
    let topology = Topology::new(settings.consumers.retry_delays.clone());
    let broker = Arc::new(Broker::new(settings.amqp.clone(), topology));

    let listener = bind(settings.internal_listen).await?;
    let internal_listen = listener.local_addr()?;
    let startup = Startup::waiting_for(&[POSTGRES, RABBITMQ]);
    let draining = Arc::new(AtomicBool::new(false));
    let parts = Parts::default();
    let health = Health {
        pool: tools.pool.clone(),
        broker: broker.clone(),
        parts: parts.clone(),
        variants: settings.variants,
        metrics,
        startup: startup.clone(),
        draining: draining.clone(),
    };
    let (_keep_answering, stopped) = watch::channel(false);
    let internal_server = tokio::spawn(server::serve(
        listener,
        health::router(health),
        OPERATORS,
        stopped,
    ));
    tokio::select! {
        reached = reach_stores(&startup, &options, &broker) => reached?,
        () = signals.recv() => {
            tracing::info!("stopped before it worked");
            return Ok(ExitCode::SUCCESS);
        }
    }

    let (stopper, stop) = Stop::new();
    let running = start(&settings, options, &broker, &tools, &parts, &stop);
    startup.mark_ready();
    log_working(&settings, internal_listen, started);
    systemd_notify::notify(ServiceState::Ready);

    signals.recv().await;
    signals.exit_on_next();
    systemd_notify::notify(ServiceState::Stopping);
    draining.store(true, Ordering::Relaxed);
    let _ = stopper.send(true);
    tracing::info!(drain_timeout = ?settings.drain_timeout, "stopping: work in flight is finished first");
    finish(running, settings.drain_timeout).await;
    let goodbye = async {
        broker.close().await;
        tools.pool.close().await;
    };
    let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
    traces.stop().await;
    internal_server.abort();
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn log_working(settings: &Settings, internal_listen: SocketAddr, started: Instant) {
    tracing::info!(
        variants = %settings.variants,
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

/// Settings are, and these say why.
fn unusable(why: &[String]) -> anyhow::Result<ExitCode> {
    for why in why {
        eprintln!("backstock-worker: {why}");
    }
    Ok(ExitCode::from(2))
}

/// Returns when all parts have ended, or the time is over.
async fn finish(mut running: JoinSet<()>, drain_timeout: Duration) {
    let draining = async { while running.join_next().await.is_some() {} };
    if tokio::time::timeout(drain_timeout, draining).await.is_err() {
        tracing::warn!(
            "work was still in flight at the deadline; it is cut off, and will be delivered again"
        );
    }
}

/// Waits for both at once.
async fn reach_stores(startup: &Startup, options: &PgConnectOptions, broker: &Broker) -> anyhow::Result<()> {
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

/// What can be made of settings alone. Connects to nothing yet.
fn assemble(settings: &Settings) -> anyhow::Result<(PgConnectOptions, Arc<Tools>)> {
    let options = postgres::connect_options(&settings.database, "backstock-worker")?;
    let third_parties = ThirdParties {
        payments: PaymentGateway::new(&settings.payment)?,
        carrier: Carrier::new(&settings.carrier)?,
        mailer: Mailer::new(&settings.mail)?,
    };
    let pool = MeasuredPool::new(&settings.database, options.clone());
    let tools = Tools::new(
        pool,
        third_parties,
        settings.consumers.clone(),
        &settings.variants,
    );
    Ok((options, Arc::new(tools)))
}

/// Each part is a task that ends when the signal has come and its work in flight is done.
fn start(
    settings: &Settings,
    options: PgConnectOptions,
    broker: &Arc<Broker>,
    tools: &Arc<Tools>,
    parts: &Parts,
    stop: &Stop,
) -> JoinSet<()> {
    let mut running = JoinSet::new();
    let gauges = Gauges {
        pool: tools.pool.clone(),
        broker: broker.clone(),
        interval: settings.gauges_interval,
        consumes: settings.parts.contains(&Part::Consumers),
    };
    let counted_until = stop.clone();
    running.spawn(async move { gauges.run(&counted_until).await });
    if settings.parts.contains(&Part::Relay) {
        let wake = Arc::new(Notify::new());
        running.spawn(listen(options, wake.clone(), parts.clone(), stop.clone()));
        running.spawn(relay(
            settings.clone(),
            broker.clone(),
            tools.pool.clone(),
            wake,
            parts.clone(),
            stop.clone(),
        ));
    }
    if settings.parts.contains(&Part::Consumers) {
        for consumer in Consumer::ALL {
            let consuming = Consuming {
                consumer,
                broker: broker.clone(),
                tools: tools.clone(),
                confirm_timeout: settings.relay.confirm_timeout,
                parts: parts.clone(),
                stop: stop.clone(),
            };
            running.spawn(consuming.run());
        }
    }
    if settings.parts.contains(&Part::Upkeep) {
        let upkeep = Upkeep {
            pool: tools.pool.clone(),
            payments: tools.payments.clone(),
            settings: settings.upkeep.clone(),
        };
        running.spawn(upkeep.run(parts.clone(), stop.clone()));
    }
    running
}

async fn relay(
    settings: Settings,
    broker: Arc<Broker>,
    pool: MeasuredPool,
    wake: Arc<Notify>,
    parts: Parts,
    stop: Stop,
) {
    let relay = Relay {
        pool: &pool,
        broker: &broker,
        settings: &settings.relay,
        wake: &wake,
    };
    relay.run(&parts, &stop).await;
}

/// A listener keeps its connection for good, so it isn't one of the pool's.
async fn listen(options: PgConnectOptions, wake: Arc<Notify>, parts: Parts, stop: Stop) {
    let one = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
    relay::listen(&one, &wake, &parts, &stop).await;
}
