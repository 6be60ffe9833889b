//! The same questions to all arms, and whether they answer alike.

use std::time::{Duration, Instant};

use anyhow::Result;
use hyper::header::{ACCEPT_ENCODING, HeaderValue};

use super::asks::Asks;
use super::client::Client;
use super::sign_ins::SignIns;
use super::stand::Stand;
use crate::lessons::{Exhibit, Load, Scenario};
use crate::report::SameAnswers;

/// Requests that are compared for each scenario, and how long that may take.
const REQUESTS: usize = 24;
const FEWEST: usize = 3;
const PATIENCE: Duration = Duration::from_secs(3);

/// What clients accept: each arm answers as it does under load, and what its encoder made of the body is decoded before it
/// is compared.
const ENCODINGS: &str = "gzip, br";

/// Compares answers of a scenario, a few of one that is only counted, and adds them to what was compared before. `asks` has what each arm is asked, the same
/// questions in its own words. Each is asked so many times, behind a cache twice; or once, if it can be sent only once.
pub async fn compare(
    scenario: &Scenario,
    stands: &[Stand],
    asks: &[Asks],
    times: usize,
    same: &mut SameAnswers,
) -> Result<()> {
    let times = if asks.iter().any(Asks::are_used_up) {
        1
    } else {
        times
    };
    let mut of_arms = Vec::new();
    for asks in asks {
        of_arms.push(asks.take(REQUESTS).await?);
    }
    let mut clients = Vec::new();
    for stand in stands {
        clients.push(Client::to(stand.timed.address()));
    }
    let questions = of_arms.iter().map(|requests| requests.len()).min().unwrap_or(0);
    let spread = (questions / REQUESTS).max(1);
    let patience = match scenario.load {
        Load::Counted => Duration::ZERO,
        _ => PATIENCE,
    };
    let begun = Instant::now();
    for (asked, question) in (0..questions).step_by(spread).take(REQUESTS).enumerate() {
        if asked >= FEWEST && begun.elapsed() > patience {
            break;
        }
        for _ in 0..times {
            let mut first = None;
            let mut differs = false;
            for (client, requests) in clients.iter_mut().zip(&of_arms) {
                let encodings = HeaderValue::from_static(ENCODINGS);
                let request = requests[question].clone().with_header(ACCEPT_ENCODING, encodings);
                let answer = client.ask(&request).await?.decoded()?;
                let seen = (answer.status, answer.normalized());
                differs |= first.get_or_insert_with(|| seen.clone()) != &seen;
            }
            same.compared += 1;
            if differs {
                same.different += 1;
                same.first_difference
                    .get_or_insert_with(|| format!("{}: {}", scenario.name, of_arms[0][question].path));
            }
        }
    }
    Ok(())
}

/// What is shown of all arms beside numbers, in a sentence each.
pub async fn exhibit(exhibits: &[Exhibit], stands: &[Stand]) -> Result<Vec<String>> {
    let mut sentences = Vec::new();
    for exhibit in exhibits {
        let mut found = Vec::new();
        for stand in stands {
            found.push(match exhibit {
                Exhibit::ItemsFound { path, .. } => {
                    let mut client = Client::to(stand.timed.address());
                    let answer = client.get(path).await?;
                    let more = if answer.next().is_some() { " and more" } else { "" };
                    format!("{} finds {}{more}", stand.arm, answer.items().unwrap_or(0))
                }
                Exhibit::AfterSignOut { customer } => {
                    let status = SignIns::after_sign_out(stand, customer).await?;
                    format!("{} answers {status}", stand.arm)
                }
            });
        }
        let found = found.join(", ");
        sentences.push(match exhibit {
            Exhibit::ItemsFound { what, path } => format!("Asked for {what} (`{path}`), {found}."),
            Exhibit::AfterSignOut { .. } => {
                format!("To a request with the access token of a customer who has just signed out, {found}.")
            }
        });
    }
    Ok(sentences)
}
