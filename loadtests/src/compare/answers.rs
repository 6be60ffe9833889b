//! The same questions to all arms, and whether they answer alike.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::client::Client;
use super::stand::Stand;
use crate::report::SameAnswers;

/// Requests that are compared for each scenario, and how long that may take.
const REQUESTS: usize = 24;
const FEWEST: usize = 3;
const PATIENCE: Duration = Duration::from_secs(6);

/// What clients accept: each arm answers as it does under load, and what its encoder made of the body is decoded before it
/// is compared.
const ENCODINGS: &str = "gzip, br";

/// Compares answers of a scenario and adds them to what was compared before. `paths` has each arm's own addresses of
/// the same questions, each of which is asked so many times: behind a cache, twice.
pub async fn compare(
    scenario: &str,
    stands: &[Stand],
    paths: &[Vec<String>],
    times: usize,
    same: &mut SameAnswers,
) -> Result<()> {
    let mut clients = Vec::new();
    for stand in stands {
        clients.push(Client::connect(stand.timed.address()).await?);
    }
    let questions = paths.iter().map(Vec::len).min().unwrap_or(0);
    let spread = (questions / REQUESTS).max(1);
    let begun = Instant::now();
    for (asked, question) in (0..questions).step_by(spread).take(REQUESTS).enumerate() {
        if asked >= FEWEST && begun.elapsed() > PATIENCE {
            break;
        }
        for _ in 0..times {
            let mut first = None;
            let mut differs = false;
            for (client, paths) in clients.iter_mut().zip(paths) {
                let answer = client.get(&paths[question], Some(ENCODINGS)).await?.decoded()?;
                let seen = (answer.status, answer.normalized());
                differs |= first.get_or_insert_with(|| seen.clone()) != &seen;
            }
            same.compared += 1;
            if differs {
                same.different += 1;
                same.first_difference
                    .get_or_insert_with(|| format!("{scenario}: {}", paths[0][question]));
            }
        }
    }
    Ok(())
}

/// How many items each arm finds for requests whose answers differ by nature, in a sentence each.
pub async fn exhibit(exhibits: &[(&str, String)], stands: &[Stand]) -> Result<Vec<String>> {
    let mut sentences = Vec::new();
    for (what, path) in exhibits {
        let mut found = Vec::new();
        for stand in stands {
            let answer = Client::connect(stand.timed.address())
                .await?
                .get(path, None)
                .await?;
            let items = answer
                .normalized()
                .get("items")
                .and_then(|items| items.as_array())
                .map_or(0, Vec::len);
            let more = if answer.next().is_some() { " and more" } else { "" };
            found.push(format!("{} finds {items}{more}", stand.arm));
        }
        sentences.push(format!("Asked for {what} (`{path}`), {}.", found.join(", ")));
    }
    Ok(sentences)
}
