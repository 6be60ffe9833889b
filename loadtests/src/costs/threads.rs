//! CPU time by the threads of a process: which of them did the work.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

/// CPU time of each thread of a process at one moment, or between two.
#[derive(Debug, Clone, Default)]
pub struct ThreadTimes(HashMap<u32, (String, Duration)>);

impl ThreadTimes {
    /// Reads them. A thread that ends meanwhile is left out.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn read(pid: u32) -> Result<Self> {
        let folder = PathBuf::from(format!("/proc/{pid}/task"));
        let entries = std::fs::read_dir(&folder).with_context(|| format!("there is no process {pid}"))?;
        let mut threads = HashMap::new();
        for entry in entries {
            let entry = entry?;
            let Ok(thread) = entry.file_name().to_string_lossy().parse() else {
                continue;
            };
            let name = std::fs::read_to_string(entry.path().join("comm"));
            // Nanoseconds on a core come first.
            let times = std::fs::read_to_string(entry.path().join("schedstat"));
            let (Ok(name), Ok(times)) = (name, times) else {
                continue;
            };
            let on_a_core = times.split_whitespace().next().and_then(|text| text.parse().ok());
            let used = Duration::from_nanos(on_a_core.context("the kernel does not account for threads")?);
            threads.insert(thread, (name.trim().to_owned(), used));
        }
        Ok(Self(threads))
    }

    /// What each thread has used since.
    pub fn since(&self, before: &Self) -> Self {
        let used = self.0.iter().map(|(thread, (name, now))| {
            let then = before.0.get(thread).map_or(Duration::ZERO, |(_, then)| *then);
            (*thread, (name.clone(), now.saturating_sub(then)))
        });
        Self(used.collect())
    }

    /// All of them together.
    pub fn total(&self) -> Duration {
        self.0.values().map(|(_, used)| *used).sum()
    }

    /// The share of all time that threads used whose name has this in it; 0 when nothing was used.
    pub fn share(&self, name: &str) -> f64 {
        let sum = |of: &dyn Fn(&str) -> bool| -> f64 {
            let times = self.0.values().filter(|(name, _)| of(name));
            times.fold(0.0, |sum, (_, used)| sum + used.as_secs_f64())
        };
        let all = sum(&|_| true);
        if all > 0.0 {
            sum(&|of| of.contains(name)) / all
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_found_on_the_thread_that_did_it() {
        let pid = std::process::id();
        let before = ThreadTimes::read(pid).unwrap();
        let busy = std::thread::Builder::new()
            .name("lab-busy".into())
            .spawn(move || {
                let begun = std::time::Instant::now();
                let mut sum = 0_u64;
                while begun.elapsed() < Duration::from_millis(60) {
                    sum = std::hint::black_box(sum.wrapping_mul(31) + 7);
                }
                // It is looked at before it ends: a thread that is gone is in no account.
                ThreadTimes::read(pid).unwrap()
            });
        let used = busy.unwrap().join().unwrap().since(&before);
        // Other tests run beside it, on other threads.
        assert!(used.share("lab-busy") > 0.05, "{used:?}");
        assert_eq!(used.share("no such thread"), 0.0);
        assert_eq!(ThreadTimes::default().share("lab-busy"), 0.0);
    }
}
