//! Distributed tracing: the spans of a request or a message, across processes.
//!
//! Tail-based sampling: each process buffers the spans of a unit of work and decides at its *end* whether to
//! keep them, namely if the trace was sampled in the first process, or if the work failed or was slow. So a
//! rate of 1 % doesn't lose the traces that matter; a dropped one costs a short list and no export. Spans are
//! stored cheaply, as existing names and one clock, and are converted only when they are kept. Of a trace
//! that wasn't sampled, only the parts that failed or were slow are kept, not those of other processes.
//!
//! Traces are propagated as `traceparent` (W3C Trace Context,
//! <https://www.w3.org/TR/trace-context/>): in requests, to third parties, in outbox rows and in
//! messages. Read next: `otlp.rs`, which exports kept traces.
//!
//! Without an exporter tracing is off: [`begin`] returns `None`, and nothing is collected.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub use opentelemetry::{KeyValue, Value};

/// The most spans kept of one unit of work. An N+1 over a page of a hundred fits; the number
/// beyond is an attribute.
const MAX_SPANS: usize = 256;

static TRACER: OnceLock<Tracer> = OnceLock::new();

tokio::task_local! {
    static CURRENT: Arc<Trace>;
}

/// The process's tracing configuration.
pub(super) struct Tracer {
    /// The sample ratio, as a threshold for 32 random bits.
    pub(super) sample_threshold: u64,
    /// Longer work is always kept.
    pub(super) slow: Duration,
    pub(super) keep: Box<dyn Fn(KeptTrace) + Send + Sync>,
}

/// Turns tracing on, once per process.
pub(super) fn install(tracer: Tracer) {
    let _ = TRACER.set(tracer);
}

/// Whether tracing is on.
pub fn is_on() -> bool {
    TRACER.get().is_some()
}

/// A position in a trace, as in `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// Never 0.
    pub trace_id: u128,
    /// The span that is the parent, never 0.
    pub span_id: u64,
    /// Whether the trace was sampled.
    pub is_sampled: bool,
}

impl Parent {
    /// As logs and tracing tools show it: 32 hexadecimal digits.
    pub fn trace_id_hex(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// 16 hexadecimal digits.
    pub fn span_id_hex(&self) -> String {
        format!("{:016x}", self.span_id)
    }
}

impl fmt::Display for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.is_sampled);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace_id, self.span_id)
    }
}

/// The header is malformed. The request then starts a trace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of W3C Trace Context, version 00")]
pub struct InvalidTraceparent;

impl FromStr for Parent {
    type Err = InvalidTraceparent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceparent> {
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let is_hex = part
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            is_hex.then(|| u128::from_str_radix(part, 16).ok()).flatten()
        };
        let (version, trace_id, span_id, flags) = (hex(2), hex(32), hex(16), hex(2));
        match (version, trace_id, span_id, flags, parts.next()) {
            (Some(0), Some(trace_id @ 1..), Some(span_id @ 1..), Some(flags), None) => Ok(Self {
                trace_id,
                span_id: span_id as u64,
                is_sampled: flags & 1 == 1,
            }),
            _ => Err(InvalidTraceparent),
        }
    }
}

/// OpenTelemetry's span kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Handles a request.
    Server,
    /// Calls another service and waits.
    Client,
    /// Publishes to a broker.
    Producer,
    /// Handles a broker's message.
    Consumer,
}

/// A span's name: from a bounded set, and cheap to create.
#[derive(Debug, Clone)]
pub enum Name {
    /// Literal.
    Fixed(&'static str),
    /// Created at run time.
    Shared(Arc<str>),
}

impl Name {
    /// Copies a shared name.
    pub fn into_text(self) -> Cow<'static, str> {
        match self {
            Self::Fixed(name) => name.into(),
            Self::Shared(name) => name.to_string().into(),
        }
    }
}

/// A finished span.
#[derive(Debug, Clone)]
pub struct SpanRecord {
    pub id: u64,
    /// The parent's id; 0 at the root of a trace.
    pub parent: u64,
    /// Whether the parent is in another process.
    pub parent_is_remote: bool,
    pub name: Name,
    /// `db.system.name`, for a database call.
    pub database: Option<&'static str>,
    pub kind: Kind,
    pub started: Instant,
    pub took: Duration,
    pub attributes: Vec<KeyValue>,
    pub failure: Option<Cow<'static, str>>,
}

/// The spans of a unit of work to export.
#[derive(Debug)]
pub struct KeptTrace {
    pub trace_id: u128,
    /// The unit's own span comes first.
    pub spans: Vec<SpanRecord>,
}

/// A unit of work in progress, with its spans so far.
#[derive(Debug)]
pub struct Trace {
    /// The parent of its spans.
    own: Parent,
    parent: Option<Parent>,
    kind: Kind,
    started: Instant,
    spans: Mutex<Spans>,
}

#[derive(Debug)]
enum Spans {
    /// In progress.
    Collected { spans: Vec<SpanRecord>, dropped: i64 },
    /// Finished and kept. Spans of tasks that outlive it are exported immediately.
    Kept,
    /// Finished and not kept.
    Dropped,
}

/// Starts a unit of work. `None` when tracing is off.
pub fn begin(kind: Kind, parent: impl FnOnce() -> Option<Parent>) -> Option<Arc<Trace>> {
    let tracer = TRACER.get()?;
    let parent = parent();
    let own = match parent {
        Some(parent) => Parent {
            span_id: new_span_id(),
            ..parent
        },
        None => Parent {
            trace_id: rand::random::<u128>() | 1,
            span_id: new_span_id(),
            is_sampled: u64::from(rand::random::<u32>()) < tracer.sample_threshold,
        },
    };
    Some(Arc::new(Trace {
        own,
        parent,
        kind,
        started: Instant::now(),
        spans: Mutex::new(Spans::Collected {
            spans: Vec::new(),
            dropped: 0,
        }),
    }))
}

fn new_span_id() -> u64 {
    // Zero means "none".
    rand::random::<u64>() | 1
}

/// Runs work within a trace.
pub fn within<F: Future>(trace: Arc<Trace>, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(trace, work)
}

/// Propagates this task's trace to work that another task runs.
pub fn propagate<F>(work: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send,
    F::Output: Send,
{
    let trace = current_trace();
    async move {
        match trace {
            Some(trace) => within(trace, work).await,
            None => work.await,
        }
    }
}

/// This task's trace, for work that another task does.
pub fn current_trace() -> Option<Arc<Trace>> {
    match is_on() {
        true => CURRENT.try_with(Arc::clone).ok(),
        false => None,
    }
}

/// This task's position in its trace, for logs and for propagation.
pub fn current() -> Option<Parent> {
    if !is_on() {
        return None;
    }
    CURRENT.try_with(|trace| trace.own).ok()
}

impl Trace {
    /// The trace's id and its root span, as the parent of other spans.
    pub fn own(&self) -> Parent {
        self.own
    }

    /// Ends the unit of work: its spans are kept or dropped. Name and attributes are computed only
    /// if it is kept.
    pub fn end(
        &self,
        name: impl FnOnce() -> String,
        attributes: impl FnOnce() -> Vec<KeyValue>,
        failure: Option<Cow<'static, str>>,
    ) {
        let Some(tracer) = TRACER.get() else {
            return;
        };
        let took = self.started.elapsed();
        let is_kept = self.own.is_sampled || failure.is_some() || took >= tracer.slow;
        let outcome = if is_kept { Spans::Kept } else { Spans::Dropped };
        let collected = std::mem::replace(&mut *self.spans(), outcome);
        let (true, Spans::Collected { spans, dropped }) = (is_kept, collected) else {
            return;
        };
        let mut attributes = attributes();
        if dropped > 0 {
            attributes.push(KeyValue::new("spans.dropped", dropped));
        }
        let own = SpanRecord {
            id: self.own.span_id,
            parent: self.parent.map_or(0, |parent| parent.span_id),
            parent_is_remote: self.parent.is_some(),
            name: Name::Shared(name().into()),
            database: None,
            kind: self.kind,
            started: self.started,
            took,
            attributes,
            failure,
        };
        self.send(std::iter::once(own).chain(spans).collect());
    }

    fn add(&self, span: SpanRecord) {
        match &mut *self.spans() {
            Spans::Collected { spans, .. } if spans.len() < MAX_SPANS => {
                spans.push(span);
                return;
            }
            Spans::Collected { dropped, .. } => {
                *dropped += 1;
                return;
            }
            Spans::Dropped => return,
            Spans::Kept => {}
        }
        self.send(vec![span]);
    }

    fn send(&self, spans: Vec<SpanRecord>) {
        if let Some(tracer) = TRACER.get() {
            (tracer.keep)(KeptTrace {
                trace_id: self.own.trace_id,
                spans,
            });
        }
    }

    fn spans(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records a statement that has just ended.
pub fn record_statement(
    name: impl FnOnce() -> Name,
    database: &'static str,
    started: Instant,
    failure: Option<&'static str>,
) {
    if !is_on() {
        return;
    }
    let _ = CURRENT.try_with(|trace| {
        trace.add(SpanRecord {
            id: new_span_id(),
            parent: trace.own.span_id,
            parent_is_remote: false,
            name: name(),
            database: Some(database),
            kind: Kind::Client,
            started,
            took: started.elapsed(),
            attributes: Vec::new(),
            failure: failure.map(Cow::from),
        });
    });
}

/// Starts a client span, for example of a `database` call. Dropping it ends it.
pub fn client(name: impl FnOnce() -> Name, database: Option<&'static str>) -> Span {
    let trace = match is_on() {
        true => CURRENT.try_with(Arc::clone).ok(),
        false => None,
    };
    Span {
        open: trace.map(|trace| OpenSpan {
            id: new_span_id(),
            started: Instant::now(),
            name: name(),
            database,
            attributes: Vec::new(),
            failure: None,
            trace,
        }),
    }
}

/// A span in progress, or nothing without a trace.
#[derive(Debug)]
pub struct Span {
    open: Option<OpenSpan>,
}

#[derive(Debug)]
struct OpenSpan {
    trace: Arc<Trace>,
    id: u64,
    started: Instant,
    name: Name,
    database: Option<&'static str>,
    attributes: Vec<KeyValue>,
    failure: Option<Cow<'static, str>>,
}

impl Span {
    /// The `traceparent` for the called service.
    pub fn parent(&self) -> Option<Parent> {
        self.open.as_ref().map(|span| Parent {
            span_id: span.id,
            ..span.trace.own
        })
    }

    /// Adds an attribute. Does nothing without a trace.
    pub fn attribute(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.open {
            span.attributes.push(KeyValue::new(name, value));
        }
    }

    /// Marks the span as failed. Whether the trace is kept depends only on [`Trace::end`].
    pub fn failed(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(span) = &mut self.open {
            span.failure = Some(why.into());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(span) = self.open.take() {
            let record = SpanRecord {
                id: span.id,
                parent: span.trace.own.span_id,
                parent_is_remote: false,
                name: span.name,
                database: span.database,
                kind: Kind::Client,
                started: span.started,
                took: span.started.elapsed(),
                attributes: span.attributes,
                failure: span.failure,
            };
            span.trace.add(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_parsed_and_formatted_alike() {
        let parent: Parent = WHOLE.parse().unwrap();
        assert!(parent.is_sampled);
        assert_eq!(parent.to_string(), WHOLE);
        let not_sampled = WHOLE.replace("-01", "-00");
        assert!(!not_sampled.parse::<Parent>().unwrap().is_sampled);
    }

    #[test]
    fn an_invalid_traceparent_is_rejected() {
        let rejected = |text: &str| assert_eq!(text.parse::<Parent>(), Err(InvalidTraceparent), "{text}");
        rejected("");
        rejected("00-4bf9");
        rejected(&WHOLE.replace("4bf9", "4BF9"));
        rejected(&WHOLE.replace("4bf9", "+bf9"));
        rejected(&WHOLE.replacen("00", "01", 1));
        rejected(&format!("{WHOLE}-00"));
        rejected("00-00000000000000000000000000000000-00f067aa0ba902b7-01");
        rejected("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01");
    }

    #[tokio::test]
    async fn without_an_exporter_there_is_no_trace() {
        assert!(begin(Kind::Server, || None).is_none());
        assert!(client(|| Name::Fixed("call"), None).parent().is_none());
        assert!(current().is_none());
    }
}
