//! Writing workloads: what an index set costs the statements that change the catalogue.
//!
//! They go to the database itself, on one connection, since no route of the catalogue writes. Commits don't wait for the
//! disk: that wait is the same for every arm and would hide what differs. Both arms write the same number of
//! transactions a slice, so that their data grow alike. Read next: `writer.rs`.

use anyhow::Result;

use super::plan::SlicePlan;
use super::progress::Progress;
use super::stand::{Ground, Stand};
use super::writer::{Slice, Writer};
use crate::costs::Processes;
use crate::lessons::Writes;
use crate::report::{ArmReport, Cost, Metric};

/// One arm's slices, block by block.
#[derive(Debug, Default)]
struct Slices {
    throughput: Vec<f64>,
    /// Empty when Postgres runs elsewhere.
    cpu_us: Vec<f64>,
    written: u64,
    seconds: f64,
}

/// What was measured of a pair of arms.
pub struct WritePair {
    /// The baseline, the arm.
    pub arms: (ArmReport, ArmReport),
    /// Values block by block, (baseline, arm).
    pub pairs: Vec<(Metric, Vec<(f64, f64)>)>,
    /// What is wrong with the data afterwards: then nothing that was measured counts.
    pub violated: Option<String>,
}

impl Slices {
    fn add(&mut self, early: Slice, late: Slice) {
        let written = early.written + late.written;
        let seconds = early.seconds + late.seconds;
        self.throughput.push(written as f64 / seconds);
        if let (Some(early), Some(late)) = (early.cpu_us, late.cpu_us) {
            self.cpu_us.push((early + late) / written.max(1) as f64);
        }
        self.written += written;
        self.seconds += seconds;
    }

    fn report(&self, arm: &str, wal_bytes: f64) -> ArmReport {
        let mut report = ArmReport {
            name: arm.to_owned(),
            cost: Cost {
                wal_bytes: Some(wal_bytes),
                ..Cost::default()
            },
            throughput_rps: Some(self.written as f64 / self.seconds),
            errors: Some(0),
            ..ArmReport::default()
        };
        let blocks = self.cpu_us.len() as f64;
        report.cpu_us_per_request.postgres =
            (!self.cpu_us.is_empty()).then(|| self.cpu_us.iter().sum::<f64>() / blocks);
        report
    }
}

/// Measures two arms in ABBA blocks, each on a fresh clone of its data.
pub async fn measure(
    writes: Writes,
    stands: (&Stand, &Stand),
    ground: &Ground,
    plan: SlicePlan,
    progress: &Progress,
) -> Result<WritePair> {
    let postgres = Processes {
        postgres: ground.services.postgres_pid(),
        ..Processes::default()
    };
    let mut first = Writer::start(ground, stands.0, writes, "writes_first").await?;
    let mut second = Writer::start(ground, stands.1, writes, "writes_second").await?;
    let counted = (first.count().await?, second.count().await?);
    // A slice of the slower one lasts as long as planned.
    let slower_per_s = counted.0.rate_per_s.min(counted.1.rate_per_s);
    let transactions = (slower_per_s * plan.slice.as_secs_f64()).ceil() as u64;
    let (mut a, mut b) = (Slices::default(), Slices::default());
    for _ in 0..plan.blocks {
        let a1 = first.slice(transactions, postgres).await?;
        let b1 = second.slice(transactions, postgres).await?;
        let b2 = second.slice(transactions, postgres).await?;
        let a2 = first.slice(transactions, postgres).await?;
        a.add(a1, a2);
        b.add(b1, b2);
        progress.advance(4);
    }
    let violated = (first.stop(ground).await?, second.stop(ground).await?);
    let zip = |a: &[f64], b: &[f64]| a.iter().copied().zip(b.iter().copied()).collect();
    let mut pairs = vec![(Metric::Throughput, zip(&a.throughput, &b.throughput))];
    if postgres.postgres.is_some() {
        pairs.push((Metric::CpuPostgres, zip(&a.cpu_us, &b.cpu_us)));
    }
    Ok(WritePair {
        arms: (
            a.report(stands.0.arm, counted.0.wal_bytes),
            b.report(stands.1.arm, counted.1.wal_bytes),
        ),
        pairs,
        violated: violated.0.or(violated.1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_of_a_postgres_elsewhere_is_unknown_and_not_nothing() {
        let report = |cpu_us| {
            let slice = Slice {
                written: 10,
                seconds: 1.0,
                cpu_us,
            };
            let mut slices = Slices::default();
            slices.add(slice, slice);
            slices.report("chosen", 100.0).cpu_us_per_request.postgres
        };
        assert_eq!(report(Some(500.0)), Some(50.0));
        assert_eq!(report(None), None);
    }
}
