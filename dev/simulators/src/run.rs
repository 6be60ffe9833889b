//! The process: binds four listeners, serves, and shuts down gracefully on SIGTERM or Ctrl-C.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use simulators::carrier::{self, CarrierOptions};
use simulators::fault_injection::{FaultConfig, SimulatedService};
use simulators::smtp::{self, MailSink, Mailbox, MailboxLimits, inbox};
use simulators::snapshot::Snapshot;
use simulators::{payment, server};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, Settings};

/// Serves until a signal arrives. Invalid settings give exit code 2.
pub fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if settings.threads > 0 {
        runtime.worker_threads(usize::from(settings.threads));
    }
    let runtime = runtime.enable_all().build()?;
    match runtime.block_on(serve(settings)) {
        Err(Failure::Setting(message)) => {
            eprintln!("backstock-simulators: {message}");
            Ok(ExitCode::from(2))
        }
        Err(Failure::Other(error)) => Err(error),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

enum Failure {
    Setting(String),
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

fn setting(variables: &str) -> impl Fn(String) -> Failure {
    move |error| Failure::Setting(format!("{variables}: {error}"))
}

async fn serve(settings: Settings) -> Result<(), Failure> {
    init_logs(&settings)?;
    let payments = service(1, settings.payment_config(), "BACKSTOCK_PAYMENT_…")?;
    let parcels = service(2, settings.carrier_config(), "BACKSTOCK_CARRIER_…")?;
    let mails = service(3, settings.smtp_config(), "BACKSTOCK_SMTP_…")?;

    // Registered before any listener is bound, so that a signal sent after the log line `serving` is never missed.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let payment = bind(settings.payment_listen, "BACKSTOCK_PAYMENT_LISTEN").await?;
    let carrier = bind(settings.carrier_listen, "BACKSTOCK_CARRIER_LISTEN").await?;
    let smtp = bind(settings.smtp_listen, "BACKSTOCK_SMTP_LISTEN").await?;
    let inbox = bind(settings.inbox_listen, "BACKSTOCK_INBOX_LISTEN").await?;
    // For a setting that ends in `:0`, the system has chosen the port.
    let (payment_listen, carrier_listen) = (payment.local_addr()?, carrier.local_addr()?);
    let (smtp_listen, inbox_listen) = (smtp.local_addr()?, inbox.local_addr()?);

    let Snapshot {
        payments: payments_snapshot,
        parcels: parcels_snapshot,
        mails: mails_snapshot,
    } = match &settings.state {
        Some(path) => Snapshot::read(path)?,
        None => Snapshot::default(),
    };
    let base_url = settings.carrier.carrier_public_url.clone();
    let carrier_options = CarrierOptions {
        secret: settings.carrier.carrier_secret.clone(),
        max_labels: settings.carrier.carrier_max_labels,
        base_url: base_url.unwrap_or_else(|| format!("http://{carrier_listen}")),
        snapshot: parcels_snapshot,
    };
    let max_payments = settings.payment.payment_max_payments;
    let (gateway, payments_handle) = payment::router(payments, max_payments, payments_snapshot);
    let carrier_router = carrier::router(parcels, carrier_options);
    let (carrier_router, parcels_handle) = carrier_router.map_err(setting("BACKSTOCK_CARRIER_SECRET"))?;
    let limits = MailboxLimits {
        mails: settings.smtp.inbox_max_mails,
        bytes: settings.smtp.inbox_max_bytes,
    };
    let mailbox = Arc::new(Mailbox::restored(limits, mails_snapshot));
    let sink = Arc::new(MailSink {
        service: mails.clone(),
        mailbox: mailbox.clone(),
        max_mail_bytes: settings.smtp.smtp_max_mail_bytes,
    });

    let (shutdown_sender, shutdown) = watch::channel(false);
    let mut servers = JoinSet::new();
    servers.spawn(server::serve(payment, gateway, shutdown.clone()));
    servers.spawn(server::serve(carrier, carrier_router, shutdown.clone()));
    servers.spawn(server::serve(
        inbox,
        inbox::router(mailbox.clone(), mails),
        shutdown.clone(),
    ));
    servers.spawn(smtp::serve(smtp, sink, shutdown));
    tracing::info!(%payment_listen, %carrier_listen, %smtp_listen, %inbox_listen, seed = settings.seed, "serving");

    either_signal(&mut terminate, &mut interrupt).await;
    tokio::spawn(exit_on_second_signal(terminate, interrupt));
    tracing::info!("shutting down: draining requests in flight");
    shutdown_sender.send_replace(true);
    drain(servers, Duration::from_millis(settings.drain_timeout_ms)).await;
    if let Some(path) = &settings.state {
        let snapshot = Snapshot {
            payments: payments_handle.snapshot(),
            parcels: parcels_handle.snapshot(),
            mails: mailbox.snapshot(),
        };
        snapshot.write(path)?;
    }
    tracing::info!("stopped");
    Ok(())
}

fn service<C: FaultConfig>(
    number: u64,
    config: C,
    variables: &str,
) -> Result<Arc<SimulatedService<C>>, Failure> {
    let service = SimulatedService::new(number, config).map_err(setting(variables))?;
    Ok(Arc::new(service))
}

async fn bind(address: SocketAddr, variable: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| {
        format!("can't listen on {address}; set {variable} to a free address, for example 127.0.0.1:0")
    })
}

async fn either_signal(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn exit_on_second_signal(mut terminate: Signal, mut interrupt: Signal) {
    either_signal(&mut terminate, &mut interrupt).await;
    tracing::warn!("second signal: exiting without draining");
    std::process::exit(1);
}

/// Returns when all servers have drained, or at the timeout.
async fn drain(mut servers: JoinSet<()>, drain_timeout: Duration) {
    let drained = async { while servers.join_next().await.is_some() {} };
    if tokio::time::timeout(drain_timeout, drained).await.is_err() {
        tracing::warn!("the drain timeout is over; requests in flight are cut off");
    }
}

/// Logs go to standard error, like those of the shop's processes.
fn init_logs(settings: &Settings) -> Result<(), Failure> {
    let filter = EnvFilter::builder().parse(&settings.log);
    let filter = filter.map_err(|error| setting("BACKSTOCK_LOG")(format!("{error}; an example: info")))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
