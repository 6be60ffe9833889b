//! Traces: what a request or a message consisted of, across processes.
//!
//! Each process collects the spans of a piece of work in a list of its own, and decides when the work has *ended* whether
//! they are kept: when the trace was drawn in the first process, when the work failed, or when it was slow. So a rate of
//! 1 % doesn't lose the traces that somebody will ask for; what is not kept costs a list of a few entries and no export.
//! So entries hold what is at hand: names that exist, and one clock. What a collector wants is made of them when they are
//! kept.
//! Of a trace that was not drawn, the parts that failed or were slow are kept, those of other processes are not.
//!
//! Between processes the trace travels as `traceparent` (W3C Trace Context, <https://www.w3.org/TR/trace-context/>): in
//! the request, to third parties, in the outbox's row and in the message. Read next: `otlp.rs`, which sends what is kept.
//!
//! Without an exporter nothing is collected: [`begin`] gives none, and everything else finds none.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub use opentelemetry::{KeyValue, Value};

/// Spans of one piece of work that are kept. An N+1 over a page of a hundred fits; how many are beyond is an attribute.
const MAX_SPANS: usize = 256;

static TRACER: OnceLock<Tracer> = OnceLock::new();

tokio::task_local! {
    static CURRENT: Arc<Trace>;
}

/// What the process does about traces.
pub(super) struct Tracer {
    /// The share of the traces begun here that is kept, as a bound on 32 random bits.
    pub(super) drawn_below: u64,
    /// What takes longer is kept.
    pub(super) slow: Duration,
    /// Where to.
    pub(super) keep: Box<dyn Fn(Kept) + Send + Sync>,
}

/// Switches traces on, once in a process.
pub(super) fn install(tracer: Tracer) {
    let _ = TRACER.set(tracer);
}

/// Whether traces are collected.
pub fn is_on() -> bool {
    TRACER.get().is_some()
}

/// Where a piece of work hangs in a trace: what `traceparent` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// The trace, never 0.
    pub trace_id: u128,
    /// The span that caused it, never 0.
    pub span_id: u64,
    /// Whether the trace was drawn.
    pub is_drawn: bool,
}

impl Parent {
    /// As logs and tracing tools write it: 32 hexadecimal digits.
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
        let flags = u8::from(self.is_drawn);
        write!(f, "00-{:032x}-{:016x}-{flags:02x}", self.trace_id, self.span_id)
    }
}

/// It is no `traceparent` of version 00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent of W3C Trace Context, version 00")]
pub struct NoTraceParent;

impl FromStr for Parent {
    type Err = NoTraceParent;

    fn from_str(text: &str) -> Result<Self, NoTraceParent> {
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
                is_drawn: flags & 1 == 1,
            }),
            _ => Err(NoTraceParent),
        }
    }
}

/// What a span is to the one that caused it. The terms are OpenTelemetry's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Answers a request.
    Server,
    /// Asks somebody else, and waits.
    Client,
    /// Says something to a broker.
    Producer,
    /// Works on what a broker delivered.
    Consumer,
}

/// What a span is called: of a bounded set, and cheap to make.
#[derive(Debug, Clone)]
pub enum Name {
    /// Written in the code.
    Fixed(&'static str),
    /// Made at run time.
    Shared(Arc<str>),
}

impl Name {
    /// As collectors want it.
    pub fn into_text(self) -> Cow<'static, str> {
        match self {
            Self::Fixed(name) => name.into(),
            Self::Shared(name) => name.to_string().into(),
        }
    }
}

/// What a trace consists of: something that began and ended.
#[derive(Debug, Clone)]
pub struct SpanRecord {
    /// Its own id.
    pub id: u64,
    /// That of the span that caused it; 0 at the beginning of a trace.
    pub parent: u64,
    /// Whether the cause is in another process.
    pub parent_is_remote: bool,
    /// What it was.
    pub name: Name,
    /// The database that was asked, if one was: `db.system.name`.
    pub database: Option<&'static str>,
    /// Which way.
    pub kind: Kind,
    /// When it began.
    pub started: Instant,
    /// How long it took.
    pub took: Duration,
    /// Particulars.
    pub attributes: Vec<KeyValue>,
    /// Why it failed, if it did.
    pub failure: Option<Cow<'static, str>>,
}

/// A piece of work that is kept.
#[derive(Debug)]
pub struct Kept {
    /// The trace.
    pub trace_id: u128,
    /// The work itself first.
    pub spans: Vec<SpanRecord>,
}

/// A piece of work that is under way, and its spans so far.
#[derive(Debug)]
pub struct Trace {
    /// What its own spans hang on.
    own: Parent,
    parent: Option<Parent>,
    kind: Kind,
    started: Instant,
    spans: Mutex<Spans>,
}

/// What a piece of work consists of.
#[derive(Debug)]
enum Spans {
    /// It is under way.
    Collected { spans: Vec<SpanRecord>, dropped: i64 },
    /// It has ended and is kept. What another task does for it still is sent at once.
    Kept,
    /// It has ended, and nobody will ask for it.
    Forgotten,
}

/// Begins a piece of work. `None` when traces are off.
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
            is_drawn: u64::from(rand::random::<u32>()) < tracer.drawn_below,
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

/// Does the work; whatever it does belongs to the trace.
pub fn within<F: Future>(trace: Arc<Trace>, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(trace, work)
}

/// The work of another task, for whose spans this task's trace is the place.
pub fn carried<F>(work: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send,
    F::Output: Send,
{
    let trace = of_this_task();
    async move {
        match trace {
            Some(trace) => within(trace, work).await,
            None => work.await,
        }
    }
}

/// This task's trace, for work that another task does for it.
pub fn of_this_task() -> Option<Arc<Trace>> {
    match is_on() {
        true => CURRENT.try_with(Arc::clone).ok(),
        false => None,
    }
}

/// Where this task is in its trace: what logs name, and what is passed on to others.
pub fn current() -> Option<Parent> {
    if !is_on() {
        return None;
    }
    CURRENT.try_with(|trace| trace.own).ok()
}

impl Trace {
    /// What others hang their work on.
    pub fn own(&self) -> Parent {
        self.own
    }

    /// The work has ended: its spans are kept or forgotten. What it is called is asked only when it is kept.
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
        let is_kept = self.own.is_drawn || failure.is_some() || took >= tracer.slow;
        let outcome = if is_kept { Spans::Kept } else { Spans::Forgotten };
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
            Spans::Forgotten => return,
            Spans::Kept => {}
        }
        self.send(vec![span]);
    }

    fn send(&self, spans: Vec<SpanRecord>) {
        if let Some(tracer) = TRACER.get() {
            (tracer.keep)(Kept {
                trace_id: self.own.trace_id,
                spans,
            });
        }
    }

    fn spans(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A statement that ended just now.
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

/// Begins to ask somebody else, for example a `database`. It ends when it is dropped.
pub fn client(name: impl FnOnce() -> Name, database: Option<&'static str>) -> Span {
    let trace = match is_on() {
        true => CURRENT.try_with(Arc::clone).ok(),
        false => None,
    };
    Span {
        under_way: trace.map(|trace| UnderWay {
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

/// A span that is under way, or nothing where there is no trace.
#[derive(Debug)]
pub struct Span {
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    trace: Arc<Trace>,
    id: u64,
    started: Instant,
    name: Name,
    database: Option<&'static str>,
    attributes: Vec<KeyValue>,
    failure: Option<Cow<'static, str>>,
}

impl Span {
    /// What whoever is asked hangs its own work on.
    pub fn parent(&self) -> Option<Parent> {
        self.under_way.as_ref().map(|span| Parent {
            span_id: span.id,
            ..span.trace.own
        })
    }

    /// Adds a particular.
    pub fn attribute(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.under_way {
            span.attributes.push(KeyValue::new(name, value));
        }
    }

    /// It failed.
    pub fn failed(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(span) = &mut self.under_way {
            span.failure = Some(why.into());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(span) = self.under_way.take() {
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
    fn a_traceparent_is_read_and_written_alike() {
        let parent: Parent = WHOLE.parse().unwrap();
        assert!(parent.is_drawn);
        assert_eq!(parent.to_string(), WHOLE);
        let not_drawn = WHOLE.replace("-01", "-00");
        assert!(!not_drawn.parse::<Parent>().unwrap().is_drawn);
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        let refused = |text: &str| assert_eq!(text.parse::<Parent>(), Err(NoTraceParent), "{text}");
        refused("");
        refused("00-4bf9");
        refused(&WHOLE.replace("4bf9", "4BF9"));
        refused(&WHOLE.replace("4bf9", "+bf9"));
        refused(&WHOLE.replacen("00", "01", 1));
        refused(&format!("{WHOLE}-00"));
        refused("00-00000000000000000000000000000000-00f067aa0ba902b7-01");
        refused("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01");
    }

    #[tokio::test]
    async fn without_an_exporter_there_is_no_trace() {
        assert!(begin(Kind::Server, || None).is_none());
        assert!(client(|| Name::Fixed("ask"), None).parent().is_none());
        assert!(current().is_none());
    }
}
