//! What can be said of paired measurements: a ratio, its interval, and whether it means anything.
//!
//! The lab measures two arms in ABBA blocks of short slices. Each block gives one ratio; the blocks' log-ratios are
//! the sample that everything here works on. Read next: `compare`, which runs the blocks.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// The share of false alarms that an interval or a verdict tolerates.
const SIGNIFICANCE: f64 = 0.05;

/// A ratio with what is known about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The ratio: the geometric mean of the blocks' ratios.
    pub value: f64,
    /// Its 95 % confidence interval.
    pub ci95: (f64, f64),
    /// The probability of a ratio at least as far from 1 if the truth were 1 (two-sided).
    pub p: f64,
}

/// The ratio of the first to the second value over paired blocks, with a Student's t interval over the log-ratios.
///
/// Pass the pair so that above 1 is better: (baseline, arm) for a cost or a latency, (arm, baseline) for a
/// throughput. Needs two blocks at least; eight is what a verdict should rest on. `None` when there are fewer than two
/// blocks, or when a block holds a value that is not positive and finite: such a block has no ratio.
pub fn ratio_of_blocks(blocks: &[(f64, f64)]) -> Option<Estimate> {
    let usable = |value: f64| value.is_finite() && value > 0.0;
    if blocks.len() < 2
        || !blocks
            .iter()
            .all(|&(first, second)| usable(first) && usable(second))
    {
        return None;
    }
    let logs: Vec<f64> = blocks
        .iter()
        .map(|(first, second)| first.ln() - second.ln())
        .collect();
    let count = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / count;
    let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let standard_error = (variance / count).sqrt();

    let value = mean.exp();
    if standard_error <= f64::EPSILON * mean.abs().max(1.0) {
        // All blocks agree, as exact costs do: there is no spread to infer anything from.
        let p = if mean.abs() <= f64::EPSILON { 1.0 } else { 0.0 };
        return Some(Estimate {
            value,
            ci95: (value, value),
            p,
        });
    }
    let t = StudentsT::new(0.0, 1.0, count - 1.0).ok()?;
    let half_width = t.inverse_cdf(1.0 - SIGNIFICANCE / 2.0) * standard_error;
    let p = 2.0 * t.sf((mean / standard_error).abs());
    Some(Estimate {
        value,
        ci95: ((mean - half_width).exp(), (mean + half_width).exp()),
        p,
    })
}

/// Holm's correction: the adjusted p values, in the order of the given ones.
///
/// The more metrics a lesson has, the likelier one of them seems to differ by chance. Comparing the adjusted values
/// with 0.05 keeps the chance that *any* of them is a false alarm at 5 %.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut ascending: Vec<usize> = (0..p.len()).collect();
    ascending.sort_by(|&left, &right| p[left].total_cmp(&p[right]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest_so_far: f64 = 0.0;
    for (rank, &index) in ascending.iter().enumerate() {
        let hypotheses_left = (p.len() - rank) as f64;
        largest_so_far = largest_so_far.max((p[index] * hypotheses_left).min(1.0));
        adjusted[index] = largest_so_far;
    }
    adjusted
}

/// What a comparison says about an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It costs less or does more than what it is compared with.
    Better,
    /// It costs more or does less.
    Worse,
    /// Chance, or what the machine does to two runs of the same arm, explains the difference.
    NoMeasurableDifference,
}

impl Verdict {
    /// As it is written in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::NoMeasurableDifference => "no measurable difference",
        }
    }
}

/// Judges an estimate by its adjusted p value and by the noise floor, the estimate of an arm against itself.
///
/// The floor is taken as symmetric around 1: which of two equal runs came out ahead is chance, so a floor of
/// 0.98…1.05 stands for 0.95…1.05. An effect whose interval touches it is no measurable difference.
pub fn verdict(estimate: &Estimate, adjusted_p: f64, noise_floor: &Estimate) -> Verdict {
    let (floor_low, floor_high) = noise_floor.ci95;
    let floor = floor_low.ln().abs().max(floor_high.ln().abs()).exp();
    let (low, high) = estimate.ci95;
    // Written so that a value that is no number falls through to "no measurable difference".
    let significant = adjusted_p < SIGNIFICANCE;
    if significant && low > floor {
        Verdict::Better
    } else if significant && high < 1.0 / floor {
        Verdict::Worse
    } else {
        Verdict::NoMeasurableDifference
    }
}

#[cfg(test)]
mod tests;
