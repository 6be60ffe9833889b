//! What is shown while data is made: a bar per stage on a terminal, otherwise a line per finished stage.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A step of the work, with its bar.
#[derive(Debug)]
pub struct Stage {
    name: String,
    bar: ProgressBar,
    started: Instant,
}

impl Stage {
    /// Begins a stage of `total` units, or of unknown length with 0.
    pub fn start(name: impl Into<String>, total: u64) -> Self {
        let name = name.into();
        // indicatif draws to standard error, and hides itself where that is no terminal.
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let template = match total {
            0 => "{msg:<28} {spinner} {elapsed}",
            _ => "{msg:<28} {wide_bar} {percent:>3} % {eta}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the templates above are well formed"));
        bar.set_message(name.clone());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            name,
            bar,
            started: Instant::now(),
        }
    }

    /// Counts units that are done.
    pub fn advance(&self, units: u64) {
        self.bar.inc(units);
    }

    /// Removes the bar and prints the stage with the time it took.
    pub fn finish(self) -> Duration {
        let elapsed = self.started.elapsed();
        self.bar.finish_and_clear();
        eprintln!("{:<28} {:>8.1} s", self.name, elapsed.as_secs_f64());
        elapsed
    }
}

impl Drop for Stage {
    // A stage that failed leaves no half bar behind the error message.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
