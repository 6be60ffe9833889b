//! The private RabbitMQ: its settings, its start, its virtual hosts.
//!
//! Started by its own scripts rather than Debian's wrappers, which refuse ordinary users. An Erlang node registers
//! with a port mapper (`epmd.rs`); ours has one of its own, so that it meets no other node of the machine.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::amqp::{self, Answer};
use crate::binaries::rabbitmq_directory;
use crate::epmd;
use crate::place::Place;
use crate::ports::{Ports, check_free};
use crate::process::{Process, Starting, clean_command};

pub(crate) const SERVER: &str = "rabbitmq";

/// The user of all virtual hosts.
pub(crate) const USER: &str = "backstock";

/// Made at each start, because making one later takes seconds: `rabbitmqctl` boots an Erlang machine of its own.
const VHOSTS: [&str; 3] = ["/", "left", "right"];

/// Starts the port mapper and RabbitMQ, and waits until it lets us in.
pub(crate) fn start(place: &Place, ports: &Ports) -> Result<(Process, String)> {
    let programs = rabbitmq_directory()?;
    let directory = place.server_directory(SERVER)?;
    epmd::start(place, ports.epmd)?;
    check_free(ports.amqp, "RabbitMQ")?;
    check_free(ports.distribution, "RabbitMQ (inner port)")?;
    let definitions = place.write_config("definitions.json", &definitions(place, &VHOSTS))?;
    place.write_config("rabbitmq.conf", &settings(ports, &definitions))?;
    place.write_config("enabled_plugins", "[].\n")?;
    write_cookie(place, &directory)?;
    let mut command = node_command(place, &programs.join("rabbitmq-server"), ports.epmd);
    command.env("RABBITMQ_NODE_PORT", ports.amqp.to_string());
    command.env("RABBITMQ_DIST_PORT", ports.distribution.to_string());
    command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG_ARGUMENTS);
    // Makes the script become the server instead of watching over it, so that signals reach the server.
    command.env("RUNNING_UNDER_SYSTEMD", "true");
    Starting::spawn(place, SERVER, command, ports.amqp)?.wait_until(|| version(place, ports.amqp))
}

/// The broker's version, asked by a whole handshake.
pub(crate) fn version(place: &Place, port: u16) -> Option<String> {
    match amqp::ask(&format!("127.0.0.1:{port}"), USER, &place.password, "/") {
        Ok(Answer::Open { version }) => Some(version),
        Ok(Answer::Refused { .. }) | Err(_) => None,
    }
}

/// Makes the virtual host unless it exists.
pub(crate) fn create_vhost(place: &Place, amqp_port: u16, vhost: &str) -> Result<()> {
    if let Ok(Answer::Open { .. }) =
        amqp::ask(&format!("127.0.0.1:{amqp_port}"), USER, &place.password, vhost)
    {
        return Ok(());
    }
    let epmd_port = Process::find(place, epmd::SERVER)
        .context("RabbitMQ's epmd does not run")?
        .port;
    let file = format!("vhost-{}.json", std::process::id());
    let definitions = place.write_config(&file, &definitions(place, &[vhost]))?;
    let mut command = node_command(place, &rabbitmq_directory()?.join("rabbitmqctl"), epmd_port);
    command
        .arg("import_definitions")
        .arg(&definitions)
        .stdin(Stdio::null());
    place.account.apply(&mut command);
    let output = command.output().context("cannot run rabbitmqctl")?;
    fs::remove_file(&definitions).context("cannot remove the virtual host's definition")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!(
            "RabbitMQ did not make the virtual host `{vhost}`: {}",
            text.trim()
        );
    }
    Ok(())
}

/// What the server and `rabbitmqctl` must know alike.
fn node_command(place: &Place, program: &Path, epmd_port: u16) -> Command {
    let config = place.data.join("config");
    let directory = place.data.join(SERVER);
    let mut command = clean_command(program, &directory);
    command
        .env(
            "RABBITMQ_NODENAME",
            format!("backstock-{}@localhost", place.purpose.name()),
        )
        .env("ERL_EPMD_PORT", epmd_port.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_MNESIA_BASE", directory.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", directory.join("log"))
        .env("RABBITMQ_CONFIG_FILE", config.join("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", config.join("enabled_plugins"))
        // The machine's own settings are another server's.
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("RABBITMQ_CTL_ERL_ARGS", ERLANG_ARGUMENTS);
    command
}

/// The node, too, listens on loopback only.
const ERLANG_ARGUMENTS: &str = "-kernel inet_dist_use_interface {127,0,0,1}";

/// The secret with which `rabbitmqctl` and the node know each other.
fn write_cookie(place: &Place, directory: &Path) -> Result<()> {
    let path = directory.join(".erlang.cookie");
    if path.exists() {
        return Ok(());
    }
    let draft = place.write_config("cookie", &place.password)?;
    place.account.give(&draft, 0o400)?;
    fs::rename(&draft, &path).context("cannot write RabbitMQ's cookie")
}

fn definitions(place: &Place, vhosts: &[&str]) -> String {
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
    let user = serde_json::json!({ "name": USER, "password": place.password, "tags": "" });
    serde_json::json!({ "users": [user], "vhosts": vhosts, "permissions": permissions }).to_string()
}

fn settings(ports: &Ports, definitions: &Path) -> String {
    let (amqp, definitions) = (ports.amqp, definitions.display());
    format!(
        "\
# Written by local-services at each start: changes here are lost.

listeners.tcp.1 = 127.0.0.1:{amqp}
# The user and the virtual hosts.
load_definitions = {definitions}

# At a limit the broker blocks publishers. Memory: what a backlog of a stress test may take. Disk: a start asks for
# more than this to be free.
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 256MB
# Quorum queues keep their log in memory up to this size before they write it out. The default is 512 MB.
raft.wal_max_size_bytes = 67108864

# To the console, which is .backstock/logs/.
log.console = true
log.console.level = warning
log.file = false
"
    )
}
