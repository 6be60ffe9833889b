//! The way through a start: which servers are needed, which run, which must be started.

use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};

use crate::Purpose;
use crate::amqp::{self, Answer};
use crate::external::{BaseUrl, percent_encode};
use crate::install::expect_installed;
use crate::locks::{StartLock, UseLock, ensure_guardian, run_guardian};
use crate::place::Place;
use crate::ports::Ports;
use crate::process::Process;
use crate::{postgres, rabbitmq, redis};

pub use crate::locks::Stopped;

/// The three servers, ready for use. They run as long as this value, or any other process's, lives.
#[derive(Debug)]
pub struct Services {
    postgres: Server,
    redis: Server,
    rabbitmq: Server,
    postgres_programs: PathBuf,
    /// None when the environment names all three servers, so that nothing of ours runs.
    own: Option<(Place, UseLock)>,
}

#[derive(Debug)]
struct Server {
    url: BaseUrl,
    /// None for a server that the environment names.
    process: Option<Process>,
}

impl Services {
    /// Starts what does not run yet and joins what runs, for this purpose. Returns when all three answer.
    ///
    /// Where `BACKSTOCK_DATABASE_URL`, `BACKSTOCK_REDIS_URL` or `BACKSTOCK_AMQP_URL` is set, that server is used.
    pub fn start(purpose: Purpose) -> Result<Services> {
        let environment = Environment::read()?;
        if let Environment {
            postgres: Some(postgres),
            redis: Some(redis),
            rabbitmq: Some(rabbitmq),
        } = &environment
            && !environment.names_our_own(purpose)
        {
            return Ok(Services {
                postgres: Server::external("postgres", postgres),
                redis: Server::external("redis", redis),
                rabbitmq: Server::external("rabbitmq", rabbitmq),
                postgres_programs: crate::binaries::postgres_directory(None).unwrap_or_default(),
                own: None,
            });
        }
        let place = Place::prepare(purpose)?;
        let _starting = StartLock::take(&place)?;
        let in_use = UseLock::share(&place)?;
        ensure_guardian(&place)?;
        let started = start_missing(&place, &environment);
        match started {
            Ok([postgres, redis, rabbitmq]) => {
                let postgres_programs = postgres::programs(&place).unwrap_or_default();
                Ok(Services {
                    postgres,
                    redis,
                    rabbitmq,
                    postgres_programs,
                    own: Some((place, in_use)),
                })
            }
            Err(fault) => {
                // What did start must not stay behind a failed start. A fault of the stop would hide the cause.
                let _ = in_use.release_and_stop(&place);
                Err(fault)
            }
        }
    }

    /// The URL of a database; whether it exists is the caller's business. `postgres` always does. The role is a
    /// superuser: it may create and clone databases, `copy`, reset statistics and change settings of its session.
    pub fn database_url(&self, database: &str) -> String {
        self.postgres.url.with_path(&percent_encode(database))
    }

    /// The URL of one of Redis' 256 logical databases.
    pub fn redis_url(&self, logical_database: u8) -> String {
        self.redis.url.with_path(&logical_database.to_string())
    }

    /// The URL of a virtual host. `/`, `left` and `right` exist; others are made by [`Services::create_vhost`].
    pub fn amqp_url(&self, vhost: &str) -> String {
        self.rabbitmq.url.with_path(&percent_encode(vhost))
    }

    /// Makes a virtual host unless it exists. Takes seconds when it has to be made.
    pub fn create_vhost(&self, vhost: &str) -> Result<()> {
        match (&self.own, &self.rabbitmq.process) {
            (Some((place, _)), Some(process)) => {
                let _one_at_a_time = StartLock::take(place)?;
                rabbitmq::create_vhost(place, process.port, vhost)
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
        match amqp::ask(&with_port, &user, &password, vhost) {
            Ok(Answer::Open { .. }) => Ok(()),
            Ok(Answer::Refused { reason }) => bail!(
                "the RabbitMQ of BACKSTOCK_AMQP_URL refuses the virtual host `{vhost}` ({reason}): make it with \
                 `rabbitmqctl add_vhost {vhost}` and `rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*' '.*'`"
            ),
            Err(fault) => {
                Err(anyhow!(fault).context(format!("the RabbitMQ of BACKSTOCK_AMQP_URL ({with_port})")))
            }
        }
    }

    /// The postmaster's process id, whose children serve the connections. None for a server of the environment's.
    pub fn postgres_pid(&self) -> Option<u32> {
        self.postgres.process.as_ref().map(|process| process.pid)
    }

    /// What Postgres logs. None for a server of the environment's.
    pub fn postgres_log(&self) -> Option<PathBuf> {
        let (place, _) = self.own.as_ref()?;
        self.postgres_pid().map(|_| place.log_path("postgres"))
    }

    /// Redis' process id. None for a server of the environment's.
    pub fn redis_pid(&self) -> Option<u32> {
        self.redis.process.as_ref().map(|process| process.pid)
    }

    /// The process id of RabbitMQ's Erlang machine. None for a server of the environment's.
    pub fn rabbitmq_pid(&self) -> Option<u32> {
        self.rabbitmq.process.as_ref().map(|process| process.pid)
    }

    /// The directory with `psql` and `pgbench`. Empty, so that a joined name is looked up in PATH, when the server is
    /// the environment's and no Postgres is installed here.
    pub fn postgres_bin(&self) -> PathBuf {
        self.postgres_programs.clone()
    }

    /// Gives the servers up; when nobody else uses them, returns after they have ended. Dropping this value does the
    /// same without waiting.
    pub fn stop(self) -> Result<Stopped> {
        match self.own {
            Some((place, in_use)) => in_use.release_and_stop(&place),
            None => Ok(Stopped::Stopped),
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

    fn own(url: &str, process: Process) -> Server {
        let url = BaseUrl::parse(url).expect("a URL that we have just written");
        Server {
            url,
            process: Some(process),
        }
    }
}

/// Stops what a lost terminal left of this purpose's servers, unless somebody uses them: then says who.
pub fn stop_unused(purpose: Purpose) -> Result<Stopped> {
    let place = Place::prepare(purpose)?;
    let is_stopped = run_guardian(&place, &["stop"])?;
    Ok(if is_stopped {
        Stopped::Stopped
    } else {
        Stopped::StillUsed
    })
}

/// One line for each server of this purpose: what runs, and where.
pub fn status(purpose: Purpose) -> Result<Vec<String>> {
    let place = Place::prepare(purpose)?;
    let lines = [postgres::SERVER, redis::SERVER, rabbitmq::SERVER].map(|server| {
        let name = format!("{} {server}", purpose.name());
        match Process::find(&place, server) {
            Some(process) => format!("{name}: process {} on 127.0.0.1:{}", process.pid, process.port),
            None => format!("{name}: does not run"),
        }
    });
    Ok(lines.into())
}

/// The servers that the environment names.
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

    /// Whether a URL is one that we handed out ourselves, to a command that runs under `cargo xtask test`: then the
    /// caller joins our servers like any other user.
    fn names_our_own(&self, purpose: Purpose) -> bool {
        let Ok(place) = Place::prepare(purpose) else {
            return false;
        };
        [&self.postgres, &self.redis, &self.rabbitmq]
            .into_iter()
            .flatten()
            .any(|url| is_our_own(&place, url))
    }
}

/// Nobody else knows the password.
fn is_our_own(place: &Place, url: &BaseUrl) -> bool {
    url.credentials()
        .is_some_and(|(_, password)| password == place.password)
}

fn start_missing(place: &Place, environment: &Environment) -> Result<[Server; 3]> {
    let ports = Ports::of(place.purpose)?;
    let servers = [postgres::SERVER, redis::SERVER, rabbitmq::SERVER];
    if servers
        .iter()
        .any(|server| Process::find(place, server).is_none())
    {
        expect_installed()?;
    }
    let external = |url: &Option<BaseUrl>| url.clone().filter(|url| !is_our_own(place, url));
    let (from_postgres, from_redis, from_rabbitmq) = (
        external(&environment.postgres),
        external(&environment.redis),
        external(&environment.rabbitmq),
    );
    let password = &place.password;
    thread::scope(|scope| {
        let postgres = scope.spawn(|| match from_postgres {
            Some(url) => Ok(Server::external("postgres", &url)),
            None => {
                let version = |process: &Process| {
                    postgres::version(place, &postgres::programs(place).ok()?, process.port)
                };
                let process = join_or_start(place, postgres::SERVER, version, || {
                    postgres::start(place, ports.postgres)
                })?;
                let user = postgres::ROLE;
                Ok(Server::own(
                    &format!("postgres://{user}:{password}@127.0.0.1:{}", process.port),
                    process,
                ))
            }
        });
        let redis = scope.spawn(|| match from_redis {
            Some(url) => Ok(Server::external("redis", &url)),
            None => {
                let version = |process: &Process| redis::version(place, process.port);
                let process =
                    join_or_start(place, redis::SERVER, version, || redis::start(place, ports.redis))?;
                Ok(Server::own(
                    &format!("redis://:{password}@127.0.0.1:{}", process.port),
                    process,
                ))
            }
        });
        let rabbitmq = scope.spawn(|| match from_rabbitmq {
            Some(url) => Ok(Server::external("rabbitmq", &url)),
            None => {
                let version = |process: &Process| rabbitmq::version(place, process.port);
                let process = join_or_start(place, rabbitmq::SERVER, version, || {
                    rabbitmq::start(place, &ports)
                })?;
                let user = rabbitmq::USER;
                Ok(Server::own(
                    &format!("amqp://{user}:{password}@127.0.0.1:{}", process.port),
                    process,
                ))
            }
        });
        let finish =
            |outcome: thread::Result<Result<Server>>| outcome.unwrap_or_else(|_| bail!("a start panicked"));
        // All three are waited for before the first fault is reported, so that the servers can be stopped in order.
        let outcomes = [
            finish(postgres.join()),
            finish(redis.join()),
            finish(rabbitmq.join()),
        ];
        let [postgres, redis, rabbitmq] = outcomes;
        Ok([postgres?, redis?, rabbitmq?])
    })
}

/// Joins the recorded server when it answers; else stops what is left of it and starts it.
fn join_or_start(
    place: &Place,
    server: &'static str,
    version: impl Fn(&Process) -> Option<String>,
    start: impl FnOnce() -> Result<(Process, String)>,
) -> Result<Process> {
    if let Some(process) = Process::find(place, server) {
        if version(&process).is_some() {
            return Ok(process);
        }
        run_guardian(place, &["stop-one", server])?;
    }
    place.check_free_space()?;
    let begin = Instant::now();
    let (process, version) = start()?;
    eprintln!(
        "{server} {version} on 127.0.0.1:{} ({:.1} s)",
        process.port,
        begin.elapsed().as_secs_f64()
    );
    Ok(process)
}
