//! Answers to requests.

use postroad_proto::codec;
use postroad_proto::error::ErrorCode;
use postroad_proto::frame::Done;
use postroad_proto::limits::MAX_DETAIL;
use serde::Serialize;

use crate::core::{Core, SessionId};

/// Why a request was refused.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) retry_after: u64,
    pub(crate) detail: String,
    /// With CONFLICT: what is held.
    pub(crate) result: Option<Vec<u8>>,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, retry_after: 0, detail: detail.into(), result: None }
    }

    pub(crate) fn after(code: ErrorCode, seconds: u64, detail: impl Into<String>) -> Self {
        Self { retry_after: seconds, ..Self::new(code, detail) }
    }
}

/// A refusal that a stranger cannot tell apart from "no such account".
pub(crate) fn denied() -> Refusal {
    Refusal::new(ErrorCode::Denied, "no token, invite or open handle allows this")
}

/// The encoded result of a request, empty when it has none.
pub(crate) type Answer = Result<Vec<u8>, Refusal>;

/// A result.
pub(crate) fn ok<T: Serialize>(result: &T) -> Answer {
    codec::encode(result).map_err(|e| Refusal::new(ErrorCode::Busy, e.to_string()))
}

/// Success without a result.
pub(crate) const DONE: Answer = Ok(Vec::new());

/// The frame that answers `request`.
pub(crate) fn done(request: u64, answer: Answer) -> Done {
    match answer {
        Ok(result) => Done {
            request,
            code: None,
            result: (!result.is_empty()).then(|| result.into()),
            retry_after: 0,
            detail: String::new(),
        },
        Err(refusal) => Done {
            request,
            code: Some(refusal.code),
            result: refusal.result.map(Into::into),
            retry_after: refusal.retry_after,
            detail: cut(refusal.detail),
        },
    }
}

/// A detail that fits its frame.
pub(crate) fn cut(mut detail: String) -> String {
    detail.truncate(detail.floor_char_boundary(MAX_DETAIL));
    detail
}

impl Core {
    pub(crate) fn answer(&mut self, session: SessionId, request: u64, answer: Answer) {
        self.group.release(session, done(request, answer));
    }
}
