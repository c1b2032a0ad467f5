//! How calls fail: a symbol, whether trying again helps, and a sentence for people.

use fresnel_types::rpc::{Code, ErrorData, Failure};
use jsonrpsee_server::types::ErrorObjectOwned;
use serde_json::{Value, value::to_raw_value};

/// Why a call has no result.
#[derive(Clone, Debug)]
pub(super) struct Fault(ErrorObjectOwned);

impl Fault {
    /// With the code's own view on trying again.
    pub(super) fn new(code: Code, sentence: impl Into<String>) -> Self {
        Self::with_delay(code, sentence, None)
    }

    /// The same, when it is known after how many milliseconds trying again makes sense.
    pub(super) fn with_delay(code: Code, sentence: impl Into<String>, retry_after_ms: Option<u64>) -> Self {
        let data = ErrorData { code, retry: code.retry_helps(), retry_after_ms };
        Self(ErrorObjectOwned::owned(code.number(), sentence.into(), Some(data)))
    }

    /// A failure that is no machine's.
    pub(super) fn failed(failure: Failure, sentence: impl Into<String>) -> Self {
        Self::new(Code::Failed(failure), sentence)
    }

    /// As another process put it.
    pub(super) fn of(error: ErrorObjectOwned) -> Self {
        Self(error)
    }

    /// As a subscription ends with it.
    pub(super) fn as_notification(&self) -> Box<serde_json::value::RawValue> {
        to_raw_value(&self.0).expect("an error object has numbers, strings and JSON")
    }

    /// What went wrong, if it was said.
    pub(super) fn code(&self) -> Option<Code> {
        let data: ErrorData = serde_json::from_str(self.0.data()?.get()).ok()?;
        Some(data.code)
    }
}

impl From<Fault> for ErrorObjectOwned {
    fn from(fault: Fault) -> Self {
        fault.0
    }
}

/// What calls give.
pub(super) type Outcome = Result<Value, Fault>;
