//! What a process exports: the text of its `/metrics`, read as Prometheus reads it.

use std::collections::{BTreeMap, BTreeSet};

/// The labels of each metric, with their values.
#[derive(Debug, Default)]
pub struct Exported(BTreeMap<String, Labels>);

pub type Labels = BTreeMap<String, BTreeSet<String>>;

impl Exported {
    /// Adds what a process of this job says.
    pub fn scrape(&mut self, text: &str, job: &str) {
        for line in text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
        {
            let (series, _value) = line.rsplit_once(' ').unwrap();
            let (metric, labels) = series.split_once('{').unwrap_or((series, ""));
            let of_metric = self.0.entry(metric.to_owned()).or_default();
            // No value of ours holds a quote or a comma.
            for label in labels
                .trim_end_matches('}')
                .split("\",")
                .filter(|label| !label.is_empty())
            {
                let (name, value) = label.split_once("=\"").unwrap();
                let value = value.trim_end_matches('"');
                of_metric
                    .entry(name.to_owned())
                    .or_default()
                    .insert(value.to_owned());
            }
            add_target_labels(of_metric, job);
        }
    }

    /// Adds a metric that isn't a process's own. A label of it has the values that it has elsewhere.
    pub fn add(&mut self, metric: &str, labels: &[&str]) {
        let values = |label: &str| {
            let elsewhere = self.0.values().filter_map(|labels| labels.get(label));
            elsewhere.flatten().cloned().collect()
        };
        let of_metric = labels
            .iter()
            .map(|label| ((*label).to_owned(), values(label)))
            .collect();
        self.0.insert(metric.to_owned(), of_metric);
    }

    /// Adds a value that a label has elsewhere, or may have.
    pub fn know(&mut self, label: &str, value: &str) {
        for of_metric in self.0.values_mut() {
            if let Some(values) = of_metric.get_mut(label) {
                values.insert(value.to_owned());
            }
        }
    }

    pub fn labels(&self, metric: &str) -> Option<&Labels> {
        self.0.get(metric)
    }
}

/// What the scrape configuration adds.
fn add_target_labels(labels: &mut Labels, job: &str) {
    labels.entry("job".to_owned()).or_default().insert(job.to_owned());
    for any in ["shop", "instance"] {
        labels.entry(any.to_owned()).or_default();
    }
}
