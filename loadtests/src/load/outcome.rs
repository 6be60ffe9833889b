//! What a run of the generator found.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

/// Percentiles beyond the median need this many samples, else they rest on a handful of values.
const SAMPLES_FOR_P95: u64 = 1_000;
const SAMPLES_FOR_P99: u64 = 10_000;
const SAMPLES_FOR_P999: u64 = 100_000;

/// The longest latency a histogram holds; longer ones are counted as this.
const LONGEST: Duration = Duration::from_secs(60);

/// Above this share of a core the generator is said to be the bottleneck.
const SATURATED_SHARE: f64 = 0.85;

/// A generator that noticed one arrival in twenty later than this did not get the CPU that it needed.
const TOLERABLE_LATENESS: Duration = Duration::from_millis(1);

/// Requests that were not answered well, by kind. Their latencies are in no histogram, since a fast refusal would
/// embellish it: a run with errors says so beside its percentiles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errors {
    /// No connection could be made.
    pub connect: u64,
    /// The answer did not come, or not completely, within the generator's patience.
    pub timeout: u64,
    /// The connection broke while the request was under way.
    pub broken: u64,
    /// Answers of 400 and above, by the request's class and by the status.
    pub statuses: BTreeMap<(u16, u16), u64>,
}

impl Errors {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.connect + self.timeout + self.broken + self.with_status(400..=599)
    }

    /// Answers of 400 to 499.
    pub fn status_4xx(&self) -> u64 {
        self.with_status(400..=499)
    }

    /// Answers of 500 and above.
    pub fn status_5xx(&self) -> u64 {
        self.with_status(500..=599)
    }

    /// Each kind that there was, in words, with its number.
    pub fn by_kind(&self) -> Vec<(String, u64)> {
        let without_answer = [
            ("not connected", self.connect),
            ("timed out", self.timeout),
            ("cut off", self.broken),
        ];
        let mut kinds: BTreeMap<u16, u64> = BTreeMap::new();
        for ((_, status), count) in &self.statuses {
            *kinds.entry(*status).or_default() += count;
        }
        without_answer
            .into_iter()
            .map(|(kind, count)| (kind.to_owned(), count))
            .chain(
                kinds
                    .into_iter()
                    .map(|(status, count)| (format!("status {status}"), count)),
            )
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    fn with_status(&self, range: RangeInclusive<u16>) -> u64 {
        let statuses = self.statuses.iter();
        statuses
            .filter(|((_, status), _)| range.contains(status))
            .map(|(_, count)| count)
            .sum()
    }

    fn merge(&mut self, other: &Errors) {
        self.connect += other.connect;
        self.timeout += other.timeout;
        self.broken += other.broken;
        for (kind, count) in &other.statuses {
            *self.statuses.entry(*kind).or_default() += count;
        }
    }
}

/// What a run of the generator found. Latencies are in nanoseconds, with three significant digits.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Until the head of the answer was there.
    pub first_byte: Histogram<u64>,
    /// Until the last byte was there. In an open loop both count from the moment at which the request was *meant*
    /// to be sent.
    pub total: Histogram<u64>,
    /// `total` by the requests' classes.
    pub by_class: BTreeMap<u16, Histogram<u64>>,
    /// Requests answered with a status below 400.
    pub completed: u64,
    /// Requests of an open loop that found no free connection in time, and were never sent.
    pub dropped: u64,
    /// Requests that failed.
    pub errors: Errors,
    /// Bytes of the answers' bodies, as they came (compressed ones count compressed).
    pub bytes: u64,
    /// All bytes read from the sockets, headers included.
    pub wire_bytes: u64,
    /// Arrivals a second that an open loop drew; `None` for a closed loop.
    pub offered: Option<f64>,
    /// From the start to the end of the plan or the last answer, whichever was later.
    pub elapsed: Duration,
    /// CPU time of the generator's own thread.
    pub generator_cpu: Duration,
    /// How much later than drawn the generator noticed each arrival of an open loop; empty for a closed one. It is part
    /// of `total`: a server cannot be better than this.
    pub lateness: Histogram<u64>,
    /// Whether the generator may be the bottleneck: its thread was busy nearly all the time, or it was late because
    /// others had the CPU.
    pub saturated: bool,
}

impl Outcome {
    pub(super) fn empty() -> Outcome {
        Outcome {
            first_byte: new_histogram(),
            total: new_histogram(),
            by_class: BTreeMap::new(),
            completed: 0,
            dropped: 0,
            errors: Errors::default(),
            bytes: 0,
            wire_bytes: 0,
            offered: None,
            elapsed: Duration::ZERO,
            generator_cpu: Duration::ZERO,
            lateness: new_histogram(),
            saturated: false,
        }
    }

    pub(super) fn record(&mut self, class: u16, first_byte: Duration, total: Duration, bytes: u64) {
        self.completed += 1;
        self.bytes += bytes;
        self.first_byte.saturating_record(nanoseconds(first_byte));
        self.total.saturating_record(nanoseconds(total));
        if class != 0 {
            self.by_class
                .entry(class)
                .or_insert_with(new_histogram)
                .saturating_record(nanoseconds(total));
        }
    }

    pub(super) fn record_lateness(&mut self, lateness: Duration) {
        // A histogram begins at 1 ns.
        self.lateness.saturating_record(nanoseconds(lateness).max(1));
    }

    pub(super) fn finish(&mut self, elapsed: Duration, generator_cpu: Duration) {
        self.elapsed = elapsed;
        self.generator_cpu = generator_cpu;
        let late = self.lateness.value_at_quantile(0.95) > nanoseconds(TOLERABLE_LATENESS);
        self.saturated = late || self.generator_share() > SATURATED_SHARE;
    }

    /// The share of one core that the generator used.
    pub fn generator_share(&self) -> f64 {
        ratio(self.generator_cpu.as_secs_f64(), self.elapsed.as_secs_f64())
    }

    /// Good answers a second.
    pub fn throughput(&self) -> f64 {
        ratio(self.completed as f64, self.elapsed.as_secs_f64())
    }

    /// Good answers a second ÷ arrivals a second; `None` for a closed loop.
    pub fn achieved_share(&self) -> Option<f64> {
        self.offered.map(|offered| ratio(self.throughput(), offered))
    }

    /// Failed and dropped requests ÷ all.
    pub fn error_share(&self) -> f64 {
        let failed = self.errors.total() + self.dropped;
        ratio(failed as f64, (failed + self.completed) as f64)
    }

    /// The mean size of a good answer's body.
    pub fn bytes_per_answer(&self) -> Option<f64> {
        (self.completed > 0).then(|| self.bytes as f64 / self.completed as f64)
    }

    /// The mean time to the last byte.
    pub fn mean_ms(&self) -> Option<f64> {
        (!self.total.is_empty()).then(|| self.total.mean() / 1e6)
    }

    /// The median time to the last byte.
    pub fn p50_ms(&self) -> Option<f64> {
        percentile_ms(&self.total, 0.50, 1)
    }

    /// 95 of 100 answers were complete within this; `None` below 1 000 samples.
    pub fn p95_ms(&self) -> Option<f64> {
        percentile_ms(&self.total, 0.95, SAMPLES_FOR_P95)
    }

    /// 99 of 100 answers were complete within this; `None` below 10 000 samples.
    pub fn p99_ms(&self) -> Option<f64> {
        percentile_ms(&self.total, 0.99, SAMPLES_FOR_P99)
    }

    /// 999 of 1 000 answers were complete within this; `None` below 100 000 samples.
    pub fn p999_ms(&self) -> Option<f64> {
        percentile_ms(&self.total, 0.999, SAMPLES_FOR_P999)
    }

    /// 95 of 100 arrivals were noticed by the generator within this; `None` for a closed loop.
    pub fn lateness_p95_ms(&self) -> Option<f64> {
        percentile_ms(&self.lateness, 0.95, 1)
    }

    /// Adds another run of the same plan: counts, times and histograms sum up.
    pub fn merge(&mut self, other: &Outcome) {
        let arrivals = |outcome: &Outcome| outcome.offered.map(|rate| rate * outcome.elapsed.as_secs_f64());
        let offered = arrivals(self)
            .zip(arrivals(other))
            .map(|(mine, theirs)| mine + theirs);
        self.first_byte += &other.first_byte;
        self.total += &other.total;
        for (class, histogram) in &other.by_class {
            *self.by_class.entry(*class).or_insert_with(new_histogram) += histogram;
        }
        self.completed += other.completed;
        self.dropped += other.dropped;
        self.errors.merge(&other.errors);
        self.bytes += other.bytes;
        self.wire_bytes += other.wire_bytes;
        self.elapsed += other.elapsed;
        self.generator_cpu += other.generator_cpu;
        self.lateness += &other.lateness;
        self.saturated |= other.saturated;
        self.offered = offered.map(|arrivals| ratio(arrivals, self.elapsed.as_secs_f64()));
    }

    /// The raw histogram of times to the last byte, in the compressed V2 form of HdrHistogram, as base64.
    pub fn histogram_base64(&self) -> String {
        to_base64(&self.total)
    }
}

/// A histogram of latencies in nanoseconds.
pub(super) fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, nanoseconds(LONGEST), 3).expect("these bounds are valid for a histogram")
}

/// A percentile, `None` when fewer samples than `needed` were taken.
pub fn percentile_ms(histogram: &Histogram<u64>, quantile: f64, needed: u64) -> Option<f64> {
    (histogram.len() >= needed).then(|| histogram.value_at_quantile(quantile) as f64 / 1e6)
}

/// The compressed V2 form of a histogram, which every HdrHistogram library reads.
pub fn to_base64(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(histogram, &mut bytes)
        .expect("writing to memory cannot fail, and the counts fit the format");
    STANDARD.encode(bytes)
}

/// Reads what [`to_base64`] wrote.
pub fn from_base64(text: &str) -> anyhow::Result<Histogram<u64>> {
    let bytes = STANDARD.decode(text)?;
    Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|error| anyhow::anyhow!("this is no HdrHistogram in its V2 form: {error}"))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(samples: u64) -> Outcome {
        let mut outcome = Outcome::empty();
        for sample in 1..=samples {
            outcome.record(
                1,
                Duration::from_micros(sample / 2),
                Duration::from_micros(sample),
                10,
            );
        }
        outcome.finish(Duration::from_secs(1), Duration::from_millis(100));
        outcome
    }

    #[test]
    fn percentiles_wait_for_enough_samples() {
        assert_eq!(Outcome::empty().p50_ms(), None);
        let few = outcome(9_999);
        assert!(few.p50_ms().is_some() && few.p95_ms().is_some());
        assert_eq!(few.p99_ms(), None);
        let many = outcome(10_000);
        let p99 = many.p99_ms().unwrap();
        assert!((9.89..9.92).contains(&p99), "{p99}");
        assert_eq!(many.p999_ms(), None);
    }

    #[test]
    fn merging_adds_up() {
        let mut both = outcome(100);
        both.offered = Some(200.0);
        let mut other = outcome(300);
        other.offered = Some(400.0);
        other.errors.statuses = [((1, 503), 3)].into();
        both.merge(&other);
        assert_eq!((both.completed, both.bytes, both.total.len()), (400, 4_000, 400));
        assert_eq!(both.by_class[&1].len(), 400);
        assert_eq!((both.errors.total(), both.errors.status_5xx()), (3, 3));
        assert_eq!(both.errors.by_kind(), [("status 503".to_owned(), 3)]);
        assert_eq!(both.offered, Some(300.0));
        assert_eq!(both.throughput(), 200.0);
        assert!((both.generator_share() - 0.1).abs() < 1e-9);
    }

    #[test]
    fn a_histogram_survives_its_text_form() {
        let outcome = outcome(1_000);
        assert_eq!(from_base64(&outcome.histogram_base64()).unwrap(), outcome.total);
        assert!(from_base64("nonsense").is_err());
    }
}
