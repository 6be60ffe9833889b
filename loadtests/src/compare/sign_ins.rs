//! Signing customers in at an arm's shop, before anything is timed: hashing a password takes longer than most of what is
//! measured afterwards.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::client::Client;
use super::stand::Stand;
use crate::costs::LAB_MARK;
use crate::load::Request;
use dataset::tables::customers::DEMO_PASSWORD;

/// An access token lasts 15 minutes. One that is older than this may not last to the end of a scenario in the full mode.
const RENEWED_AFTER: Duration = Duration::from_secs(300);

/// Bytes of one entry of what a session keeps: an MD5 in hexadecimal digits, which is not compressed to less.
const ENTRY_BYTES: u32 = 32;

/// Tokens that shops have given, by arm and email.
#[derive(Default)]
pub struct SignIns(HashMap<(&'static str, String), (HeaderValue, Instant)>);

impl SignIns {
    /// Requests of these customers for a path, each with the customer's token.
    pub async fn requests(
        &mut self,
        stand: &Stand,
        customers: &[String],
        path: &str,
        session_bytes: u32,
    ) -> Result<Vec<Request>> {
        let mut client = Client::to(stand.timed.address());
        let mut requests = Vec::with_capacity(customers.len());
        let mut new = Vec::new();
        for email in customers {
            let key = (stand.arm, email.clone());
            let known = self
                .0
                .get(&key)
                .filter(|(_, since)| since.elapsed() < RENEWED_AFTER);
            let bearer = match known {
                Some((bearer, _)) => bearer.clone(),
                None => {
                    let bearer = bearer(&token(&mut client, email).await?)?;
                    new.push(email.clone());
                    self.0.insert(key, (bearer.clone(), Instant::now()));
                    bearer
                }
            };
            requests.push(Request::get(path)?.with_header(AUTHORIZATION, bearer));
        }
        if session_bytes > 0 {
            widen(&stand.database_url, &new, session_bytes).await?;
        }
        Ok(requests)
    }

    /// What becomes of an access token after its customer has signed out: the status of a request that brings it.
    pub async fn after_sign_out(stand: &Stand, email: &str) -> Result<u16> {
        let mut client = Client::to(stand.timed.address());
        let bearer = bearer(&token(&mut client, email).await?)?;
        let me = Request::get("/v1/me")?.with_header(AUTHORIZATION, bearer.clone());
        let before = client.ask(&me).await?.status;
        ensure!(
            before.is_success(),
            "a customer who has just signed in gets {before}"
        );
        let mut sign_out = Request::get("/v1/sessions/current")?.with_header(AUTHORIZATION, bearer);
        sign_out.method = Method::DELETE;
        let signed_out = client.ask(&sign_out).await?.status;
        ensure!(signed_out.is_success(), "signing out answered {signed_out}");
        Ok(client.ask(&me).await?.status.as_u16())
    }
}

/// A request that signs a customer in.
pub fn sign_in(email: &str) -> Result<Request> {
    let credentials = json!({ "email": email, "password": DEMO_PASSWORD });
    Request::with_json(Method::POST, "/v1/sessions", &credentials)
}

async fn token(client: &mut Client, email: &str) -> Result<String> {
    let answer = client.ask(&sign_in(email)?).await?;
    ensure!(
        answer.status.is_success(),
        "signing {email} in answered {}",
        answer.status
    );
    let answer: Value = serde_json::from_slice(&answer.body)?;
    let token = answer["access_token"].as_str();
    Ok(token.context("who signs in gets an access token")?.to_owned())
}

fn bearer(token: &str) -> Result<HeaderValue> {
    Ok(HeaderValue::try_from(format!("Bearer {token}"))?)
}

/// Makes the rows of these customers' sign-ins as wide as those of a shop that keeps much with a session. Before any
/// request has brought their tokens: no other store knows them yet.
async fn widen(database_url: &str, customers: &[String], bytes: u32) -> Result<()> {
    let mut connection = PgConnection::connect(database_url).await?;
    let update = format!(
        "update sessions set data = jsonb_build_object('recently_seen', \
             (select string_agg(md5(entry::text), '') from generate_series(1, $2) entry)) \
         where customer_id in (select id from customers where email = any($1)) {LAB_MARK}"
    );
    let updated = sqlx::query(AssertSqlSafe(update))
        .bind(customers)
        .bind((bytes / ENTRY_BYTES) as i32)
        .execute(&mut connection)
        .await?;
    ensure!(
        updated.rows_affected() >= customers.len() as u64,
        "{} of {} sign-ins were made wider",
        updated.rows_affected(),
        customers.len()
    );
    connection.close().await?;
    Ok(())
}
