//! The private RabbitMQ: settings, start, virtual hosts.
//!
//! It is started with RabbitMQ's own scripts, because Debian's wrappers reject ordinary users. Its Erlang node registers
//! with a private port mapper (`epmd.rs`), so that it never meets other nodes of the machine.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::amqp::{self, Handshake};
use crate::binaries::rabbitmq_directory;
use crate::data_dirs::DataDirs;
use crate::epmd;
use crate::ports::{Ports, check_free};
use crate::process::{Process, StartingServer, clean_command};

pub(crate) const SERVER: &str = "rabbitmq";

pub(crate) const USER: &str = "backstock";

/// Created at each start, because creating one later takes seconds: `rabbitmqctl` boots an Erlang VM.
const VHOSTS: [&str; 3] = ["/", "left", "right"];

/// Starts the port mapper and RabbitMQ, and waits until the broker is ready.
pub(crate) fn start(dirs: &DataDirs, ports: &Ports) -> Result<(Process, String)> {
    let programs = rabbitmq_directory()?;
    let directory = dirs.server_directory(SERVER)?;
    epmd::start(dirs, &directory, ports.epmd)?;
    check_free(ports.amqp, "RabbitMQ")?;
    check_free(ports.distribution, "RabbitMQ (inner port)")?;
    let definitions = dirs.write_config("definitions.json", &definitions(dirs, &VHOSTS))?;
    dirs.write_config("rabbitmq.conf", &settings(ports, &definitions))?;
    dirs.write_config("enabled_plugins", "[].\n")?;
    write_cookie(dirs, &directory)?;
    let mut command = node_command(dirs, &programs.join("rabbitmq-server"), ports.epmd);
    command.env("RABBITMQ_NODE_PORT", ports.amqp.to_string());
    command.env("RABBITMQ_DIST_PORT", ports.distribution.to_string());
    command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG_ARGUMENTS);
    // Makes the script exec the server, so that signals reach the server.
    command.env("RUNNING_UNDER_SYSTEMD", "true");
    StartingServer::spawn(dirs, SERVER, command, ports.amqp)?.wait_until(|| version(dirs, ports.amqp))
}

/// The readiness check: a complete handshake, which contains the broker's version.
pub(crate) fn version(dirs: &DataDirs, port: u16) -> Option<String> {
    match amqp::check_vhost(&format!("127.0.0.1:{port}"), USER, &dirs.password, "/") {
        Ok(Handshake::Opened { version }) => Some(version),
        Ok(Handshake::Rejected { .. }) | Err(_) => None,
    }
}

/// Creates the virtual host unless it exists.
pub(crate) fn create_vhost(dirs: &DataDirs, amqp_port: u16, vhost: &str) -> Result<()> {
    if let Ok(Handshake::Opened { .. }) =
        amqp::check_vhost(&format!("127.0.0.1:{amqp_port}"), USER, &dirs.password, vhost)
    {
        return Ok(());
    }
    let epmd_port = Process::find(dirs, epmd::SERVER)
        .context("RabbitMQ's epmd does not run")?
        .port;
    let file = format!("vhost-{}.json", std::process::id());
    let definitions = dirs.write_config(&file, &definitions(dirs, &[vhost]))?;
    let mut command = node_command(dirs, &rabbitmq_directory()?.join("rabbitmqctl"), epmd_port);
    command
        .arg("import_definitions")
        .arg(&definitions)
        .stdin(Stdio::null());
    dirs.os_user.apply(&mut command);
    let output = command.output().context("cannot run rabbitmqctl")?;
    fs::remove_file(&definitions).context("cannot remove the virtual host's definition")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!(
            "RabbitMQ did not create the virtual host `{vhost}`: {}",
            text.trim()
        );
    }
    Ok(())
}

/// The environment that the server and `rabbitmqctl` share.
fn node_command(dirs: &DataDirs, program: &Path, epmd_port: u16) -> Command {
    let config = dirs.data.join("config");
    let directory = dirs.data.join(SERVER);
    let mut command = clean_command(program, &directory);
    command
        .env(
            "RABBITMQ_NODENAME",
            format!("backstock-{}@localhost", dirs.purpose.name()),
        )
        .env("ERL_EPMD_PORT", epmd_port.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_MNESIA_BASE", directory.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", directory.join("log"))
        .env("RABBITMQ_CONFIG_FILE", config.join("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", config.join("enabled_plugins"))
        // Ignores the settings of a system-wide RabbitMQ.
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("RABBITMQ_CTL_ERL_ARGS", ERLANG_ARGUMENTS);
    command
}

/// Binds Erlang's distribution port to loopback.
const ERLANG_ARGUMENTS: &str = "-kernel inet_dist_use_interface {127,0,0,1}";

/// The secret that authenticates `rabbitmqctl` to the node.
fn write_cookie(dirs: &DataDirs, directory: &Path) -> Result<()> {
    let path = directory.join(".erlang.cookie");
    if path.exists() {
        return Ok(());
    }
    let draft = dirs.write_config("cookie", &dirs.password)?;
    dirs.os_user.chown(&draft, 0o400)?;
    fs::rename(&draft, &path).context("cannot write RabbitMQ's cookie")
}

fn definitions(dirs: &DataDirs, vhosts: &[&str]) -> String {
    let vhosts: Vec<_> = vhosts
        .iter()
        .map(|name| serde_json::json!({ "name": name }))
        .collect();
    let permissions: Vec<_> = vhosts
        .iter()
        .map(|vhost| {
            serde_json::json!({
                "user": USER, "vhost": vhost["name"], "configure": ".*", "write": ".*", "read": ".*",
            })
        })
        .collect();
    let user = serde_json::json!({ "name": USER, "password": dirs.password, "tags": "" });
    serde_json::json!({ "users": [user], "vhosts": vhosts, "permissions": permissions }).to_string()
}

fn settings(ports: &Ports, definitions: &Path) -> String {
    let (amqp, definitions) = (ports.amqp, definitions.display());
    format!(
        "\
# Generated by local-services at each start: changes are lost.

listeners.tcp.1 = 127.0.0.1:{amqp}
# The user and the virtual hosts.
load_definitions = {definitions}

# At these limits the broker blocks publishers. The memory is enough for the backlog of a stress test. A start requires
# more free disk space than the limit.
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 256MB
# Quorum queues keep up to this much of their log in memory. The default is 512 MB.
raft.wal_max_size_bytes = 67108864

# The console is redirected to .backstock/logs/.
log.console = true
log.console.level = warning
log.file = false
"
    )
}
