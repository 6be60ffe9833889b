//! From settings to four listening sockets, and back to nothing on SIGTERM or Ctrl-C.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use simulators::carrier::{self, CarrierOptions};
use simulators::conduct::{Conduct, Party};
use simulators::memory::Memory;
use simulators::smtp::{self, Bounds, Mailbox, Sink, inbox};
use simulators::{payment, server};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

use crate::settings::{LogFormat, Settings};

/// Serves until a signal comes. Exit code 2 for settings that can't be used.
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
    let payments = party(1, settings.payment_conduct(), "BACKSTOCK_PAYMENT_…")?;
    let parcels = party(2, settings.carrier_conduct(), "BACKSTOCK_CARRIER_…")?;
    let mails = party(3, settings.smtp_conduct(), "BACKSTOCK_SMTP_…")?;

    // Before anything listens, so that a signal that follows the log's line is never missed.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let payment = bind(settings.payment_listen, "BACKSTOCK_PAYMENT_LISTEN").await?;
    let carrier = bind(settings.carrier_listen, "BACKSTOCK_CARRIER_LISTEN").await?;
    let smtp = bind(settings.smtp_listen, "BACKSTOCK_SMTP_LISTEN").await?;
    let inbox = bind(settings.inbox_listen, "BACKSTOCK_INBOX_LISTEN").await?;
    // The system chooses a port for a setting that ends in `:0`.
    let (payment_listen, carrier_listen) = (payment.local_addr()?, carrier.local_addr()?);
    let (smtp_listen, inbox_listen) = (smtp.local_addr()?, inbox.local_addr()?);

    let Memory {
        payments: kept_payments,
        parcels: kept_parcels,
        mails: kept_mails,
    } = match &settings.state {
        Some(path) => Memory::read(path)?,
        None => Memory::default(),
    };
    let base_url = settings.carrier.carrier_public_url.clone();
    let carrier_options = CarrierOptions {
        secret: settings.carrier.carrier_secret.clone(),
        most_labels: settings.carrier.carrier_max_labels,
        base_url: base_url.unwrap_or_else(|| format!("http://{carrier_listen}")),
        kept: kept_parcels,
    };
    let most_payments = settings.payment.payment_max_payments;
    let (gateway, all_payments) = payment::router(payments, most_payments, kept_payments);
    let carrier_router = carrier::router(parcels, carrier_options);
    let (carrier_router, all_parcels) = carrier_router.map_err(setting("BACKSTOCK_CARRIER_SECRET"))?;
    let bounds = Bounds {
        mails: settings.smtp.inbox_max_mails,
        bytes: settings.smtp.inbox_max_bytes,
    };
    let mailbox = Arc::new(Mailbox::restored(bounds, kept_mails));
    let sink = Arc::new(Sink {
        party: mails.clone(),
        mailbox: mailbox.clone(),
        largest_mail_bytes: settings.smtp.smtp_max_mail_bytes,
    });

    let (stop, stopped) = watch::channel(false);
    let mut servers = JoinSet::new();
    servers.spawn(server::serve(payment, gateway, stopped.clone()));
    servers.spawn(server::serve(carrier, carrier_router, stopped.clone()));
    servers.spawn(server::serve(
        inbox,
        inbox::router(mailbox.clone(), mails),
        stopped.clone(),
    ));
    servers.spawn(smtp::serve(smtp, sink, stopped));
    tracing::info!(%payment_listen, %carrier_listen, %smtp_listen, %inbox_listen, seed = settings.seed, "serving");

    wait_for_either(&mut terminate, &mut interrupt).await;
    tokio::spawn(end_at_the_next(terminate, interrupt));
    tracing::info!("stopping: requests in flight are finished first");
    stop.send_replace(true);
    finish(servers, Duration::from_millis(settings.drain_timeout_ms)).await;
    if let Some(path) = &settings.state {
        let memory = Memory {
            payments: all_payments.kept(),
            parcels: all_parcels.kept(),
            mails: mailbox.kept(),
        };
        memory.write(path)?;
    }
    tracing::info!("stopped");
    Ok(())
}

fn party<C: Conduct>(number: u64, conduct: C, variables: &str) -> Result<Arc<Party<C>>, Failure> {
    let party = Party::new(number, conduct).map_err(setting(variables))?;
    Ok(Arc::new(party))
}

async fn bind(address: SocketAddr, variable: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| {
        format!("can't listen on {address}; set {variable} to a free address, for example 127.0.0.1:0")
    })
}

async fn wait_for_either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

async fn end_at_the_next(mut terminate: Signal, mut interrupt: Signal) {
    wait_for_either(&mut terminate, &mut interrupt).await;
    tracing::warn!("asked a second time: it ends at once, whatever is in flight");
    std::process::exit(1);
}

/// Returns when all servers have ended, or the time is over.
async fn finish(mut servers: JoinSet<()>, drain_timeout: Duration) {
    let draining = async { while servers.join_next().await.is_some() {} };
    if tokio::time::timeout(drain_timeout, draining).await.is_err() {
        tracing::warn!("requests were still in flight at the deadline; they are cut off");
    }
}

/// To standard error, like the shop's own processes.
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
