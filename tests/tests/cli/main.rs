//! The real program, as users run it: whatever it is given, a clear answer, the right exit status, nothing lost.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod bad_input;
mod batch;
mod endpoints;
mod measure;
mod resume;
mod traces;

/// Exit statuses, as the help names them.
const VERDICT: i32 = 0;
const FAILURE: i32 = 1;
const WRONG_USAGE: i32 = 2;
const INCONCLUSIVE: i32 = 3;

/// The quickest run with a report. It cannot tell what seed 1 makes the emulator enforce.
const CLASSIC: [&str; 4] = ["measure", "--protocol=classic", "--json", "--seed=1"];
