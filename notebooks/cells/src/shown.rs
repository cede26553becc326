use std::collections::HashMap;
use std::fmt;

use tinyjson::JsonValue;

/// A result as it is displayed: MIME types with contents, the last one text.
#[derive(Clone)]
struct Forms(Vec<(String, String)>);

impl Forms {
    fn of(reply: &JsonValue) -> Self {
        let forms = field(reply, "forms").and_then(|forms| forms.get::<Vec<JsonValue>>());
        let pair = |form: &JsonValue| match form.get::<Vec<JsonValue>>().map(Vec::as_slice) {
            Some([JsonValue::String(mime), JsonValue::String(content)]) => {
                Some((mime.clone(), content.clone()))
            }
            _ => None,
        };
        Self(forms.into_iter().flatten().filter_map(pair).collect())
    }

    #[expect(clippy::print_stdout, reason = "evcxr reads rich output from stdout")]
    fn display(&self) {
        for (mime, content) in &self.0 {
            println!("EVCXR_BEGIN_CONTENT {mime}\n{}\nEVCXR_END_CONTENT", content.trim_end());
        }
    }

    fn text(&self) -> &str {
        self.0.last().map_or("", |(_, text)| text)
    }
}

fn field<'a>(reply: &'a JsonValue, name: &str) -> Option<&'a JsonValue> {
    reply.get::<HashMap<String, JsonValue>>()?.get(name)
}

fn words(reply: &JsonValue, name: &str) -> String {
    field(reply, name).and_then(|it| it.get::<String>()).cloned().unwrap_or_default()
}

fn number(reply: &JsonValue, name: &str) -> Option<f64> {
    field(reply, name).and_then(|it| it.get::<f64>()).copied()
}

fn holds(reply: &JsonValue, name: &str) -> bool {
    field(reply, name).and_then(|it| it.get::<bool>()) == Some(&true)
}

/// Displays as the engine says, and prints as text.
macro_rules! shown {
    ($($name:ident)*) => {$(
        impl $name {
            /// Shows it in a notebook.
            pub fn evcxr_display(&self) {
                self.forms.display();
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.forms.text())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.forms.text())
            }
        }
    )*};
}

shown! { Chart Observation RequestTable Summary Verdict }

/// Status against time.
#[derive(Clone)]
pub struct Chart {
    forms: Forms,
}

/// Every request with what became of it.
#[derive(Clone)]
pub struct RequestTable {
    forms: Forms,
}

/// What happened, by phase.
#[derive(Clone)]
pub struct Summary {
    forms: Forms,
}

impl Chart {
    pub(crate) fn of(reply: &JsonValue) -> Self {
        Self { forms: Forms::of(reply) }
    }
}

impl RequestTable {
    pub(crate) fn of(reply: &JsonValue) -> Self {
        Self { forms: Forms::of(reply) }
    }
}

impl Summary {
    pub(crate) fn of(reply: &JsonValue) -> Self {
        Self { forms: Forms::of(reply) }
    }
}

/// One request and what became of it.
#[derive(Clone)]
pub struct Observation {
    /// Its name in charts and tables.
    pub name: String,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Tokens that it reserved.
    pub tokens: u64,
    /// From sending to the answer, in seconds of the endpoint's time.
    pub latency_s: f64,
    /// A quota let it pass.
    pub is_admitted: bool,
    /// A quota rejected it.
    pub is_throttled: bool,
    pub(crate) index: u64,
    forms: Forms,
}

impl Observation {
    pub(crate) fn of(reply: &JsonValue) -> Self {
        Self {
            name: words(reply, "name"),
            status: number(reply, "status").map(|status| status as u16),
            tokens: number(reply, "tokens").unwrap_or_default() as u64,
            latency_s: number(reply, "latency_s").unwrap_or_default(),
            is_admitted: holds(reply, "is_admitted"),
            is_throttled: holds(reply, "is_throttled"),
            index: number(reply, "index").unwrap_or_default() as u64,
            forms: Forms::of(reply),
        }
    }
}

/// What the observations show.
#[derive(Clone)]
pub struct Verdict {
    /// The mechanism's name, `inconclusive` or `none_of_these`.
    pub verdict: String,
    /// Of the most probable mechanism, from 0 to 1.
    pub probability: f64,
    /// The quota that rejected: `tokens`, `requests`, `tokens_per_day`, `none` or `unknown`.
    pub binding: String,
    /// `absolute`, `relative`, `neither` or `unknown`.
    pub clock_question: String,
    /// The verdict in one phrase.
    pub headline: String,
    /// The paragraph in plain words.
    pub summary: String,
    /// The request that would tell the two most probable mechanisms apart, in a sentence.
    pub separation: String,
    forms: Forms,
}

impl Verdict {
    pub(crate) fn of(reply: &JsonValue) -> Self {
        Self {
            verdict: words(reply, "verdict"),
            probability: number(reply, "probability").unwrap_or_default(),
            binding: words(reply, "binding"),
            clock_question: words(reply, "clock_question"),
            headline: words(reply, "headline"),
            summary: words(reply, "summary"),
            separation: words(reply, "separation_sentence"),
            forms: Forms::of(reply),
        }
    }
}
