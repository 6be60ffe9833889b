//! `POST /v1/webhooks/carrier`: the carrier reports a delivered parcel. The route is public, so a webhook is
//! authenticated by its signature, which expires after some minutes (replay protection).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;
use shop::orders::order_reached;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Orders;
use crate::web::body;
use crate::web::error::{ApiError, Problem};
use crate::web::query::NoParameters;
use crate::web::timings::RequestTimings;

/// How old a signature may be, and how far in the future: clocks differ, and webhooks are queued. The carrier signs
/// each retry again.
const TOLERANCE_S: i64 = 300;

/// A webhook's body. Unknown fields are allowed, so that the carrier can add some.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CarrierEvent {
    /// `delivered`; all others are acknowledged and ignored.
    event: String,
    tracking_number: String,
}

/// Receives a webhook of the parcel carrier.
#[utoipa::path(
    post,
    path = "/v1/webhooks/carrier",
    tag = "Orders",
    security(("carrier" = [])),
    params(
        ("x-carrier-signature" = String, Header, description = "`t=<unix seconds>,v1=<hex of HMAC-SHA256 over \"t.body\">`"),
    ),
    request_body = CarrierEvent,
    responses(
        (status = 204, description = "Recorded, now or before"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such parcel in transit", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn carrier_webhook(
    State(orders): State<Arc<Orders>>,
    timings: RequestTimings,
    _: NoParameters,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiError> {
    let body = body?;
    let signature = headers
        .get("x-carrier-signature")
        .and_then(|value| value.to_str().ok());
    let now = OffsetDateTime::now_utc().unix_timestamp();
    if !signature.is_some_and(|signature| orders.carrier.is_valid(signature, &body, now)) {
        return Err(ApiError::parameter(
            "x-carrier-signature",
            "is missing, too old, or not the carrier's",
        ));
    }
    let event: CarrierEvent = body::parse(&body)?;
    if event.event != "delivered" {
        return Ok(StatusCode::NO_CONTENT);
    }
    let mut connection = orders.database.acquire(&timings).await?;
    // An order that isn't fulfilled yet can't be delivered: the 404 makes the carrier retry.
    let parcel = sqlx::query!(
        r#"with parcel as (
               select order_id, delivered_at from shipments where tracking_number = $1
           ), delivered as (
               update orders set status = 'delivered', updated_at = now()
               from parcel
               where id = order_id and status = 'fulfilled'
               returning id
           ), noted as (
               update shipments set delivered_at = now() from delivered where order_id = delivered.id
           ), event as (
               insert into order_events (order_id, id, event) select id, $2, 'delivered' from delivered
           )
           select exists (select from delivered) as "is_new!",
                  exists (select from parcel where delivered_at is not null) as "is_known!""#,
        event.tracking_number,
        Uuid::now_v7()
    );
    let parcel = parcel.fetch_one(&mut connection).await?;
    if parcel.is_new {
        order_reached("delivered");
    }
    if parcel.is_new || parcel.is_known {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::NotFound(
        "no parcel with this tracking number is in transit".to_owned(),
    ))
}

/// Verifies webhooks' signatures. Without a secret, all are rejected.
pub struct CarrierSignatures(Option<Hmac<Sha256>>);

impl CarrierSignatures {
    pub(super) fn new(secret: &Option<SecretString>) -> Self {
        Self(secret.as_ref().map(|secret| {
            Hmac::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes keys of any length")
        }))
    }

    /// A constant-time comparison.
    fn is_valid(&self, signature: &str, body: &[u8], now: i64) -> bool {
        let (Some(mac), Some((time, claimed))) = (&self.0, parts(signature)) else {
            return false;
        };
        let mut mac = mac.clone();
        mac.update(time.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        let is_authentic = mac.verify_slice(&claimed).is_ok();
        is_authentic && now.abs_diff(time) <= TOLERANCE_S.unsigned_abs()
    }
}

/// Parses `t=…,v1=…`.
fn parts(signature: &str) -> Option<(i64, Vec<u8>)> {
    let (time, hex) = signature.split_once(',')?;
    let time = time.strip_prefix("t=")?.parse().ok()?;
    let hex = hex.strip_prefix("v1=")?;
    if !hex.is_ascii() || hex.len() != 64 {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).ok();
    Some((time, (0..64).step_by(2).map(byte).collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_authenticated_by_its_signature_which_expires() {
        // printf '%s' '1700000000.{"event":"delivered"}' | openssl dgst -sha256 -hmac 'a secret of sixteen'
        let signature = "t=1700000000,v1=eb477dd511fe790446b95b248cf9f29527732cede3b0b95be9a836fec94261d3";
        let body = br#"{"event":"delivered"}"#;
        let signed = CarrierSignatures::new(&Some("a secret of sixteen".into()));
        assert!(signed.is_valid(signature, body, 1_700_000_000));
        assert!(signed.is_valid(signature, body, 1_700_000_300));
        for (signature, body, now) in [
            (signature, body.as_slice(), 1_700_000_301),
            (signature, body, 1_699_999_699),
            (signature, br#"{"event":"delivered" }"#, 1_700_000_000),
            (
                &signature.replace("t=1700000000", "t=1700000001"),
                body,
                1_700_000_000,
            ),
            (&signature.replace("eb47", "eb48"), body, 1_700_000_000),
            (&signature[..40], body, 1_700_000_000),
            ("", body, 1_700_000_000),
            ("t=x,v1=", body, 1_700_000_000),
        ] {
            assert!(!signed.is_valid(signature, body, now), "{signature} at {now}");
        }
        assert!(!CarrierSignatures::new(&None).is_valid(signature, body, 1_700_000_000));
        assert!(
            !CarrierSignatures::new(&Some("another secret of ours".into())).is_valid(
                signature,
                body,
                1_700_000_000
            )
        );
    }
}
