//! Checks the statistics against textbook values, and their error rates against simulated measurements.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{ContinuousCDF, Normal};

use super::*;

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() < 1e-3
}

#[test]
fn the_interval_is_students() {
    // Log-ratios 1, 2, 3: mean 2, standard error 1/√3, t(0.975, 2) = 4.3027.
    let blocks: Vec<(f64, f64)> = [1.0f64, 2.0, 3.0].iter().map(|log| (log.exp(), 1.0)).collect();
    let estimate = ratio_of_blocks(&blocks).unwrap();
    assert!(close(estimate.value.ln(), 2.0));
    assert!(
        close(estimate.ci95.0.ln(), 2.0 - 4.3027 / 3f64.sqrt()),
        "{estimate:?}"
    );
    assert!(
        close(estimate.ci95.1.ln(), 2.0 + 4.3027 / 3f64.sqrt()),
        "{estimate:?}"
    );
    // t = 2√3 = 3.4641 with 2 degrees of freedom.
    assert!(close(estimate.p, 0.0742), "{estimate:?}");
}

#[test]
fn blocks_without_a_ratio_give_none() {
    assert_eq!(ratio_of_blocks(&[]), None);
    assert_eq!(ratio_of_blocks(&[(2.0, 1.0)]), None);
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(ratio_of_blocks(&[(2.0, 1.0), (bad, 1.0)]), None);
        assert_eq!(ratio_of_blocks(&[(2.0, 1.0), (1.0, bad)]), None);
    }
}

#[test]
fn exact_costs_give_a_ratio_without_spread() {
    let estimate = ratio_of_blocks(&[(21.0, 2.0); 8]).unwrap();
    assert!(close(estimate.value, 10.5));
    assert_eq!(estimate.p, 0.0);
    assert!(estimate.ci95.1 - estimate.ci95.0 < 1e-9);
    assert_eq!(ratio_of_blocks(&[(2.0, 2.0); 8]).unwrap().p, 1.0);
}

#[test]
fn swapping_the_arms_inverts_the_ratio() {
    let blocks = [(3.0, 2.0), (2.9, 2.1), (3.2, 1.9), (3.1, 2.2)];
    let swapped: Vec<(f64, f64)> = blocks.iter().map(|&(first, second)| (second, first)).collect();
    let (there, back) = (
        ratio_of_blocks(&blocks).unwrap(),
        ratio_of_blocks(&swapped).unwrap(),
    );
    assert!(close(there.value * back.value, 1.0));
    assert!(close(there.ci95.0 * back.ci95.1, 1.0));
    assert!(close(there.p, back.p));
}

#[test]
fn holm_steps_down_and_stays_monotone() {
    // Sorted: 0.005×4, 0.01×3, 0.03×2, 0.04×1 → the last is raised to its predecessor's 0.06.
    assert_eq!(holm(&[0.01, 0.04, 0.03, 0.005]), vec![0.03, 0.06, 0.06, 0.02]);
    assert_eq!(holm(&[0.6, 0.7]), vec![1.0, 1.0]);
    assert!(holm(&[]).is_empty());
}

#[test]
fn verdicts_need_significance_and_distance_from_the_floor() {
    let estimate = |low: f64, high: f64| Estimate {
        value: (low * high).sqrt(),
        ci95: (low, high),
        p: 0.001,
    };
    let floor = estimate(0.98, 1.05);
    assert_eq!(verdict(&estimate(1.1, 1.3), 0.01, &floor), Verdict::Better);
    assert_eq!(verdict(&estimate(0.7, 0.9), 0.01, &floor), Verdict::Worse);
    assert_eq!(
        verdict(&estimate(1.1, 1.3), 0.06, &floor),
        Verdict::NoMeasurableDifference
    );
    assert_eq!(
        verdict(&estimate(1.04, 1.3), 0.01, &floor),
        Verdict::NoMeasurableDifference,
        "touches the floor"
    );
    let within_mirrored_floor = estimate(0.9, 0.96);
    assert_eq!(
        verdict(&within_mirrored_floor, 0.01, &floor),
        Verdict::NoMeasurableDifference
    );
    assert_eq!(
        verdict(&estimate(f64::NAN, f64::NAN), f64::NAN, &floor),
        Verdict::NoMeasurableDifference
    );
}

/// Blocks of two arms whose true ratio is `ratio`, each slice with the coefficient of variation that a noisy
/// two-core machine showed (21 %), halved by the two slices an arm has in an ABBA block.
fn simulated_blocks(rng: &mut ChaCha8Rng, count: usize, ratio: f64) -> Vec<(f64, f64)> {
    let normal = Normal::new(0.0, 0.21 / 2f64.sqrt()).unwrap();
    let mut noise = || {
        normal
            .inverse_cdf(rand::RngExt::random_range(rng, 1e-9..1.0 - 1e-9))
            .exp()
    };
    (0..count).map(|_| (ratio * noise(), noise())).collect()
}

#[test]
fn one_in_twenty_equal_arms_looks_different() {
    let mut rng = ChaCha8Rng::seed_from_u64(20_261_120);
    let runs = 4000;
    for blocks in [8, 12, 24] {
        let alarms = (0..runs)
            .filter(|_| {
                ratio_of_blocks(&simulated_blocks(&mut rng, blocks, 1.0))
                    .unwrap()
                    .p
                    < 0.05
            })
            .count();
        let rate = alarms as f64 / f64::from(runs);
        // Three standard errors of a 5 % rate over 4000 runs are 1 %.
        assert!((0.04..=0.06).contains(&rate), "{blocks} blocks: {rate}");
    }
}

#[test]
fn intervals_cover_the_truth_and_find_real_effects() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let runs = 2000;
    let mut covered = 0;
    let mut found = 0;
    for _ in 0..runs {
        let floor = ratio_of_blocks(&simulated_blocks(&mut rng, 12, 1.0)).unwrap();
        let estimate = ratio_of_blocks(&simulated_blocks(&mut rng, 12, 2.0)).unwrap();
        covered += usize::from(estimate.ci95.0 <= 2.0 && 2.0 <= estimate.ci95.1);
        found += usize::from(verdict(&estimate, estimate.p, &floor) == Verdict::Better);
    }
    let coverage = covered as f64 / f64::from(runs);
    assert!((0.935..=0.965).contains(&coverage), "{coverage}");
    assert!(found as f64 / f64::from(runs) > 0.99, "{found} of {runs}");
}
