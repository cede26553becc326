//! Why a cell failed. evcxr calls a panic and a failed `?` a success: they are told by what the tap marked.

use crate::process::{ENDED, PANICKED, RETURNED_ERROR};
use evcxr::{CompilationError, Error, EvalOutputs};

/// Why a cell failed.
#[derive(Debug, PartialEq)]
pub struct Failure {
    /// `CompileError`, `Panic`, `Error` (a failed `?`), `ProcessEnded`, or `EngineError` for what evcxr refuses.
    pub kind: &'static str,
    /// One line.
    pub message: String,
    /// All that is known, line by line.
    pub details: Vec<String>,
}

impl Failure {
    /// The failure, if it is one, of a cell with this result, these marks and these lines on standard error.
    pub(crate) fn of(
        result: &Result<EvalOutputs, Error>,
        marks: &[String],
        stderr: &[String],
    ) -> Option<Self> {
        let marked = |event: &str| marks.iter().any(|mark| mark == event);
        let panic =
            stderr.iter().position(|line| line.starts_with("thread '") && line.contains("panicked at"));
        match result {
            Err(Error::CompilationErrors(errors)) => {
                let message = errors.first().map(CompilationError::message).unwrap_or_default();
                Some(Self::new("CompileError", &message, errors.iter().flat_map(explain).collect()))
            }
            Err(Error::SubprocessTerminated(_)) => {
                let how = marks.iter().find_map(|mark| mark.strip_prefix(ENDED)).unwrap_or("reason unknown");
                let message = format!("the cell ended its process ({how}) and lost all variables");
                Some(Self::new("ProcessEnded", &message, stderr.to_vec()))
            }
            Err(error) => {
                let details: Vec<String> = error.to_string().lines().map(String::from).collect();
                Some(Self::new("EngineError", &details[..details.len().min(2)].join(" "), details))
            }
            Ok(_) if panic.is_some() || marked(PANICKED) => {
                let said = panic.map_or(stderr, |at| &stderr[at..]);
                Some(Self::new(
                    "Panic",
                    said.get(1).map_or("the cell panicked", String::as_str),
                    said.to_vec(),
                ))
            }
            Ok(_) if marked(RETURNED_ERROR) => {
                let message = stderr.last().map_or("the cell returned an error", String::as_str);
                Some(Self::new("Error", message, stderr.to_vec()))
            }
            Ok(_) => None,
        }
    }

    fn new(kind: &'static str, message: &str, details: Vec<String>) -> Self {
        let message = message.lines().next().unwrap_or_default().to_owned();
        let details = if details.is_empty() { vec![message.clone()] } else { details };
        Self { kind, message, details }
    }
}

/// The compiler's message, with the lines of the cell it is about.
fn explain(error: &CompilationError) -> Vec<String> {
    if !error.is_from_user_code() && !error.rendered().is_empty() {
        return error.rendered().lines().map(String::from).collect();
    }
    let code = error.code().map(|code| format!("[{code}]")).unwrap_or_default();
    let mut lines = vec![format!("error{code}: {}", error.message())];
    for spanned in error.spanned_messages() {
        lines.extend(spanned.lines.iter().cloned());
        let one_line = spanned.span.filter(|span| span.start_line == span.end_line);
        lines.push(one_line.map_or(spanned.label.clone(), |span| {
            let carets = "^".repeat(span.end_column.saturating_sub(span.start_column).max(1));
            format!("{}{carets} {}", " ".repeat(span.start_column.saturating_sub(1)), spanned.label)
        }));
    }
    lines.extend(error.help().iter().map(|help| format!("help: {help}")));
    lines
}
