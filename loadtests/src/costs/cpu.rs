//! CPU time and memory of processes, from `/proc`.
//!
//! The scheduler counts nanoseconds a thread (`schedstat`), but forgets a thread with its end; what ended processes
//! have used remains in their parents' counters, in ticks of 10 ms. Both are read, so that a server which starts a
//! process a connection is charged for all of them, and one whose processes stay is measured exactly.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The unit of the times in `/proc/PID/stat`. The kernel gives them to user space at 100 Hz on every architecture that
/// Rust's standard library supports.
const TICK: Duration = Duration::from_millis(10);

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
pub struct CpuReading {
    api: Option<Tree>,
    worker: Option<Tree>,
    postgres: Option<Tree>,
    redis: Option<Tree>,
    rabbitmq: Option<Tree>,
}

/// CPU time that each process used between two readings; `None` where it was not read.
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
    /// Reads the CPU times of these processes and their descendants. Fails when one of them does not run.
    pub fn read(processes: &Processes) -> Result<CpuReading> {
        let family = Family::read()?;
        let tree = |root: Option<u32>| root.map(|root| Tree::read(root, &family)).transpose();
        Ok(CpuReading {
            api: tree(processes.api)?,
            worker: tree(processes.worker)?,
            postgres: tree(processes.postgres)?,
            redis: tree(processes.redis)?,
            rabbitmq: tree(processes.rabbitmq)?,
        })
    }
}

impl CpuReading {
    /// What was used since an earlier reading of the same processes.
    pub fn since(&self, before: &CpuReading) -> CpuTimes {
        let used =
            |after: &Option<Tree>, before: &Option<Tree>| Some(after.as_ref()?.since(before.as_ref()?));
        CpuTimes {
            api: used(&self.api, &before.api),
            worker: used(&self.worker, &before.worker),
            postgres: used(&self.postgres, &before.postgres),
            redis: used(&self.redis, &before.redis),
            rabbitmq: used(&self.rabbitmq, &before.rabbitmq),
        }
    }
}

/// The resident memory of a process in bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| does_not_run(pid))?;
    let kilobytes = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse::<u64>()
            .ok()
    });
    Ok(kilobytes.with_context(|| format!("process {pid} states no resident memory"))? * 1024)
}

/// Who is whose child.
struct Family {
    children: HashMap<u32, Vec<u32>>,
}

impl Family {
    fn read() -> Result<Family> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in fs::read_dir("/proc").context("CPU times are read from /proc, which is not there")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A process may end while this list is read.
            if let Some(stat) = Stat::read(&format!("/proc/{pid}/stat")) {
                children.entry(stat.parent).or_default().push(pid);
            }
        }
        Ok(Family { children })
    }

    /// A process and all of its descendants.
    fn tree(&self, root: u32) -> Vec<u32> {
        let mut members = vec![root];
        let mut next = 0;
        while let Some(member) = members.get(next) {
            members.extend(self.children.get(member).into_iter().flatten());
            next += 1;
        }
        members
    }
}

/// CPU times of a process and its descendants.
#[derive(Debug, Clone)]
struct Tree {
    processes: HashMap<u32, Usage>,
    /// What those descendants have used that ended and were waited for.
    ended: Duration,
}

/// CPU times of one process.
#[derive(Debug, Clone, Default)]
struct Usage {
    threads: HashMap<u32, Duration>,
    /// All threads, those that ended included, in whole ticks.
    in_ticks: Duration,
}

impl Tree {
    fn read(root: u32, family: &Family) -> Result<Tree> {
        let mut tree = Tree {
            processes: HashMap::new(),
            ended: Duration::ZERO,
        };
        for pid in family.tree(root) {
            let Some(stat) = Stat::read(&format!("/proc/{pid}/stat")) else {
                continue;
            };
            tree.ended += stat.used_by_ended_children;
            tree.processes.insert(
                pid,
                Usage {
                    threads: thread_times(pid),
                    in_ticks: stat.used,
                },
            );
        }
        tree.processes
            .contains_key(&root)
            .then_some(tree)
            .with_context(|| does_not_run(root))
    }

    fn since(&self, before: &Tree) -> Duration {
        let none = Usage::default();
        let alive: Duration = self
            .processes
            .iter()
            .map(|(pid, usage)| usage.since(before.processes.get(pid).unwrap_or(&none)))
            .sum();
        // Of those that ended in between, what they had used before does not count.
        let used_before: Duration = before
            .processes
            .iter()
            .filter(|(pid, _)| !self.processes.contains_key(pid))
            .map(|(_, usage)| usage.total())
            .sum();
        alive
            + self
                .ended
                .saturating_sub(before.ended)
                .saturating_sub(used_before)
    }
}

impl Usage {
    fn total(&self) -> Duration {
        self.threads.values().sum()
    }

    fn since(&self, before: &Usage) -> Duration {
        let threads: Duration = self
            .threads
            .iter()
            .map(|(thread, used)| {
                used.saturating_sub(before.threads.get(thread).copied().unwrap_or_default())
            })
            .sum();
        let a_thread_ended = {
            let now: HashSet<&u32> = self.threads.keys().collect();
            before.threads.keys().any(|thread| !now.contains(thread))
        };
        if a_thread_ended {
            threads.max(self.in_ticks.saturating_sub(before.in_ticks))
        } else {
            threads
        }
    }
}

fn thread_times(pid: u32) -> HashMap<u32, Duration> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return HashMap::new();
    };
    threads
        .filter_map(|entry| {
            let thread: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((thread, thread_time(pid, thread)?))
        })
        .collect()
}

/// In nanoseconds where the kernel offers them, else in ticks.
fn thread_time(pid: u32, thread: u32) -> Option<Duration> {
    let directory = format!("/proc/{pid}/task/{thread}");
    match fs::read_to_string(format!("{directory}/schedstat")) {
        Ok(schedstat) => Some(Duration::from_nanos(
            schedstat.split_whitespace().next()?.parse().ok()?,
        )),
        Err(_) => Some(Stat::read(&format!("{directory}/stat"))?.used),
    }
}

/// The fields of `/proc/PID/stat` that are needed here.
struct Stat {
    parent: u32,
    used: Duration,
    used_by_ended_children: Duration,
}

impl Stat {
    fn read(path: &str) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(path).ok()?)
    }

    fn parse(stat: &str) -> Option<Stat> {
        // The second field is the program's name in parentheses, which may hold anything.
        let (_, after_name) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        let ticks = |field: usize| Some(TICK * fields.get(field)?.parse::<u32>().ok()?);
        Some(Stat {
            parent: fields.get(1)?.parse().ok()?,
            used: ticks(11)? + ticks(12)?,
            used_by_ended_children: ticks(13)? + ticks(14)?,
        })
    }
}

fn does_not_run(pid: u32) -> String {
    format!("process {pid} does not run (any more)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_may_hold_anything() {
        let stat = "42 (a) b (c)) S 7 42 42 0 -1 4194304 1 2 3 4 150 50 30 20 20 0 1 0 99";
        let stat = Stat::parse(stat).unwrap();
        assert_eq!(stat.parent, 7);
        assert_eq!(stat.used, Duration::from_secs(2));
        assert_eq!(stat.used_by_ended_children, Duration::from_millis(500));
    }

    #[test]
    fn a_process_that_ended_counts_with_what_it_used_in_between() {
        let milliseconds = Duration::from_millis;
        let usage = |used| Usage {
            threads: HashMap::from([(1, used)]),
            in_ticks: used,
        };
        let before = Tree {
            processes: HashMap::from([(1, usage(milliseconds(5))), (2, usage(milliseconds(40)))]),
            ended: milliseconds(100),
        };
        // Process 2 ended after 70 ms in all, 3 began.
        let after = Tree {
            processes: HashMap::from([(1, usage(milliseconds(6))), (3, usage(milliseconds(8)))]),
            ended: milliseconds(170),
        };
        assert_eq!(after.since(&before), milliseconds(1 + 8 + 30));
    }
}
