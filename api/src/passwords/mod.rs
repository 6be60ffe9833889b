//! Password hashing and verification: the lesson `password_hashing`.
//!
//! Both arms compute argon2id with 19 MiB of memory and two passes, as OWASP recommends
//! (<https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>): it is expensive by design.
//! The arms differ in the thread that it blocks.

#[cfg(feature = "baselines")]
pub mod runtime;

pub mod pool;

mod argon2id;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::Params;
use argon2::password_hash::{self, PasswordHasher, PasswordVerifier, phc::PasswordHash};
use techniques::PasswordHashing;

use self::argon2id::Argon2id;
use crate::opaque_token::OpaqueToken;
use crate::settings::PasswordSettings;
use crate::web::error::ApiError;

/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

techniques::component! {
    /// The threads that hash.
    HashingThreads: PasswordHashing {
        baseline Runtime = runtime::Runtime,
        optimized Pool = pool::Pool,
    }
    select(settings: PasswordSettings);

    async fn run[T: Send + 'static](&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError>;
}

/// Hashes and verifies passwords.
pub struct Passwords {
    threads: HashingThreads,
    computed: AtomicU64,
}

impl Passwords {
    /// Builds the arm.
    pub fn new(arm: PasswordHashing, settings: PasswordSettings) -> Self {
        // Now, otherwise the first sign-in with an unknown email would pay for it.
        LazyLock::force(&DUMMY_HASH);
        Self {
            threads: HashingThreads::select(arm, settings),
            computed: AtomicU64::new(0),
        }
    }

    /// Hashes a password, in the PHC string format.
    ///
    /// # Errors
    /// [`ApiError::Overloaded`] when no slot came free in time.
    pub async fn hash(&self, password: String) -> Result<String, ApiError> {
        let hashed = self.run(move || hash(&password)).await?;
        hashed.map_err(|error| ApiError::internal(error.to_string()))
    }

    /// Verifies a password against a stored hash. For an unknown email there is none; then a dummy hash is verified,
    /// so that the response time doesn't reveal whether an account exists (timing attack).
    ///
    /// # Errors
    /// [`ApiError::Overloaded`] when no slot came free in time.
    pub async fn verify(&self, password: String, kept: Option<String>) -> Result<bool, ApiError> {
        self.run(move || {
            let is_right = verify(&password, kept.as_deref().unwrap_or(&DUMMY_HASH));
            is_right && kept.is_some()
        })
        .await
    }

    /// How many hashes were computed, for tests.
    pub fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let done = self.threads.run(work).await;
        if done.is_ok() {
            self.computed.fetch_add(1, Ordering::Relaxed);
        }
        done
    }
}

/// The hash of a random password, verified when an email is unknown.
static DUMMY_HASH: LazyLock<String> = LazyLock::new(|| hash_here(&OpaqueToken::random().text()));

/// Hashes on the current thread, for a command, which has nothing else to do.
pub fn hash_here(password: &str) -> String {
    hash(password).expect("the parameters are within bounds")
}

fn argon2id() -> Argon2id {
    Argon2id(Params::new(MEMORY_KIB, PASSES, LANES, None).expect("they are within bounds"))
}

fn hash(password: &str) -> Result<String, password_hash::Error> {
    let hash: PasswordHash = argon2id().hash_password(password.as_bytes())?;
    Ok(hash.to_string())
}

/// Uses the parameters that the hash names.
fn verify(password: &str, kept: &str) -> bool {
    PasswordHash::new(kept).is_ok_and(|kept| argon2id().verify_password(password.as_bytes(), &kept).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_names_its_parameters_and_verifies_its_password_alone() {
        let kept = hash("correct horse").unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(verify("correct horse", &kept));
        assert!(!verify("correct horse ", &kept));
        assert_ne!(hash("correct horse").unwrap(), kept, "each has a salt of its own");
        assert!(!verify("correct horse", "no hash at all"));
    }

    #[test]
    fn the_dummy_hash_costs_as_much_as_a_customers() {
        let parameters = |hash: &str| hash.split('$').nth(3).map(str::to_owned);
        assert_eq!(parameters(&DUMMY_HASH), parameters(&hash("x").unwrap()));
    }
}
