//! The CPU time of all processes that work for an order.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::costs::{Cpu, CpuReading, Processes, ThreadTimes};
use crate::trials::Town;

/// The name of the lab's own CPU time.
pub(super) const LAB: &str = "lab_us";

/// The processes of a town, and the lab.
#[derive(Debug, Clone, Copy)]
pub(super) struct CpuMeter {
    shop: Processes,
    simulators: Processes,
}

/// The CPU time of each process up to a moment.
pub(super) struct CpuByProcess {
    shop: CpuReading,
    simulators: CpuReading,
    lab: ThreadTimes,
    pub(super) at: Instant,
}

impl CpuMeter {
    /// Of the processes that run now.
    pub(super) fn of(town: &Town) -> CpuMeter {
        CpuMeter {
            shop: town.processes(),
            simulators: Processes {
                api: Some(town.simulators.pid()),
                ..Processes::default()
            },
        }
    }

    /// # Errors
    /// When `/proc` can't be read.
    pub(super) fn read(&self) -> Result<CpuByProcess> {
        Ok(CpuByProcess {
            shop: Cpu::read(&self.shop)?,
            simulators: Cpu::read(&self.simulators)?,
            lab: ThreadTimes::read(std::process::id())?,
            at: Instant::now(),
        })
    }
}

impl CpuByProcess {
    /// Microseconds per order, by process.
    pub(super) fn per_order_since(&self, before: &CpuByProcess, orders: u64) -> [(String, f64); 6] {
        let used = self.shop.since(&before.shop);
        let by_simulators = self.simulators.since(&before.simulators).api;
        let by_lab = self.lab.since(&before.lab).total();
        [
            ("worker_us", used.worker),
            ("postgres_us", used.postgres),
            ("rabbitmq_us", used.rabbitmq),
            ("api_us", used.api),
            ("simulators_us", by_simulators),
            (LAB, Some(by_lab)),
        ]
        .map(|(name, time)| (name.to_owned(), microseconds(time) / orders as f64))
    }

    /// Microseconds of Postgres.
    pub(super) fn postgres_since(&self, before: &CpuByProcess) -> f64 {
        microseconds(self.shop.since(&before.shop).postgres)
    }
}

/// Leaves out the lab where it was the load generator: that thread ends with the load, and its time with it.
pub(super) fn without_lab(
    figures: impl IntoIterator<Item = (String, f64)>,
) -> impl Iterator<Item = (String, f64)> {
    figures.into_iter().filter(|(name, _)| name != LAB)
}

fn microseconds(time: Option<Duration>) -> f64 {
    time.unwrap_or_default().as_secs_f64() * 1e6
}
