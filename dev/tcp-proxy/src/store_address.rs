//! The host and port in a store's URL, whatever the store.

use std::net::SocketAddr;

use anyhow::{Context, Result, anyhow, bail};
use url::Url;

/// A store's URL, with which to connect to the store or to something in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreAddress {
    url: Url,
    default_port: u16,
}

impl StoreAddress {
    /// Accepts URLs of Postgres, Redis, RabbitMQ and HTTP.
    pub fn parse(url: &str) -> Result<StoreAddress> {
        // The URL may have a password, so an error doesn't show it.
        let url = Url::parse(url).context("the address of a store is no URL")?;
        let default_port = match url.scheme() {
            "postgres" | "postgresql" => 5432,
            "redis" => 6379,
            "amqp" => 5672,
            "http" => 80,
            other => bail!("`{other}:` is no postgres, redis, amqp or http URL"),
        };
        Ok(StoreAddress { url, default_port })
    }

    /// The first address of the host.
    pub fn resolve(&self) -> Result<SocketAddr> {
        let host = self.url.host_str().unwrap_or_default();
        let addresses = self
            .url
            .socket_addrs(|| Some(self.default_port))
            .with_context(|| format!("cannot resolve the host `{host}`"))?;
        let first = addresses.first().copied();
        first.with_context(|| format!("the host `{host}` has no address"))
    }

    /// The same URL with another host and port.
    pub fn with_address(&self, address: SocketAddr) -> Result<String> {
        let mut url = self.url.clone();
        url.set_ip_host(address.ip())
            .and_then(|()| url.set_port(Some(address.port())))
            .map_err(|()| anyhow!("the address of a store has no host"))?;
        Ok(url.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_replaced_and_the_rest_is_kept() {
        let proxy = "127.0.0.1:9".parse().unwrap();
        for (url, replaced) in [
            (
                "postgres://shop:p%40ss@localhost:5433/left?sslmode=disable",
                "postgres://shop:p%40ss@127.0.0.1:9/left?sslmode=disable",
            ),
            ("redis://localhost/3", "redis://127.0.0.1:9/3"),
            ("amqp://a:b@[::1]:5672/%2f", "amqp://a:b@127.0.0.1:9/%2f"),
        ] {
            let address = StoreAddress::parse(url).unwrap();
            assert_eq!(address.with_address(proxy).unwrap(), replaced);
        }
    }

    #[test]
    fn ports_default_to_the_stores_own() {
        let port = |url: &str| StoreAddress::parse(url).unwrap().resolve().unwrap().port();
        assert_eq!(port("postgres://127.0.0.1/shop"), 5432);
        assert_eq!(port("redis://127.0.0.1"), 6379);
        assert_eq!(port("amqp://127.0.0.1:7/"), 7);
    }

    #[test]
    fn a_wrong_url_is_named_without_its_password() {
        let error = StoreAddress::parse("mysql://user:secret@host/db").unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("mysql") && !error.contains("secret"), "{error}");
    }
}
