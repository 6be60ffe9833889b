//! A client's key for a request: what it stands for, and what a second request under it gets.
//!
//! A key is a row of `idempotency_keys`, written in the transaction that makes its order, and bound to it from then on.
//! While a request works under it, it is locked, with an end: a process that died gives it up by that. The final answer
//! is kept with it. Without one, whoever comes next resumes the order.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::database::Session;
use crate::http::error::ApiError;
use crate::opaque_token::TokenHash;
use crate::settings::OrderSettings;

/// How long a key and its answer are kept.
pub const KEPT_HOURS: i32 = 24;

/// The header `Idempotency-Key`: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone)]
pub struct IdempotencyKey(pub String);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        const NAME: &str = "idempotency-key";
        let fault = |what: &str| {
            ApiError::parameter(
                NAME,
                format!("{what}; send 1 to 255 visible ASCII characters, new for each order"),
            )
        };
        let mut given = parts.headers.get_all(NAME).iter();
        let value = given.next().ok_or_else(|| fault("is missing"))?;
        if given.next().is_some() {
            return Err(fault("is given twice"));
        }
        let is_visible = value.as_bytes().iter().all(u8::is_ascii_graphic);
        match value.to_str() {
            Ok(key) if is_visible && (1..=255).contains(&key.len()) => Ok(Self(key.to_owned())),
            _ => Err(fault("is not usable")),
        }
    }
}

/// A key of somebody's, and the request that it is used for.
#[derive(Debug, Clone)]
pub struct RequestKey {
    /// Whose: two clients may choose one key.
    pub owner: [u8; 32],
    /// As it was sent.
    pub key: String,
    /// SHA-256 of the request's body in canonical form.
    pub request_hash: [u8; 32],
}

impl RequestKey {
    /// The key of a customer, else of the guest who has the cart and what opens it. A guest is told what a key stands for
    /// by the owner alone, also when the cart is gone: so the token is part of it.
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
            // Without a token no cart is opened: no key was ever written for this owner.
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

    /// Takes the lock of a key whose last request gave no final answer, and holds what its order has reserved for as long
    /// as a new one: the payment is about to be asked for again, and the worker gives up what is held no longer. `false`
    /// when a twin was faster. The order is locked before its key, as where it is settled.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn lock(
        &self,
        session: &mut Session<'_>,
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
        locked.fetch_one(session).await
    }

    /// Gives the lock up without an answer: who comes next resumes the order.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn unlock(&self, session: &mut Session<'_>) -> Result<(), sqlx::Error> {
        let unlocked = sqlx::query!(
            "update idempotency_keys set locked_until = null where owner = $1 and key = $2 and answer_status is null",
            self.owner.as_slice(),
            self.key
        );
        unlocked.execute(session).await?;
        Ok(())
    }

    /// Keeps the final answer, for an order that was settled elsewhere.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn keep_answer(
        &self,
        session: &mut Session<'_>,
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
        kept.execute(session).await?;
        Ok(())
    }
}

/// What the database knows of a key.
#[derive(Debug, Clone)]
pub struct KnownKey {
    /// Of the request that it was first used for.
    pub request_hash: Vec<u8>,
    /// A request works under it, or its process died a moment ago.
    pub is_locked: bool,
    /// The order that it is bound to.
    pub order: Uuid,
    /// Of what opens that order, for a guest.
    pub token_hash: Option<TokenHash>,
    /// The final answer.
    pub answer: Option<(i16, Vec<u8>)>,
}

/// What a second request under a key gets.
#[derive(Debug)]
pub enum Repeated {
    /// The same answer.
    Replay {
        /// The order that it tells of, and the hash of what opens it, for a guest.
        order: (Uuid, Option<TokenHash>),
        /// The HTTP status.
        status: i16,
        /// The body, as it was kept.
        body: Vec<u8>,
    },
    /// The order is there, its end isn't known.
    Resume(Uuid),
}

impl KnownKey {
    /// Holds a request against what the key stands for.
    ///
    /// # Errors
    /// 422 for another request, 409 while a twin works.
    pub fn repeated(self, request: &RequestKey) -> Result<Repeated, ApiError> {
        if self.request_hash != request.request_hash {
            return Err(ApiError::KeyReused);
        }
        let order = self.order;
        match self.answer {
            Some((status, body)) => Ok(Repeated::Replay {
                order: (order, self.token_hash),
                status,
                body,
            }),
            None if self.is_locked => Err(in_progress()),
            None => Ok(Repeated::Resume(order)),
        }
    }
}

/// 409 `request_in_progress`.
pub fn in_progress() -> ApiError {
    ApiError::Conflict {
        code: "request_in_progress",
        detail: "a request with this idempotency key is being worked on; ask again in a moment".to_owned(),
    }
}
