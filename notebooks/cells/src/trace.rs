use tinyjson::JsonValue;

use crate::engine::{Result, call, number, object, or_its_error, text};
use crate::{Chart, RequestTable, Verdict};

/// What was observed in an earlier run, in a file of JSON lines.
pub struct Trace {
    path: String,
    tpm: Option<u64>,
    rpm: Option<u64>,
}

impl Trace {
    /// Reads the trace at `path`, ours or an imported one.
    ///
    /// # Errors
    /// If it cannot be read, with the line that is wrong.
    pub fn load(path: &str) -> Result<Self> {
        let trace = Self { path: path.to_owned(), tpm: None, rpm: None };
        trace.get(text("requests"))?;
        Ok(trace)
    }

    /// States the quota of tokens per minute, where the trace does not.
    #[must_use]
    pub fn with_tpm(self, tpm: u64) -> Self {
        Self { tpm: Some(tpm), ..self }
    }

    /// States the quota of requests per minute, where the trace does not.
    #[must_use]
    pub fn with_rpm(self, rpm: u64) -> Self {
        Self { rpm: Some(rpm), ..self }
    }

    /// What the observations show.
    pub fn verdict(&self) -> Verdict {
        Verdict::of(&or_its_error(self.get(text("verdict"))))
    }

    /// Status against time, and what the likeliest mechanisms predict.
    pub fn chart(&self) -> Chart {
        Chart::of(&or_its_error(self.get(text("chart"))))
    }

    /// Every request with what became of it.
    pub fn requests(&self) -> RequestTable {
        RequestTable::of(&or_its_error(self.get(text("requests"))))
    }

    /// Writes one HTML file with the verdict, the chart and every request, to share.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn save_report(&self, path: &str) -> Result<()> {
        self.get(object([("report", text(path))])).map(drop)
    }

    fn get(&self, wanted: JsonValue) -> Result<JsonValue> {
        let quota = |quota: Option<u64>| quota.map_or(JsonValue::Null, number);
        call(&object([
            ("call", text("trace")),
            ("path", text(&self.path)),
            ("tpm", quota(self.tpm)),
            ("rpm", quota(self.rpm)),
            ("wanted", wanted),
        ]))
    }
}
