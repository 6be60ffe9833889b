//! Idempotency keys: what a key stands for, and what a repeated request with it gets.
//!
//! A key is a row of `idempotency_keys`, inserted in the transaction that creates its order and bound to it from then
//! on. While a request works on the order, it holds a lease on the key (`locked_until`), which expires if the process
//! dies. The final response is stored with the key. If there is none, a repeated request resumes the order.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::database::InstrumentedConnection;
use crate::opaque_token::TokenHash;
use crate::settings::OrderSettings;
use crate::web::error::ApiError;

/// How long a key and its response are stored.
pub const RETENTION_HOURS: i32 = 24;

/// The header `Idempotency-Key`: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone)]
pub struct IdempotencyKey(pub String);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        const NAME: &str = "idempotency-key";
        let invalid = |what: &str| {
            ApiError::parameter(
                NAME,
                format!("{what}; send 1 to 255 visible ASCII characters, a new key for each order"),
            )
        };
        let mut given = parts.headers.get_all(NAME).iter();
        let value = given.next().ok_or_else(|| invalid("is missing"))?;
        if given.next().is_some() {
            return Err(invalid("is given twice"));
        }
        let is_visible = value.as_bytes().iter().all(u8::is_ascii_graphic);
        match value.to_str() {
            Ok(key) if is_visible && (1..=255).contains(&key.len()) => Ok(Self(key.to_owned())),
            _ => Err(invalid("is invalid")),
        }
    }
}

/// A client's key, and the request that it is used for.
#[derive(Debug, Clone)]
pub struct RequestKey {
    /// Keys are scoped to their owner: two clients may choose the same.
    pub owner: [u8; 32],
    pub key: String,
    /// SHA-256 of the request's canonical body.
    pub request_hash: [u8; 32],
}

impl RequestKey {
    /// The key of a customer, or of the guest with this cart and token. The token is part of the owner, so that a key
    /// reveals nothing to others, even after the cart was deleted.
    pub fn new(
        customer: Option<Uuid>,
        (cart, cart_token): (Uuid, Option<&TokenHash>),
        IdempotencyKey(key): IdempotencyKey,
        body: &[u8],
    ) -> Self {
        let mut owner = Sha256::new();
        match (customer, cart_token) {
            (Some(customer), _) => {
                owner.update(b"customer:");
                owner.update(customer);
            }
            // Without a token there is no access to a cart, so no key exists for this owner.
            (None, cart_token) => {
                owner.update(b"guest:");
                owner.update(cart);
                owner.update(cart_token.map_or(&[][..], TokenHash::as_slice));
            }
        }
        Self {
            owner: owner.finalize().into(),
            key,
            request_hash: Sha256::digest(body).into(),
        }
    }

    /// Takes the lease of a key whose last request stored no final response, and extends the order's reservation as
    /// for a new order: the payment is about to be authorized again, and the worker fails orders whose reservation
    /// expired. `false` if a concurrent request was faster. The order is locked before its key, as everywhere (lock
    /// order).
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn lock(
        &self,
        connection: &mut InstrumentedConnection<'_>,
        settings: &OrderSettings,
    ) -> Result<bool, sqlx::Error> {
        let locked = sqlx::query_scalar!(
            r#"with known as (
                   select order_id from idempotency_keys
                   where owner = $1 and key = $2 and answer_status is null
                     and (locked_until is null or locked_until <= now())
               ), held as (
                   update orders set reserved_until = now() + make_interval(secs => $4)
                   from known
                   where id = known.order_id
                   returning id
               ), locked as (
                   update idempotency_keys set locked_until = now() + make_interval(secs => $3)
                   from held
                   where owner = $1 and key = $2 and answer_status is null
                     and (locked_until is null or locked_until <= now())
                   returning order_id
               )
               select exists (select from locked) as "locked!""#,
            self.owner.as_slice(),
            self.key,
            settings.key_lock().as_secs_f64(),
            settings.reservation.as_secs_f64()
        );
        locked.fetch_one(connection).await
    }

    /// Releases the lease without a response: the next request resumes the order.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn unlock(&self, connection: &mut InstrumentedConnection<'_>) -> Result<(), sqlx::Error> {
        let unlocked = sqlx::query!(
            "update idempotency_keys set locked_until = null where owner = $1 and key = $2 and answer_status is null",
            self.owner.as_slice(),
            self.key
        );
        unlocked.execute(connection).await?;
        Ok(())
    }

    /// Stores the final response, for an order that was settled elsewhere.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn store_response(
        &self,
        connection: &mut InstrumentedConnection<'_>,
        status: i16,
        body: &[u8],
    ) -> Result<(), sqlx::Error> {
        let kept = sqlx::query!(
            "update idempotency_keys set answer_status = $3, answer = $4, locked_until = null
             where owner = $1 and key = $2",
            self.owner.as_slice(),
            self.key,
            status,
            body
        );
        kept.execute(connection).await?;
        Ok(())
    }
}

/// A key's row.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// The hash of the request that it was first used for.
    pub request_hash: Vec<u8>,
    /// A request holds the lease, or its process died a moment ago.
    pub is_locked: bool,
    /// The order that it is bound to.
    pub order: Uuid,
    /// The hash of a guest's order token.
    pub token_hash: Option<TokenHash>,
    /// The final response.
    pub answer: Option<(i16, Vec<u8>)>,
}

/// What a repeated request gets.
#[derive(Debug)]
pub enum IdempotencyOutcome {
    /// The stored response.
    Replay {
        /// Its order, with the hash of a guest's order token.
        order: (Uuid, Option<TokenHash>),
        status: i16,
        body: Vec<u8>,
    },
    /// The order exists, but has no final response yet.
    Resume(Uuid),
}

impl StoredKey {
    /// Checks a request against the key's.
    ///
    /// # Errors
    /// 422 for another request, 409 while a concurrent one holds the lease.
    pub fn check(self, request: &RequestKey) -> Result<IdempotencyOutcome, ApiError> {
        if self.request_hash != request.request_hash {
            return Err(ApiError::KeyReused);
        }
        let order = self.order;
        match self.answer {
            Some((status, body)) => Ok(IdempotencyOutcome::Replay {
                order: (order, self.token_hash),
                status,
                body,
            }),
            None if self.is_locked => Err(in_progress()),
            None => Ok(IdempotencyOutcome::Resume(order)),
        }
    }
}

/// 409 `request_in_progress`.
pub fn in_progress() -> ApiError {
    ApiError::Conflict {
        code: "request_in_progress",
        detail: "a request with this idempotency key is in progress; retry in a moment".to_owned(),
    }
}
