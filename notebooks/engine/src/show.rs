use bedrock_tpm::blocking::BedrockTpmTester;
use bedrock_tpm::{Event, Forms, Observation, Verdict};
use serde_json::{Value, json};

/// A wait shorter than this is not announced, in real seconds.
const SHORT_WAIT_S: f64 = 2.0;

/// What a cell keeps of an observation, the one at `index` of the trace.
pub fn observed(seen: &Observation, index: usize) -> Value {
    json!({
        "index": index,
        "name": seen.name,
        "status": seen.status,
        "tokens": seen.reserved(),
        "latency_s": seen.finished.seconds_since(seen.sent),
        "is_admitted": seen.outcome().is_admitted(),
        "is_throttled": seen.outcome().is_throttled(),
        "forms": [("text/plain", seen.to_string())],
    })
}

/// What a cell keeps of a verdict: the document that `--json` prints, and how it looks.
pub fn shown(verdict: &Verdict) -> Value {
    let mut document = serde_json::to_value(verdict).unwrap_or_default();
    document["headline"] = verdict.headline().into();
    let separation = verdict.separation.map(|separation| separation.to_string());
    document["separation_sentence"] =
        separation.unwrap_or_else(|| "No single request would tell the two likeliest apart.".into()).into();
    with_forms(document, verdict.forms())
}

/// `document` with the forms in which it is displayed.
pub fn with_forms(mut document: Value, forms: Forms) -> Value {
    document["forms"] = json!(forms);
    document
}

/// Prints a line for each request and each wait, where time passes `speed` times faster than for the reader: a cell cannot
/// update a line in place.
#[expect(clippy::print_stdout, reason = "a cell shows what is printed")]
pub fn with_progress(mut tester: BedrockTpmTester, speed: f64) -> BedrockTpmTester {
    let mut last = String::new();
    let mut waiting = None;
    tester.on_event(move |event| match event {
        Event::Phase(phase) if *phase == last => {}
        Event::Phase(phase) => {
            println!("{phase}");
            last.clone_from(phase);
        }
        Event::Waiting { from, until } => {
            let seconds = until.seconds_since(*from) / speed;
            let is_news = waiting.replace(*until) != Some(*until);
            if seconds >= SHORT_WAIT_S && is_news {
                println!("  waiting {seconds:.0} s, until {}", until.clock_text());
            } else if seconds >= SHORT_WAIT_S {
                println!("  {seconds:.0} s left");
            }
        }
        Event::Observed(observation) => println!("  {observation}"),
    });
    tester
}
