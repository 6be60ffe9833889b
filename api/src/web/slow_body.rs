//! A deadline for the request body, against slow clients.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use hyper::body::{Frame, SizeHint};
use tokio::time::Sleep;

#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the body took too long to arrive")]
pub(super) struct BodyTimedOut;

/// Sets the body's deadline. A request without a body is left as it is.
pub fn within(request: Request<Body>, limit: Duration) -> Request<Body> {
    if request.body().is_end_stream() {
        return request;
    }
    request.map(|body| {
        Body::new(TimedBody {
            body,
            deadline: Box::pin(tokio::time::sleep(limit)),
        })
    })
}

struct TimedBody {
    body: Body,
    deadline: Pin<Box<Sleep>>,
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from))),
            Poll::Pending => self
                .deadline
                .as_mut()
                .poll(context)
                .map(|()| Some(Err(BodyTimedOut.into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
