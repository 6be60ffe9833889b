//! `backstock-simulators health`: a health check for an image that has no shell.
//!
//! All four listeners are bound before any of them serves, so checking the gateway is enough.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

/// The timeout of the connect and of each read.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The start of a healthy response.
const HEALTHY: &[u8] = b"HTTP/1.1 200";

/// The address to check.
#[derive(Debug, Args)]
pub struct HealthCommand {
    /// The address of its payment gateway
    #[arg(
        long = "at",
        env = "BACKSTOCK_PAYMENT_LISTEN",
        default_value = "127.0.0.1:8090"
    )]
    listen: SocketAddr,
}

impl HealthCommand {
    /// Prints the result. The exit code is 0 or 1.
    pub fn run(self) -> ExitCode {
        match self.check() {
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

    fn check(&self) -> std::io::Result<bool> {
        // A process that listens on all addresses is reached over loopback.
        let address = match self.listen {
            listen if listen.ip().is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port())),
            listen => listen,
        };
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let request = format!("GET /livez HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut status = [0; HEALTHY.len()];
        stream.read_exact(&mut status)?;
        Ok(status == HEALTHY)
    }
}
