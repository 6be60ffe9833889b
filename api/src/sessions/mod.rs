//! Sign-ins and what speaks for them: the lesson `sessions`.
//!
//! A sign-in is a row of `sessions`, whichever arm: the family that its refresh tokens belong to (`families.rs`). The
//! arms differ in the access token that each request brings: what it is, and where it is checked.

mod families;

#[cfg(feature = "baselines")]
pub mod redis;
#[cfg(feature = "baselines")]
mod stored;
#[cfg(feature = "baselines")]
pub mod table;

pub mod jwt;

use std::time::Duration;

use storefront::keyring::Keyring;
use storefront::redis::Redis;
use storefront::variants;
use uuid::Uuid;

use self::families::Lifetimes;
use crate::database::{Database, Session};
use crate::http::error::ApiError;
use crate::http::timings::Timings;
use crate::opaque_token::{OpaqueToken, TokenHash};
use crate::settings::SessionSettings;

/// The arm of `sessions` that this process was built with.
pub struct Sessions {
    arm: Arm,
    lifetimes: Lifetimes,
}

enum Arm {
    /// See [`table`].
    #[cfg(feature = "baselines")]
    Table(table::Table),
    /// See [`redis`].
    #[cfg(feature = "baselines")]
    Redis(redis::RedisSessions),
    /// See [`jwt`].
    Jwt(Box<jwt::Jwt>),
}

/// What a customer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Buys.
    Customer,
    /// May change the catalogue, and see all orders.
    Admin,
}

/// Somebody signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Customer {
    /// Who.
    pub id: Uuid,
    /// By which sign-in.
    pub session_id: Uuid,
    /// As what. Up to an access token's lifetime old, where the token says it.
    pub role: Role,
}

/// What a client gets for signing in, and for each refresh.
#[derive(Debug)]
pub struct Grant {
    /// What each request brings.
    pub access_token: String,
    /// What the next grant is asked for with, once.
    pub refresh_token: String,
    /// How long the access token is good.
    pub expires_in: Duration,
}

impl Sessions {
    /// Builds the arm. It connects when it is first used.
    #[cfg_attr(
        not(feature = "baselines"),
        allow(unused_variables, reason = "only a baseline keeps sessions in Redis")
    )]
    pub fn new(arm: variants::Sessions, keyring: &Keyring, redis: Redis, settings: SessionSettings) -> Self {
        let arm = match arm {
            #[cfg(feature = "baselines")]
            variants::Sessions::Table => Arm::Table(table::Table),
            #[cfg(feature = "baselines")]
            variants::Sessions::Redis => Arm::Redis(redis::RedisSessions::new(redis)),
            variants::Sessions::Jwt => Arm::Jwt(Box::new(jwt::Jwt::new(keyring))),
        };
        let lifetimes = Lifetimes {
            access: Duration::from_secs(u64::from(settings.access_token_lifetime_s)),
            refresh: Duration::from_secs(u64::from(settings.refresh_token_lifetime_s)),
        };
        Self { arm, lifetimes }
    }

    /// Whom an access token speaks for. `None` for one that is unknown, wrong, expired or revoked.
    ///
    /// # Errors
    /// When it can't be told, since Postgres can't be asked.
    pub async fn authenticate(
        &self,
        database: &Database,
        timings: &Timings,
        token: &str,
    ) -> Result<Option<Customer>, ApiError> {
        match &self.arm {
            #[cfg(feature = "baselines")]
            Arm::Table(table) => table.authenticate(database, timings, token).await,
            #[cfg(feature = "baselines")]
            Arm::Redis(redis) => redis.authenticate(database, timings, token).await,
            // It asks nobody.
            Arm::Jwt(jwt) => {
                let _ = (database, timings);
                Ok(jwt.authenticate(token))
            }
        }
    }

    /// Signs a customer in: one statement, that may be part of a transaction.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn open(
        &self,
        session: &mut Session<'_>,
        customer: Uuid,
        role: Role,
    ) -> Result<Grant, ApiError> {
        let signed_in = Customer {
            id: customer,
            session_id: Uuid::now_v7(),
            role,
        };
        let access = self.access(&signed_in);
        let refresh = OpaqueToken::naming(signed_in.session_id);
        families::insert(
            session,
            &signed_in,
            access.hash.as_ref(),
            &refresh.hash(),
            self.lifetimes,
        )
        .await?;
        Ok(self.grant(access.token, &refresh))
    }

    /// Trades a refresh token for the next grant. A refresh token is single-use. Reusing it, even concurrently, revokes the
    /// whole family, also when its row was purged: the token names its family.
    ///
    /// # Errors
    /// [`ApiError::RefreshRefused`], or when a statement fails.
    pub async fn refresh(&self, session: &mut Session<'_>, token: &str) -> Result<Grant, ApiError> {
        let used = OpaqueToken::parse(token).ok_or(ApiError::RefreshRefused)?;
        let (family, used) = (used.named(), used.hash());
        let mut next = OpaqueToken::naming(family);
        let opaque = self.opaque_access();
        let access_hash = opaque.as_ref().and_then(|access| access.hash);
        let rotated =
            families::rotate(session, &used, access_hash.as_ref(), &next.hash(), self.lifetimes).await?;
        let Some(rotated) = rotated else {
            if let Some(revoked) = families::revoke_if_used(session, &used, family).await? {
                tracing::warn!(session_id = %revoked.session_id, "a refresh token was reused; its sign-in is revoked");
                self.forget(revoked.access_hash.as_deref())
                    .await
                    .unwrap_or_else(log_remembered);
            }
            return Err(ApiError::RefreshRefused);
        };
        if rotated.customer.session_id != family {
            // A token from before they named their family: its successor does.
            let named = OpaqueToken::naming(rotated.customer.session_id);
            families::rename(session, &next.hash(), &named.hash()).await?;
            next = named;
        }
        self.forget(rotated.old_access_hash.as_deref())
            .await
            .unwrap_or_else(log_remembered);
        let token = match opaque {
            Some(access) => access.token,
            None => self.access(&rotated.customer).token,
        };
        Ok(self.grant(token, &next))
    }

    /// Signs out. What is left of it: under `jwt` the access token, until it expires.
    ///
    /// # Errors
    /// When Postgres, or where sessions are kept besides, can't be told: then the customer is still signed in.
    pub async fn close(&self, session: &mut Session<'_>, customer: &Customer) -> Result<(), ApiError> {
        match &self.arm {
            #[cfg(feature = "baselines")]
            Arm::Redis(redis) => {
                let mut transaction = session.begin().await?;
                let access_hash = families::revoke(&mut transaction, customer.session_id).await?;
                redis.forget(access_hash.as_deref()).await?;
                transaction.commit().await?;
            }
            #[cfg(feature = "baselines")]
            Arm::Table(_) => {
                families::revoke(session, customer.session_id).await?;
            }
            Arm::Jwt(_) => {
                families::revoke(session, customer.session_id).await?;
            }
        }
        Ok(())
    }

    fn access(&self, customer: &Customer) -> Access {
        match &self.arm {
            #[cfg(feature = "baselines")]
            Arm::Table(_) | Arm::Redis(_) => stored::access(),
            Arm::Jwt(jwt) => Access {
                token: jwt.sign(customer, self.lifetimes.access),
                hash: None,
            },
        }
    }

    /// The access token of an arm that doesn't have to know whom it will speak for.
    fn opaque_access(&self) -> Option<Access> {
        match &self.arm {
            #[cfg(feature = "baselines")]
            Arm::Table(_) | Arm::Redis(_) => Some(stored::access()),
            Arm::Jwt(_) => None,
        }
    }

    /// Makes an access token that its row no longer has unknown elsewhere, too.
    async fn forget(&self, access_hash: Option<&[u8]>) -> Result<(), ApiError> {
        match &self.arm {
            #[cfg(feature = "baselines")]
            Arm::Redis(redis) => redis.forget(access_hash).await,
            #[cfg(feature = "baselines")]
            Arm::Table(_) => Ok(()),
            Arm::Jwt(_) => {
                let _ = access_hash;
                Ok(())
            }
        }
    }

    fn grant(&self, access_token: String, refresh: &OpaqueToken) -> Grant {
        Grant {
            access_token,
            refresh_token: refresh.text(),
            expires_in: self.lifetimes.access,
        }
    }
}

/// Its row is changed already, and what is kept besides ends with the token's lifetime.
fn log_remembered(error: ApiError) {
    tracing::warn!(%error, "a session is remembered until its access token expires");
}

/// An access token: what the client gets, and what its row keeps where it is looked up there.
struct Access {
    token: String,
    hash: Option<TokenHash>,
}

impl Role {
    /// As the database and tokens have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Admin => "admin",
        }
    }

    /// Reads what [`Role::as_str`] wrote. What is unknown may nothing special.
    pub fn from_name(name: &str) -> Self {
        match name {
            "admin" => Self::Admin,
            _ => Self::Customer,
        }
    }
}
