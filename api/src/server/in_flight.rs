//! The request in flight: a guard that records metrics and ends the trace, however the request ends.
//!
//! When the client disconnects, the server drops the response future. Such requests are often the slowest, and
//! metrics without them would look too good. They are recorded as 499, nginx's code for it.

use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::http::{Method, StatusCode, Uri};
use platform::telemetry::trace::{KeyValue, Trace};

use crate::metrics::{InFlightCount, record_request};
use crate::web::timings::Timings;

/// nginx's status for a client that disconnected before the response. No client sees it.
const CLIENT_WENT_AWAY: u16 = 499;

/// Created when a request arrives; records it when it is dropped.
pub struct InFlightGuard {
    pub method: Method,
    pub uri: Uri,
    pub route: Option<MatchedPath>,
    pub timings: Arc<Timings>,
    pub trace: Option<Arc<Trace>>,
    pub _in_flight: InFlightCount,
    /// `None` until there is a response.
    pub answered: Option<StatusCode>,
}

impl InFlightGuard {
    /// Ends the request with a response.
    pub fn end(mut self, status: StatusCode) {
        self.answered = Some(status);
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let status = self
            .answered
            .unwrap_or_else(|| StatusCode::from_u16(CLIENT_WENT_AWAY).expect("three digits are a status"));
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        record_request(&self.method, route, status, &self.timings);
        let Some(trace) = self.trace.take() else {
            return;
        };
        let attributes = || {
            vec![
                KeyValue::new("http.request.method", self.method.to_string()),
                KeyValue::new("http.route", route.to_owned()),
                KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
                KeyValue::new("url.path", self.uri.path().to_owned()),
            ]
        };
        let failure = match self.answered {
            None => Some("the client went away".into()),
            Some(status) if status.is_server_error() => Some(status.as_str().to_owned().into()),
            Some(_) => None,
        };
        trace.end(|| format!("{} {route}", self.method), attributes, failure);
    }
}
