//! How the costs of a set grow with the catalogue.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};

use super::Cost;
use crate::limits::LimitResult;

/// √5 is what walking an index costs more when the catalogue is five times as large.
const MOST_GROWTH: f64 = 2.5;

/// Below this a request is cheap, however much dearer than before: a rare word has five times as many matches.
const CHEAP_BUFFERS: f64 = 500.0;

/// The greatest growth in buffers of a request that is not cheap, from the recorded run to this one.
pub(super) fn growth(file: &Path, costs: &[Cost]) -> Result<LimitResult> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let recorded: Vec<Cost> =
        serde_json::from_str(&text).with_context(|| format!("{} is no recorded set", file.display()))?;
    let before: HashMap<(usize, usize), &Cost> = recorded
        .iter()
        .map(|cost| ((cost.combination, cost.page), cost))
        .collect();
    let pairs: Vec<(&Cost, &Cost)> = costs
        .iter()
        .filter_map(|cost| Some((*before.get(&(cost.combination, cost.page))?, cost)))
        .collect();
    let ratio = |before: f64, after: f64| after / before.max(1.0);
    let not_cheap = pairs.iter().filter(|(_, after)| after.buffers >= CHEAP_BUFFERS);
    let worst = not_cheap.max_by(|left, right| {
        ratio(left.0.buffers, left.1.buffers).total_cmp(&ratio(right.0.buffers, right.1.buffers))
    });
    let most = worst.map_or(0.0, |(before, after)| ratio(before.buffers, after.buffers));
    if let Some((before, after)) = worst {
        eprintln!(
            "grew most: {:.0} → {:.0} buffers, {} → {}",
            before.buffers, after.buffers, before.path, after.path
        );
    }
    let sum = |pick: fn(&(&Cost, &Cost)) -> f64| pairs.iter().map(pick).sum::<f64>();
    let what = format!(
        "buffers of the request that grew most ÷ those in {}, of requests that touch {CHEAP_BUFFERS} at least",
        file.display()
    );
    let mut result = LimitResult::new("worst_growth", what, "at most 2.5", most, "", most <= MOST_GROWTH);
    let all = ratio(sum(|pair| pair.0.buffers), sum(|pair| pair.1.buffers));
    result.details = vec![
        ("compared".to_owned(), pairs.len() as f64),
        ("of_the_sums".to_owned(), all),
    ];
    Ok(result)
}
