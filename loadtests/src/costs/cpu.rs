//! CPU time and memory of processes, from `/proc`.

use std::time::Duration;

use anyhow::{Result, bail};

/// The processes whose CPU time is read. `None`: it does not run, or not on this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Processes {
    /// `backstock-api`.
    pub api: Option<u32>,
    /// `backstock-worker`.
    pub worker: Option<u32>,
    /// The postmaster; its backends count with it.
    pub postgres: Option<u32>,
    /// `redis-server`.
    pub redis: Option<u32>,
    /// The broker's `beam.smp`; its children count with it.
    pub rabbitmq: Option<u32>,
}

/// Reads CPU times.
#[derive(Debug)]
pub struct Cpu;

/// CPU times at one moment.
#[derive(Debug, Clone)]
pub struct CpuReading {}

/// CPU time that each process used between two readings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// `backstock-api`.
    pub api: Option<Duration>,
    /// `backstock-worker`.
    pub worker: Option<Duration>,
    /// All of Postgres.
    pub postgres: Option<Duration>,
    /// `redis-server`.
    pub redis: Option<Duration>,
    /// All of RabbitMQ.
    pub rabbitmq: Option<Duration>,
}

impl Cpu {
    /// Reads the CPU times of these processes and their descendants.
    pub fn read(_processes: &Processes) -> Result<CpuReading> {
        bail!("not built yet")
    }
}

impl CpuReading {
    /// What was used since an earlier reading of the same processes.
    pub fn since(&self, _before: &CpuReading) -> CpuTimes {
        CpuTimes::default()
    }
}

/// The resident memory of a process in bytes.
pub fn resident_bytes(_pid: u32) -> Result<u64> {
    bail!("not built yet")
}
