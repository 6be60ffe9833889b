//! `backstock-api create-admin EMAIL`: creates a shop's first admin, or promotes a customer. No route can do this.

use shop::email_address::EmailAddress;
use sqlx::PgConnection;
use uuid::Uuid;

use super::password::NewPassword;
use crate::opaque_token::OpaqueToken;
use crate::passwords;

/// What became of the account, and of its password.
#[derive(Debug, PartialEq, Eq)]
pub enum AdminOutcome {
    /// An existing account was promoted; its password is unchanged.
    Promoted,
    /// A new account, with the given password.
    CreatedWithGivenPassword,
    /// A new account, with this generated password, which is shown only once.
    CreatedWithGeneratedPassword(String),
}

/// Gives an account the admin role, and creates the account if there is none.
///
/// # Errors
/// When a statement fails.
pub async fn create_admin(
    connection: &mut PgConnection,
    email: &EmailAddress,
    password: Option<NewPassword>,
) -> Result<AdminOutcome, sqlx::Error> {
    let promoted = sqlx::query!(
        "update customers set role = 'admin' where email = $1",
        email.as_str()
    );
    if promoted.execute(&mut *connection).await?.rows_affected() > 0 {
        return Ok(AdminOutcome::Promoted);
    }
    let (password, outcome) = match password {
        Some(given) => (given.into_string(), AdminOutcome::CreatedWithGivenPassword),
        None => {
            let generated = OpaqueToken::random().text();
            (
                generated.clone(),
                AdminOutcome::CreatedWithGeneratedPassword(generated),
            )
        }
    };
    sqlx::query!(
        "insert into customers (id, role, email, name, password_hash) values ($1, 'admin', $2, 'Admin', $3)",
        Uuid::now_v7(),
        email.as_str(),
        passwords::hash_here(&password),
    )
    .execute(connection)
    .await?;
    Ok(outcome)
}
