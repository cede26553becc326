use bedrock_tpm::blocking::BedrockTpmTester;
use bedrock_tpm::{
    Assumptions, Chart, GoodputChart, Observation, Report, RequestTable, Result, Trace, Verdict, analyze,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::show::{observed, shown, with_forms};
use crate::start::{Start, close, keep, open, throttle, with_tester};

/// What a cell may ask for.
#[derive(Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
enum Call {
    Open(Start),
    Close { tester: u64 },
    Tester { tester: u64, method: Method },
    Trace { path: String, tpm: Option<u64>, rpm: Option<u64>, wanted: Wanted },
}

/// What a tester does.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    BeginPhase(String),
    StopAfter(Option<f64>),
    WaitUntilSecond(u32),
    ConsumeTpmQuota(u64, u64),
    MakeBedrockRequest(u64),
    LogResult(String, usize),
    RunClassic,
    RunAdaptive,
    Throttle,
    SendFor(f64, u64, Option<usize>),
    Goodput(Vec<String>),
    Summary,
    Get(Wanted),
}

/// What can be made of observations.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    Verdict,
    Chart,
    Requests,
    Report(String),
}

/// Answers a call. The error is one line that says what to do next.
pub fn answer(request: &[u8]) -> std::result::Result<Value, String> {
    let call: Call = serde_json::from_slice(request).map_err(|cause| {
        format!("the cells' library and its engine do not fit together ({cause}); run notebooks/start again")
    })?;
    let answered = match call {
        Call::Open(start) => open(start).map(Value::from),
        Call::Close { tester } => {
            close(tester);
            Ok(Value::Null)
        }
        Call::Tester { tester, method } => with_tester(tester, |tester| method.of(tester)),
        Call::Trace { path, tpm, rpm, wanted } => of_trace(&path, (tpm, rpm), &wanted),
    };
    answered.map_err(|error| error.to_string())
}

impl Method {
    fn of(self, tester: &mut BedrockTpmTester) -> Result<Value> {
        match self {
            Self::BeginPhase(phase) => tester.begin_phase(&phase),
            Self::StopAfter(seconds) => tester.stop_after(seconds),
            Self::WaitUntilSecond(second) => {
                return tester.wait_until_second(second).map(|at| at.clock_text().into());
            }
            Self::ConsumeTpmQuota(total, chunk) => {
                let seen = tester.consume_tpm_quota(total, chunk)?;
                let first = tester.trace().observations().len() - seen.len();
                return Ok(seen.iter().zip(first..).map(|(one, index)| observed(one, index)).collect());
            }
            Self::MakeBedrockRequest(tokens) => {
                let seen = tester.make_bedrock_request(tokens)?;
                return Ok(observed(&seen, tester.trace().observations().len() - 1));
            }
            Self::LogResult(name, index) => {
                let seen = tester.trace().observations().get(index).cloned();
                seen.map_or(Ok(()), |seen| tester.log_result(&name, &seen))?;
            }
            Self::RunClassic => tester.run_classic()?,
            Self::RunAdaptive => tester.run_adaptive()?,
            Self::Throttle => return tester.throttle().map(|throttle| keep(throttle).into()),
            Self::SendFor(minutes, tokens, number) => {
                let throttle = number.map(throttle).transpose()?;
                tester.send_for(minutes, tokens, throttle.as_ref())?;
            }
            Self::Goodput(phases) => {
                let phases: Vec<_> = phases.iter().map(String::as_str).collect();
                let observations = tester.trace().observations();
                let chart = GoodputChart::new(observations, &phases, Assumptions::noted(observations).tpm);
                return Ok(with_forms(json!({}), chart.forms()));
            }
            Self::Summary => return Ok(with_forms(json!({}), tester.summary().forms())),
            Self::Get(wanted) => return wanted.of(tester.trace().observations(), || tester.verdict()),
        }
        Ok(Value::Null)
    }
}

impl Wanted {
    fn of(&self, observations: &[Observation], verdict: impl FnOnce() -> Verdict) -> Result<Value> {
        Ok(match self {
            Self::Verdict => shown(&verdict()),
            Self::Chart => with_forms(json!({}), Chart::new(observations, Some(&verdict())).forms()),
            Self::Requests => with_forms(json!({}), RequestTable::new(observations).forms()),
            Self::Report(path) => {
                Report::new(observations, verdict(), false).save(path)?;
                Value::Null
            }
        })
    }
}

/// Of a trace file, without a tester. Quotas that are not stated are those that were when the trace was made.
fn of_trace(path: &str, (tpm, rpm): (Option<u64>, Option<u64>), wanted: &Wanted) -> Result<Value> {
    let trace = Trace::load(path)?;
    let noted = Assumptions::noted(trace.observations());
    let assumptions = Assumptions { tpm: tpm.or(noted.tpm), rpm: rpm.or(noted.rpm), ..noted }.validated()?;
    wanted.of(trace.observations(), || analyze(trace.observations(), &assumptions))
}
