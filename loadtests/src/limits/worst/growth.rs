//! How the costs of a set grow with the catalogue.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};

use super::Cost;
use super::draw::Drawn;
use super::measure::FOLLOWED;
use crate::limits::LimitResult;

/// √5 is what walking an index costs more when the catalogue is five times as large.
const MOST_GROWTH: f64 = 2.5;

/// Below this a request is cheap, however much dearer than before: a rare word has five times as many matches.
const CHEAP_BUFFERS: f64 = 500.0;

/// What a run at another scale recorded.
pub(super) struct Recorded {
    costs: Vec<Cost>,
    file: String,
}

impl Recorded {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let costs =
            serde_json::from_str(&text).with_context(|| format!("{} is no recorded set", file.display()))?;
        Ok(Self {
            costs,
            file: file.display().to_string(),
        })
    }

    /// The same requests. Cursors belong to the catalogue, so pages are followed again from the first.
    pub(super) fn set(&self) -> Vec<Drawn> {
        let firsts = self.costs.iter().filter(|cost| cost.page == 0);
        firsts
            .map(|first| Drawn {
                kind: first.kind,
                path: first.path.clone(),
                to_end: self
                    .costs
                    .iter()
                    .any(|cost| cost.combination == first.combination && cost.page > FOLLOWED),
            })
            .collect()
    }

    /// The greatest growth in buffers of a request that is not cheap, from the recorded run to this one.
    pub(super) fn growth(&self, costs: &[Cost]) -> LimitResult {
        growth_since(&self.costs, costs, &self.file)
    }
}

fn growth_since(recorded: &[Cost], costs: &[Cost], name: &str) -> LimitResult {
    let before: HashMap<(usize, usize), &Cost> = recorded
        .iter()
        .map(|cost| ((cost.combination, cost.page), cost))
        .collect();
    let pairs: Vec<(&Cost, &Cost)> = costs
        .iter()
        .filter_map(|cost| Some((*before.get(&(cost.combination, cost.page))?, cost)))
        .collect();
    let ratio = |before: f64, after: f64| after / before.max(1.0);
    let grown = |pair: &(&Cost, &Cost)| ratio(pair.0.buffers, pair.1.buffers);
    let not_cheap = pairs.iter().filter(|(_, after)| after.buffers > CHEAP_BUFFERS);
    let worst = not_cheap
        .clone()
        .max_by(|left, right| grown(left).total_cmp(&grown(right)));
    let exceeding = not_cheap.filter(|pair| grown(pair) > MOST_GROWTH).count();
    let most = worst.map_or(0.0, |(before, after)| ratio(before.buffers, after.buffers));
    if let Some((before, after)) = worst {
        eprintln!(
            "grew most: {:.0} → {:.0} buffers, {} → {}",
            before.buffers, after.buffers, before.path, after.path
        );
    }
    let sum = |pick: fn(&(&Cost, &Cost)) -> f64| pairs.iter().map(pick).sum::<f64>();
    let what = format!(
        "buffers of the request that grew most ÷ those in {name}, of requests that touch more than {CHEAP_BUFFERS}"
    );
    let mut result = LimitResult::new("worst_growth", what, "at most 2.5", most, "", most <= MOST_GROWTH);
    let all = ratio(sum(|pair| pair.0.buffers), sum(|pair| pair.1.buffers));
    result.details = vec![
        ("compared".to_owned(), pairs.len() as f64),
        ("exceeding".to_owned(), exceeding as f64),
        ("of_the_sums".to_owned(), all),
    ];
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::worst::Kind;

    fn cost(combination: usize, page: usize, buffers: f64) -> Cost {
        Cost {
            combination,
            kind: Kind::List,
            page,
            path: format!("/v1/products?page={page}"),
            status: 200,
            statements: 1.0,
            buffers,
            database_ms: 1.0,
            api_ms: 1.0,
        }
    }

    #[test]
    fn each_request_is_held_against_its_number_and_cheap_ones_do_not_count() {
        let before = [cost(0, 0, 1_400.0), cost(0, 1, 400.0), cost(1, 0, 10.0)];
        let after = [
            cost(0, 0, 3_080.0),
            cost(0, 1, 2_400.0),
            // Ten times as much, and still cheap.
            cost(1, 0, 100.0),
            // There was none before.
            cost(2, 0, 9_000.0),
        ];
        let result = growth_since(&before, &after, "before");
        assert!((result.measured - 6.0).abs() < 1e-9 && !result.met, "{result:?}");
        assert_eq!(result.details[0].1, 3.0);
        let result = growth_since(&before, &after[..1], "before");
        assert!((result.measured - 2.2).abs() < 1e-9 && result.met, "{result:?}");
    }
}
