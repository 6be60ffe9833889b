//! How far a comparison is: a bar on a terminal, a line a step elsewhere.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// Counts slices, the unit that takes time.
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A progress of so many slices, as far as is known.
    pub fn new(slices: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(slices);
            let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {elapsed}  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(std::time::Duration::from_millis(250));
            bar
        });
        Self { bar }
    }

    /// What is done now.
    pub fn say(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None => eprintln!("compare: {what}"),
        }
    }

    /// Slices that are done.
    pub fn advance(&self, slices: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(slices);
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
