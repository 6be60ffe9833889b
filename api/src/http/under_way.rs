//! A request that is under way, for metrics and traces: it is counted when it ends, however it ends.
//!
//! A client that goes away ends its request as well: the server drops the answer's future. Those are often the slowest,
//! and would be missing where somebody looks for them. They are counted as 499, as nginx calls it.

use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::http::{Method, StatusCode, Uri};
use storefront::telemetry::trace::{KeyValue, Trace};

use super::timings::Timings;
use crate::metrics::{InFlight, record_request};

/// What nginx logs when the client went away before it was answered. No client sees it.
const CLIENT_WENT_AWAY: u16 = 499;

/// Made when a request comes in; ends it when it is dropped.
pub struct UnderWay {
    pub method: Method,
    pub uri: Uri,
    pub route: Option<MatchedPath>,
    pub timings: Arc<Timings>,
    pub trace: Option<Arc<Trace>>,
    pub _in_flight: InFlight,
    /// `None` until it is answered.
    pub answered: Option<StatusCode>,
}

impl UnderWay {
    /// It has ended well.
    pub fn end(mut self, status: StatusCode) {
        self.answered = Some(status);
    }
}

impl Drop for UnderWay {
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
