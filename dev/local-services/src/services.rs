//! The start: which servers are managed here, which of them are running, and which must be started.

use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};

use crate::Purpose;
use crate::amqp::{self, Handshake};
use crate::data_dirs::DataDirs;
use crate::external::{BaseUrl, percent_encode};
use crate::install::expect_installed;
use crate::locks::{StartLock, UseLock, ensure_watchdog, run_watchdog};
use crate::ports::Ports;
use crate::process::Process;
use crate::{postgres, rabbitmq, redis};

pub use crate::locks::StopOutcome;

/// The three servers, ready for use. They keep running while this value, or that of another process, exists.
#[derive(Debug)]
pub struct Services {
    postgres: Server,
    redis: Server,
    rabbitmq: Server,
    postgres_programs: PathBuf,
    /// None when the environment names all three servers.
    managed: Option<(DataDirs, UseLock)>,
}

#[derive(Debug)]
struct Server {
    url: BaseUrl,
    /// None for an external server.
    process: Option<Process>,
}

impl Services {
    /// Starts or joins the servers of this purpose. Returns when all three are ready.
    ///
    /// `BACKSTOCK_DATABASE_URL`, `BACKSTOCK_REDIS_URL` and `BACKSTOCK_AMQP_URL` replace the respective server.
    pub fn start(purpose: Purpose) -> Result<Services> {
        let environment = Environment::read()?;
        if let Environment {
            postgres: Some(postgres),
            redis: Some(redis),
            rabbitmq: Some(rabbitmq),
        } = &environment
            && !environment.names_managed_server(purpose)
        {
            return Ok(Services {
                postgres: Server::external("postgres", postgres),
                redis: Server::external("redis", redis),
                rabbitmq: Server::external("rabbitmq", rabbitmq),
                postgres_programs: crate::binaries::postgres_directory(None).unwrap_or_default(),
                managed: None,
            });
        }
        let dirs = DataDirs::prepare(purpose)?;
        let _lock = StartLock::acquire(&dirs)?;
        let use_lock = UseLock::acquire_shared(&dirs)?;
        ensure_watchdog(&dirs)?;
        let started = start_missing(&dirs, &environment);
        match started {
            Ok([postgres, redis, rabbitmq]) => {
                let postgres_programs = postgres::programs(&dirs).unwrap_or_default();
                Ok(Services {
                    postgres,
                    redis,
                    rabbitmq,
                    postgres_programs,
                    managed: Some((dirs, use_lock)),
                })
            }
            Err(error) => {
                // A failed start leaves no server behind. An error of the stop is ignored, because it would hide the cause.
                let _ = use_lock.release_and_stop(&dirs);
                Err(error)
            }
        }
    }

    /// The URL of a database, which need not exist; `postgres` always does. The role is a superuser.
    pub fn database_url(&self, database: &str) -> String {
        self.postgres.url.with_path(&percent_encode(database))
    }

    /// The URL of one of Redis' 256 logical databases.
    pub fn redis_url(&self, logical_database: u8) -> String {
        self.redis.url.with_path(&logical_database.to_string())
    }

    /// The URL of a virtual host. `/`, `left` and `right` exist; [`Services::create_vhost`] creates others.
    pub fn amqp_url(&self, vhost: &str) -> String {
        self.rabbitmq.url.with_path(&percent_encode(vhost))
    }

    /// Creates a virtual host unless it exists, which takes seconds.
    pub fn create_vhost(&self, vhost: &str) -> Result<()> {
        match (&self.managed, &self.rabbitmq.process) {
            (Some((dirs, _)), Some(process)) => {
                let _lock = StartLock::acquire(dirs)?;
                rabbitmq::create_vhost(dirs, process.port, vhost)
            }
            _ => self.expect_external_vhost(vhost),
        }
    }

    fn expect_external_vhost(&self, vhost: &str) -> Result<()> {
        let address = self.rabbitmq.url.address();
        let with_port = if address.contains(':') {
            address.to_owned()
        } else {
            format!("{address}:5672")
        };
        let guest = || ("guest".to_owned(), "guest".to_owned());
        let (user, password) = self.rabbitmq.url.credentials().unwrap_or_else(guest);
        match amqp::check_vhost(&with_port, &user, &password, vhost) {
            Ok(Handshake::Opened { .. }) => Ok(()),
            Ok(Handshake::Rejected { reason }) => bail!(
                "the RabbitMQ of BACKSTOCK_AMQP_URL rejects the virtual host `{vhost}` ({reason}): create it with \
                 `rabbitmqctl add_vhost {vhost}` and `rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*' '.*'`"
            ),
            Err(error) => {
                Err(anyhow!(error).context(format!("the RabbitMQ of BACKSTOCK_AMQP_URL ({with_port})")))
            }
        }
    }

    /// The postmaster's process id; its children serve the connections. None for an external server.
    pub fn postgres_pid(&self) -> Option<u32> {
        self.postgres.process.as_ref().map(|process| process.pid)
    }

    /// The log of Postgres. None for an external server.
    pub fn postgres_log(&self) -> Option<PathBuf> {
        let (dirs, _) = self.managed.as_ref()?;
        self.postgres_pid().map(|_| dirs.log_path("postgres"))
    }

    /// The process id of Redis. None for an external server.
    pub fn redis_pid(&self) -> Option<u32> {
        self.redis.process.as_ref().map(|process| process.pid)
    }

    /// The process id of RabbitMQ's Erlang VM. None for an external server.
    pub fn rabbitmq_pid(&self) -> Option<u32> {
        self.rabbitmq.process.as_ref().map(|process| process.pid)
    }

    /// The directory with `psql` and `pgbench`. With an external server and no local installation it is empty, so that a
    /// joined name is looked up in PATH.
    pub fn postgres_bin(&self) -> PathBuf {
        self.postgres_programs.clone()
    }

    /// Releases the servers. If this was the last user, returns after they have stopped. Dropping the value releases them
    /// without waiting.
    pub fn stop(self) -> Result<StopOutcome> {
        match self.managed {
            Some((dirs, use_lock)) => use_lock.release_and_stop(&dirs),
            None => Ok(StopOutcome::Stopped),
        }
    }
}

impl Server {
    fn external(name: &str, url: &BaseUrl) -> Server {
        eprintln!("{name} at {} (named by the environment)", url.address());
        Server {
            url: url.clone(),
            process: None,
        }
    }

    fn managed(url: &str, process: Process) -> Server {
        let url = BaseUrl::parse(url).expect("a URL formatted by this module");
        Server {
            url,
            process: Some(process),
        }
    }
}

/// Stops this purpose's servers if they are left over from a lost terminal. If they are in use, prints the users.
pub fn stop_unused(purpose: Purpose) -> Result<StopOutcome> {
    let dirs = DataDirs::prepare(purpose)?;
    let is_stopped = run_watchdog(&dirs, &["stop"])?;
    Ok(if is_stopped {
        StopOutcome::Stopped
    } else {
        StopOutcome::StillInUse
    })
}

/// One line per server of this purpose: whether it is running, and where.
pub fn status(purpose: Purpose) -> Result<Vec<String>> {
    let dirs = DataDirs::prepare(purpose)?;
    let lines = [postgres::SERVER, redis::SERVER, rabbitmq::SERVER].map(|server| {
        let name = format!("{} {server}", purpose.name());
        match Process::find(&dirs, server) {
            Some(process) => format!("{name}: process {} on 127.0.0.1:{}", process.pid, process.port),
            None => format!("{name}: not running"),
        }
    });
    Ok(lines.into())
}

/// The external servers that the environment names.
struct Environment {
    postgres: Option<BaseUrl>,
    redis: Option<BaseUrl>,
    rabbitmq: Option<BaseUrl>,
}

impl Environment {
    fn read() -> Result<Environment> {
        Ok(Environment {
            postgres: BaseUrl::from_environment(
                "BACKSTOCK_DATABASE_URL",
                "postgres://backstock:secret@127.0.0.1:5432/backstock",
            )?,
            redis: BaseUrl::from_environment("BACKSTOCK_REDIS_URL", "redis://127.0.0.1:6379/0")?,
            rabbitmq: BaseUrl::from_environment(
                "BACKSTOCK_AMQP_URL",
                "amqp://guest:guest@127.0.0.1:5672/%2f",
            )?,
        })
    }

    /// Whether one of the URLs names a managed server. A command that runs inside `backstock-local-services run` gets such
    /// URLs, and joins the servers like any other user.
    fn names_managed_server(&self, purpose: Purpose) -> bool {
        let Ok(dirs) = DataDirs::prepare(purpose) else {
            return false;
        };
        [&self.postgres, &self.redis, &self.rabbitmq]
            .into_iter()
            .flatten()
            .any(|url| is_managed(&dirs, url))
    }
}

/// A managed server is recognized by its random password.
fn is_managed(dirs: &DataDirs, url: &BaseUrl) -> bool {
    url.credentials()
        .is_some_and(|(_, password)| password == dirs.password)
}

fn start_missing(dirs: &DataDirs, environment: &Environment) -> Result<[Server; 3]> {
    let ports = Ports::for_purpose(dirs.purpose)?;
    let servers = [postgres::SERVER, redis::SERVER, rabbitmq::SERVER];
    if servers.iter().any(|server| Process::find(dirs, server).is_none()) {
        expect_installed()?;
    }
    let external = |url: &Option<BaseUrl>| url.clone().filter(|url| !is_managed(dirs, url));
    let (from_postgres, from_redis, from_rabbitmq) = (
        external(&environment.postgres),
        external(&environment.redis),
        external(&environment.rabbitmq),
    );
    let password = &dirs.password;
    thread::scope(|scope| {
        let postgres = scope.spawn(|| match from_postgres {
            Some(url) => Ok(Server::external("postgres", &url)),
            None => {
                let version = |process: &Process| {
                    postgres::version(dirs, &postgres::programs(dirs).ok()?, process.port)
                };
                let process = join_or_start(dirs, postgres::SERVER, version, || {
                    postgres::start(dirs, ports.postgres)
                })?;
                let user = postgres::ROLE;
                Ok(Server::managed(
                    &format!("postgres://{user}:{password}@127.0.0.1:{}", process.port),
                    process,
                ))
            }
        });
        let redis = scope.spawn(|| match from_redis {
            Some(url) => Ok(Server::external("redis", &url)),
            None => {
                let version = |process: &Process| redis::version(dirs, process.port);
                let process =
                    join_or_start(dirs, redis::SERVER, version, || redis::start(dirs, ports.redis))?;
                Ok(Server::managed(
                    &format!("redis://:{password}@127.0.0.1:{}", process.port),
                    process,
                ))
            }
        });
        let rabbitmq = scope.spawn(|| match from_rabbitmq {
            Some(url) => Ok(Server::external("rabbitmq", &url)),
            None => {
                let version = |process: &Process| rabbitmq::version(dirs, process.port);
                let process =
                    join_or_start(dirs, rabbitmq::SERVER, version, || rabbitmq::start(dirs, &ports))?;
                let user = rabbitmq::USER;
                Ok(Server::managed(
                    &format!("amqp://{user}:{password}@127.0.0.1:{}", process.port),
                    process,
                ))
            }
        });
        let finish = |outcome: thread::Result<Result<Server>>| {
            outcome.unwrap_or_else(|_| bail!("starting a server panicked"))
        };
        // All three starts finish before an error is returned, so that the servers can be stopped.
        let outcomes = [
            finish(postgres.join()),
            finish(redis.join()),
            finish(rabbitmq.join()),
        ];
        let [postgres, redis, rabbitmq] = outcomes;
        Ok([postgres?, redis?, rabbitmq?])
    })
}

/// Joins the recorded server if it is ready; otherwise kills what is left of it and starts it.
fn join_or_start(
    dirs: &DataDirs,
    server: &'static str,
    version: impl Fn(&Process) -> Option<String>,
    start: impl FnOnce() -> Result<(Process, String)>,
) -> Result<Process> {
    if let Some(process) = Process::find(dirs, server) {
        if version(&process).is_some() {
            return Ok(process);
        }
        run_watchdog(dirs, &["stop-one", server])?;
    }
    dirs.check_free_space()?;
    let started_at = Instant::now();
    let (process, version) = start()?;
    eprintln!(
        "{server} {version} on 127.0.0.1:{} ({:.1} s)",
        process.port,
        started_at.elapsed().as_secs_f64()
    );
    Ok(process)
}
