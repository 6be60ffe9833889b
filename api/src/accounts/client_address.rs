//! The client's address, for rate limits and never for authentication.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use axum::http::request::Parts;

use super::Accounts;
use crate::web::error::ApiError;

/// The last entry of the header that a trusted proxy sets, if the settings name one; otherwise the peer's address.
/// `None` when neither is known; all such clients share one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

impl<S> FromRequestParts<S> for ClientAddress
where
    S: Send + Sync,
    Arc<Accounts>: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let accounts = Arc::<Accounts>::from_ref(state);
        let connected = || {
            let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
            peer.map(|ConnectInfo(peer)| peer.ip())
        };
        let address = match &accounts.settings.client_address_header {
            // Entries before the last come from the client, who can write anything there.
            Some(header) => parts
                .headers
                .get_all(header)
                .iter()
                .next_back()
                .and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()),
            None => connected(),
        };
        Ok(Self(address))
    }
}

impl ClientAddress {
    /// What a client can't change at will: an IPv4 address, or the /64 of an IPv6 address, which holds 2^64
    /// addresses.
    pub fn network(self) -> String {
        match self.0.map(|address| address.to_canonical()) {
            None => "unknown".to_owned(),
            Some(IpAddr::V4(address)) => address.to_string(),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_is_one_network() {
        let network = |text: &str| ClientAddress(Some(text.parse().unwrap())).network();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2::"));
        assert_ne!(network("2001:db8:1:2::"), network("2001:db8:1:3::"));
    }
}
