//! Answers on their way out, as text.

use crate::RpcError;
use serde::Serialize;
use serde_json::Value;

/// A serialised result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Json(pub(crate) String);

impl Json {
    /// JSON `null`, the answer for what does not exist.
    pub(crate) fn null() -> Self {
        Self("null".to_owned())
    }

    /// Serialises a result.
    pub(crate) fn of(value: &(impl Serialize + ?Sized)) -> Result<Self, RpcError> {
        serde_json::to_string(value).map(Self).map_err(|error| RpcError::internal(error.to_string()))
    }
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    code: i64,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
}

/// The answer to one request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) id: Value,
    pub(crate) outcome: Result<Json, RpcError>,
}

impl Answer {
    /// An answer that refuses.
    pub(crate) const fn error(id: Value, error: RpcError) -> Self {
        Self { id, outcome: Err(error) }
    }

    /// Bytes that the outcome takes.
    pub(crate) fn size(&self) -> usize {
        match &self.outcome {
            Ok(json) => json.0.len(),
            Err(error) => error.message.len() + error.data.as_ref().map_or(0, String::len),
        }
    }

    /// Appends the JSON text to `out`.
    pub(crate) fn write(&self, out: &mut String) {
        out.push_str(r#"{"jsonrpc":"2.0","id":"#);
        out.push_str(&self.id.to_string());
        match &self.outcome {
            Ok(json) => {
                out.push_str(r#","result":"#);
                out.push_str(&json.0);
            }
            Err(RpcError { code, message, data }) => {
                let object = ErrorObject { code: *code, message, data: data.as_deref() };
                out.push_str(r#","error":"#);
                out.push_str(&serde_json::to_string(&object).unwrap_or_default());
            }
        }
        out.push('}');
    }

    /// The JSON text.
    pub(crate) fn text(&self) -> String {
        let mut out = String::with_capacity(self.size() + 64);
        self.write(&mut out);
        out
    }
}

/// The answers to a batch, in order.
#[derive(Debug)]
pub(crate) struct Answers {
    answers: Vec<Answer>,
    bytes: usize,
    most_bytes: usize,
}

impl Answers {
    /// Answers of at most about `most_bytes`.
    pub(crate) const fn new(most_bytes: usize) -> Self {
        Self { answers: Vec::new(), bytes: 0, most_bytes }
    }

    /// Whether they are larger than allowed.
    pub(crate) const fn full(&self) -> bool {
        self.bytes > self.most_bytes
    }

    /// The JSON text, or `None` when there is nothing to answer.
    pub(crate) fn text(&self) -> Option<String> {
        if self.answers.is_empty() {
            return None;
        }
        let mut out = String::with_capacity(self.bytes + 64 * self.answers.len());
        out.push('[');
        for (index, answer) in self.answers.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            answer.write(&mut out);
        }
        out.push(']');
        Some(out)
    }
}

impl Extend<Answer> for Answers {
    fn extend<Source: IntoIterator<Item = Answer>>(&mut self, source: Source) {
        for answer in source {
            self.bytes += answer.size();
            self.answers.push(answer);
        }
    }
}
