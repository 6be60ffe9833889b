//! Logs to standard error, as text for people or as JSON for machines, with the ids of the current trace.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::trace;
use crate::settings::{LogFormat, LogSettings};

/// Initializes logging to standard error. Standard output is reserved for the command's own output.
///
/// # Errors
/// When the filter can't be parsed.
pub fn init_logs(settings: &LogSettings) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(&settings.filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .map_event_format(WithTraceIds)
            .init(),
        LogFormat::Json => builder.json().map_event_format(WithTraceIds).init(),
    }
    Ok(())
}

/// Adds `trace_id`, and in JSON also `span_id`, to each line that is logged within a trace.
struct WithTraceIds<F>(F);

impl<S, N, F> FormatEvent<S, N> for WithTraceIds<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(current) = trace::current() else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        writer.write_str(&with_ids(&line, &current))
    }
}

fn with_ids(line: &str, current: &trace::Parent) -> String {
    let (trace_id, span_id) = (current.trace_id_hex(), current.span_id_hex());
    match line.strip_prefix('{') {
        Some(rest) => format!("{{\"trace_id\":\"{trace_id}\",\"span_id\":\"{span_id}\",{rest}"),
        None => format!("{} trace_id={trace_id}\n", line.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gets_the_ids_of_its_trace() {
        let current: trace::Parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            .parse()
            .unwrap();
        let json: serde_json::Value =
            serde_json::from_str(&with_ids("{\"level\":\"WARN\"}\n", &current)).unwrap();
        assert_eq!(json["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(json["span_id"], "00f067aa0ba902b7");
        assert_eq!(json["level"], "WARN");
        assert_eq!(
            with_ids("WARN slow\n", &current),
            "WARN slow trace_id=4bf92f3577b34da6a3ce929d0e0e4736\n"
        );
    }
}
