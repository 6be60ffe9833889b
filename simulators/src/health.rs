//! `backstock-simulators health`: a health check for an image that has no shell.
//!
//! All four listeners are open before any answers, so the gateway speaks for all.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

/// How long connecting may take, and each reading.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a healthy process answers begins with.
const HEALTHY: &[u8] = b"HTTP/1.1 200";

/// Where the process is that is asked.
#[derive(Debug, Args)]
pub struct HealthCommand {
    /// Where its payment gateway listens
    #[arg(
        long = "at",
        env = "BACKSTOCK_PAYMENT_LISTEN",
        default_value = "127.0.0.1:8090"
    )]
    listen: SocketAddr,
}

impl HealthCommand {
    /// Prints what is the case, and gives the exit code: 0 or 1.
    pub fn run(self) -> ExitCode {
        match self.ask() {
            Ok(true) => {
                println!("alive");
                ExitCode::SUCCESS
            }
            Ok(false) => {
                eprintln!("{}: no 200 from /livez", self.listen);
                ExitCode::FAILURE
            }
            Err(error) => {
                eprintln!("{}: {error}", self.listen);
                ExitCode::FAILURE
            }
        }
    }

    fn ask(&self) -> std::io::Result<bool> {
        // From beside a process that listens on all addresses, it is reached over loopback.
        let address = match self.listen {
            listen if listen.ip().is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port())),
            listen => listen,
        };
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = format!("GET /livez HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut status = [0; HEALTHY.len()];
        stream.read_exact(&mut status)?;
        Ok(status == HEALTHY)
    }
}
