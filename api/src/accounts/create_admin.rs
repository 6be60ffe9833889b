//! `backstock-api create-admin EMAIL`: the first admin of a shop, or a customer who becomes one. No route can do it.

use sqlx::PgConnection;
use storefront::email_address::EmailAddress;
use uuid::Uuid;

use super::password::NewPassword;
use crate::opaque_token::OpaqueToken;
use crate::passwords;

/// What was done.
#[derive(Debug, PartialEq, Eq)]
pub enum Created {
    /// An account that was there is an admin's now; its password is as it was.
    Promoted,
    /// A new account, with the password that was given.
    WithGivenPassword,
    /// A new account, with this password, which nobody is told again.
    WithPassword(String),
}

/// Makes an account an admin's, and makes the account when there is none.
///
/// # Errors
/// When a statement fails.
pub async fn create_admin(
    connection: &mut PgConnection,
    email: &EmailAddress,
    password: Option<NewPassword>,
) -> Result<Created, sqlx::Error> {
    let promoted = sqlx::query!(
        "update customers set role = 'admin' where email = $1",
        email.as_str()
    );
    if promoted.execute(&mut *connection).await?.rows_affected() > 0 {
        return Ok(Created::Promoted);
    }
    let (password, created) = match password {
        Some(given) => (given.into_string(), Created::WithGivenPassword),
        None => {
            let made = OpaqueToken::random().text();
            (made.clone(), Created::WithPassword(made))
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
    Ok(created)
}
