//! Logs, metrics and traces of a process: set up once in `main`, used everywhere through `tracing`, `metrics`
//! and [`trace`].

mod logs;
mod metrics;
mod otlp;
pub mod statements;
mod summary;
pub mod trace;

pub use self::logs::init_logs;
pub use self::metrics::{Metrics, ThirdPartyCall, init_metrics};
pub use self::otlp::{TraceError, TraceExporter, init_traces};
