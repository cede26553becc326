use tinyjson::JsonValue;

use crate::engine::{Result, call, number, object, or_its_error, text};
use crate::{Chart, MechanismId, Observation, RequestTable, Summary, Verdict};

/// Sends requests of known size at known instants, records what becomes of them, and says what that shows.
///
/// The trace is on disk before the next request leaves, so whatever becomes of the kernel, it is kept.
pub struct BedrockTpmTester {
    number: u64,
}

/// Keeps requests under the quotas as they were measured.
pub struct Throttle {
    number: u64,
}

/// A tester on an emulator that enforces `mechanism` with `tpm` tokens per minute; a minute lasts a second. The trace is
/// kept in the file `trace`; that of an earlier run on an emulator is replaced.
///
/// # Errors
/// If `tpm` is out of range, or `trace` cannot be written or is not that of an emulator.
pub fn on_emulator(mechanism: MechanismId, tpm: u64, trace: &str) -> Result<BedrockTpmTester> {
    emulated(mechanism, tpm, text(trace), false)
}

/// As [`on_emulator`], in virtual time: waits take no time, and the same cells show the same.
///
/// # Errors
/// As [`on_emulator`].
pub fn in_virtual_time(mechanism: MechanismId, tpm: u64, trace: &str) -> Result<BedrockTpmTester> {
    emulated(mechanism, tpm, text(trace), true)
}

fn emulated(
    mechanism: MechanismId,
    tpm: u64,
    trace: JsonValue,
    is_virtual: bool,
) -> Result<BedrockTpmTester> {
    open(object([
        ("on", text("emulator")),
        ("mechanism", text(mechanism.id())),
        ("tpm", number(tpm)),
        ("is_virtual", JsonValue::Boolean(is_virtual)),
        ("trace", trace),
    ]))
}

/// A tester on real AWS that never spends more than `budget_tokens` tokens and keeps its trace in `trace`, which is
/// continued if it exists. Credentials come from the default chain.
///
/// # Errors
/// If there are no credentials, with the remedy, or the trace cannot be used.
pub fn on_aws(
    region: &str,
    model: &str,
    tpm: u64,
    budget_tokens: u64,
    trace: &str,
) -> Result<BedrockTpmTester> {
    open(object([
        ("on", text("aws")),
        ("region", text(region)),
        ("model", text(model)),
        ("tpm", number(tpm)),
        ("budget_tokens", number(budget_tokens)),
        ("trace", text(trace)),
    ]))
}

/// A tester that goes on where the trace of an emulator ends: after the kernel was restarted, run this instead of the
/// configuration. (`on_aws` goes on with its trace by itself.)
///
/// # Errors
/// If the trace cannot be used, or is not that of an emulator.
pub fn resume(trace: &str) -> Result<BedrockTpmTester> {
    open(object([("on", text("resumed")), ("trace", text(trace))]))
}

fn open(mut start: JsonValue) -> Result<BedrockTpmTester> {
    if let JsonValue::Object(fields) = &mut start {
        fields.insert("call".into(), text("open"));
    }
    let number = call(&start)?;
    Ok(BedrockTpmTester { number: number.get::<f64>().map_or(0, |number| *number as u64) })
}

impl BedrockTpmTester {
    /// Names the phase that the next requests belong to.
    pub fn begin_phase(&mut self, phase: &str) {
        // If the engine is gone, the next request says so.
        let _ = self.call(object([("begin_phase", text(phase))]));
    }

    /// Each call from now on ends after `seconds` seconds of the endpoint's time at the latest, with an error: what was
    /// observed stays in the trace, and the same call goes on.
    pub fn stop_after(&mut self, seconds: f64) {
        let _ = self.call(object([("stop_after", JsonValue::Number(seconds))]));
    }

    /// Waits until the clock reads `second` seconds past a full minute, 0 to 59.
    ///
    /// # Errors
    /// If `second` is out of range, or the tester's time ends before.
    pub fn wait_until_second(&mut self, second: u32) -> Result<()> {
        self.call(object([("wait_until_second", number(second.into()))])).map(drop)
    }

    /// Sends requests of `chunk_tokens` tokens each, back to back, until `total_tokens` tokens were admitted or a request
    /// was throttled.
    ///
    /// # Errors
    /// If a number is out of range, the budget or the tester's time is over, or the endpoint keeps failing.
    pub fn consume_tpm_quota(&mut self, total_tokens: u64, chunk_tokens: u64) -> Result<Vec<Observation>> {
        let tokens = JsonValue::Array(vec![number(total_tokens), number(chunk_tokens)]);
        let reply = self.call(object([("consume_tpm_quota", tokens)]))?;
        Ok(reply.get::<Vec<JsonValue>>().into_iter().flatten().map(Observation::of).collect())
    }

    /// Sends one request that reserves about `tokens` tokens. Being throttled is an outcome, not an error.
    ///
    /// # Errors
    /// If `tokens` is out of range, or the budget or the tester's time is over.
    pub fn make_bedrock_request(&mut self, tokens: u64) -> Result<Observation> {
        let reply = self.call(object([("make_bedrock_request", number(tokens))]))?;
        Ok(Observation::of(&reply))
    }

    /// Gives an observation the name under which charts and tables show it.
    ///
    /// # Errors
    /// If the trace cannot be written.
    pub fn log_result(&mut self, name: &str, observation: &Observation) -> Result<()> {
        let named = JsonValue::Array(vec![text(name), number(observation.index)]);
        self.call(object([("log_result", named)])).map(drop)
    }

    /// Runs the whole classic protocol, or what a resumed trace has left of it.
    ///
    /// # Errors
    /// As [`consume_tpm_quota`](Self::consume_tpm_quota).
    pub fn run_classic(&mut self) -> Result<()> {
        self.call(text("run_classic")).map(drop)
    }

    /// Runs the adaptive protocol; what was observed before counts.
    ///
    /// # Errors
    /// As [`consume_tpm_quota`](Self::consume_tpm_quota).
    pub fn run_adaptive(&mut self) -> Result<()> {
        self.call(text("run_adaptive")).map(drop)
    }

    /// A throttle for the stated quotas that knows what the observations so far show.
    ///
    /// # Errors
    /// If the stated quotas are out of range.
    pub fn throttle(&self) -> Result<Throttle> {
        let number = self.call(text("throttle"))?;
        Ok(Throttle { number: number.get::<f64>().map_or(0, |number| *number as u64) })
    }

    /// Is quiet for two minutes, and then for `minutes` minutes sends requests of about `tokens` tokens, one after the
    /// other: each when `throttle` lets it; or without one at once, and after a 429 as many clients do in 15 seconds,
    /// after another in 30, in 60, in 120.
    ///
    /// # Errors
    /// If a number is out of range, the budget or the tester's time is over, or the endpoint keeps failing.
    pub fn send_for(&mut self, minutes: f64, tokens: u64, throttle: Option<&Throttle>) -> Result<()> {
        let throttle = throttle.map_or(JsonValue::Null, |throttle| number(throttle.number));
        let how = vec![JsonValue::Number(minutes), number(tokens), throttle];
        self.call(object([("send_for", JsonValue::Array(how))])).map(drop)
    }

    /// Tokens admitted against time, for phases that are to be compared.
    pub fn goodput(&self, phases: &[&str]) -> Chart {
        let phases = JsonValue::Array(phases.iter().copied().map(text).collect());
        Chart::of(&or_its_error(self.call(object([("goodput", phases)]))))
    }

    /// What happened so far, by phase.
    pub fn summary(&self) -> Summary {
        Summary::of(&or_its_error(self.call(text("summary"))))
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
        self.call(object([("get", wanted)]))
    }

    fn call(&self, method: JsonValue) -> Result<JsonValue> {
        call(&object([("call", text("tester")), ("tester", number(self.number)), ("method", method)]))
    }
}

impl Drop for BedrockTpmTester {
    fn drop(&mut self) {
        // If the engine is gone, so is the tester.
        let _ = call(&object([("call", text("close")), ("tester", number(self.number))]));
    }
}
