use std::error::Error as StdError;
use std::fmt;

/// What went wrong, in one line that ends with what to do next.
///
/// Throttling is not an error: it is an [`Outcome`](crate::Outcome). An `Error` means that something could not
/// be done at all. Both `Display` and `Debug` print the whole cause chain, so a notebook cell that ends in `?`
/// shows a sentence instead of a struct.
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Usage,
    Setup,
    Trace,
    Budget,
    Stopped,
    Output,
}

/// The crate's result type.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of whoever asked: an argument is out of range, or contradicts another.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub(crate) fn setup(message: impl Into<String>) -> Self {
        Self::new(Kind::Setup, message)
    }

    pub(crate) fn trace(message: impl Into<String>) -> Self {
        Self::new(Kind::Trace, message)
    }

    pub(crate) fn budget(message: impl Into<String>) -> Self {
        Self::new(Kind::Budget, message)
    }

    pub(crate) fn stopped(message: impl Into<String>) -> Self {
        Self::new(Kind::Stopped, message)
    }

    /// An error of a place that something should be written to.
    pub fn output(message: impl Into<String>) -> Self {
        Self::new(Kind::Output, message)
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// An argument is out of range, or two of them contradict each other.
    pub fn is_usage(&self) -> bool {
        self.kind == Kind::Usage
    }

    /// The endpoint cannot be used as configured: credentials, Region, model access, address.
    pub fn is_setup(&self) -> bool {
        self.kind == Kind::Setup
    }

    /// A trace, or another file of JSON lines, is corrupt, empty or does not belong to this run.
    pub fn is_trace(&self) -> bool {
        self.kind == Kind::Trace
    }

    /// The token budget does not allow the next request.
    pub fn is_budget(&self) -> bool {
        self.kind == Kind::Budget
    }

    /// The time is over that the tester was given.
    pub fn is_stopped(&self) -> bool {
        self.kind == Kind::Stopped
    }

    /// A trace, chart or report cannot be written where it was asked for.
    pub fn is_output(&self) -> bool {
        self.kind == Kind::Output
    }
}

/// A usage error unless `value` lies in `low..=high`.
pub(crate) fn check_range(what: &str, value: f64, low: f64, high: f64) -> Result<()> {
    match (low..=high).contains(&value) {
        true => Ok(()),
        false if value.is_normal() && !(1e-6..1e15).contains(&value.abs()) => {
            Err(Error::usage(format!("{what} {value:e} is out of range: use {low} to {high}")))
        }
        false => Err(Error::usage(format!("{what} {value} is out of range: use {low} to {high}"))),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut cause = self.source();
        while let Some(inner) = cause {
            write!(f, ": {inner}")?;
            cause = inner.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}
