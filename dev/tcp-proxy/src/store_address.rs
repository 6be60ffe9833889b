//! The host and port in a store's URL, whatever the store.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::{Context, Result, bail};
use hyper::Uri;

/// A store's URL, taken apart as far as it is needed to connect to the store or to something in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreAddress {
    url: String,
    /// `user:password@host:port`, as it stands in the URL.
    authority: String,
    host: String,
    port: u16,
}

impl StoreAddress {
    /// Takes a URL apart.
    pub fn of(url: &str) -> Result<StoreAddress> {
        let uri: Uri = url
            .parse()
            .with_context(|| format!("`{}` is no URL", without_password(url)))?;
        let default_port = match uri.scheme_str() {
            Some("postgres" | "postgresql") => 5432,
            Some("redis") => 6379,
            Some("amqp") => 5672,
            Some("http") => 80,
            _ => bail!(
                "`{}` is no postgres, redis, amqp or http URL",
                without_password(url)
            ),
        };
        let authority = uri.authority().context("a URL with a scheme has an authority")?;
        Ok(StoreAddress {
            url: url.to_owned(),
            authority: authority.as_str().to_owned(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
        })
    }

    /// The first address of the host.
    pub fn resolve(&self) -> Result<SocketAddr> {
        let addresses = (self.host.as_str(), self.port).to_socket_addrs();
        let found = addresses
            .with_context(|| format!("cannot resolve the host `{}`", self.host))?
            .next();
        found.with_context(|| format!("the host `{}` has no address", self.host))
    }

    /// The same URL with another host and port.
    pub fn replaced_by(&self, address: SocketAddr) -> Result<String> {
        let authority = match self.authority.rsplit_once('@') {
            Some((credentials, _)) => format!("{credentials}@{address}"),
            None => address.to_string(),
        };
        let (scheme, rest) = self.url.split_once("://").context("a URL has a scheme")?;
        let path = &rest[self.authority.len()..];
        Ok(format!("{scheme}://{authority}{path}"))
    }
}

/// The URL as it may be shown.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_replaced_and_the_rest_is_kept() {
        let proxy = "127.0.0.1:9".parse().unwrap();
        let replaced = |url: &str| StoreAddress::of(url).unwrap().replaced_by(proxy).unwrap();
        assert_eq!(
            replaced("postgres://shop:p%40ss@localhost:5433/left?sslmode=disable"),
            "postgres://shop:p%40ss@127.0.0.1:9/left?sslmode=disable"
        );
        assert_eq!(replaced("redis://localhost/3"), "redis://127.0.0.1:9/3");
        assert_eq!(
            replaced("amqp://a:b@[::1]:5672/%2f"),
            "amqp://a:b@127.0.0.1:9/%2f"
        );
    }

    #[test]
    fn ports_default_to_the_stores_own() {
        let port = |url: &str| StoreAddress::of(url).unwrap().resolve().unwrap().port();
        assert_eq!(port("postgres://127.0.0.1/shop"), 5432);
        assert_eq!(port("redis://127.0.0.1"), 6379);
        assert_eq!(port("amqp://127.0.0.1:7/"), 7);
    }

    #[test]
    fn a_wrong_url_is_named_without_its_password() {
        let error = StoreAddress::of("mysql://user:secret@host/db")
            .unwrap_err()
            .to_string();
        assert!(error.contains("mysql") && !error.contains("secret"), "{error}");
    }
}
