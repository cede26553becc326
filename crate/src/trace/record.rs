use chrono::{NaiveTime, Timelike};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Observation, without_account_ids};
use crate::text::one_line;
use crate::{Error, Result, Timestamp};

const DAY_S: f64 = 86_400.0;
/// Times and amounts beyond these are taken for corruption: they would also overflow what is computed from them.
const LATEST: Timestamp = Timestamp::from_nanos(7_258_118_400_000_000_000);
pub(crate) const MOST_TOKENS: u64 = 1_000_000_000_000;
const MOST_RETRIES: u64 = 1_000;

/// One line of a trace as it stands in the file: ours, or an imported one that lacks most fields.
#[derive(Deserialize)]
pub(super) struct Record {
    phase: Option<String>,
    name: Option<String>,
    scheduled: Option<Timestamp>,
    sent: Option<Timestamp>,
    finished: Option<Timestamp>,
    tokens_estimated: Option<u64>,
    max_tokens: Option<u64>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    status: Option<u16>,
    error_type: Option<String>,
    error: Option<String>,
    request_id: Option<String>,
    model: Option<String>,
    region: Option<String>,
    endpoint: Option<String>,
    time_scale: Option<u32>,
    hidden_retries: Option<u32>,
    /// Imported: `HH:MM:SS` without a date.
    local_time: Option<NaiveTime>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl Record {
    /// Fills in what is missing. A time that is known to `time_resolution_s` only (1 s unless the line says
    /// otherwise) becomes an interval of that length. `previous` puts times without a date in order.
    ///
    /// # Errors
    /// A trace error if a time or an outcome is missing, or a value is out of range.
    pub(super) fn into_observation(self, previous: Option<Timestamp>) -> Result<Observation> {
        self.check_ranges()?;
        let resolution_s = match self.extra.get("time_resolution_s") {
            Some(value) => value.as_f64().filter(|s| (0.0..=60.0).contains(s)).ok_or_else(|| {
                Error::trace(format!("time_resolution_s {value} is not a number of seconds from 0 to 60"))
            })?,
            None if self.local_time.is_some() => 1.0,
            None => 0.0,
        };
        let sent = match (self.sent, self.local_time) {
            (Some(sent), _) => sent,
            (None, Some(time)) => on_a_day(time, previous),
            (None, None) => return Err(Error::trace("neither `sent` nor `local_time` says when it left")),
        };
        let finished = self.finished.unwrap_or(sent).max(sent.plus_seconds(resolution_s));
        if finished.seconds_since(sent) > DAY_S {
            return Err(Error::trace(format!(
                "`finished` {finished} is more than a day after `sent` {sent}"
            )));
        }
        if self.status.is_none() && self.error_type.is_none() && self.error.is_none() {
            return Err(Error::trace("neither `status` nor `error` says what came of it"));
        }
        Ok(Observation {
            phase: shown(self.phase),
            name: shown(self.name),
            scheduled: self.scheduled,
            sent,
            finished,
            tokens_estimated: self.tokens_estimated.or(self.input_tokens).unwrap_or_default(),
            max_tokens: self.max_tokens.unwrap_or_default(),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            status: self.status,
            error_type: self.error_type.as_deref().map(one_line),
            error: self.error.map(|error| shown(Some(error))),
            request_id: self.request_id.as_deref().map(one_line),
            model: shown(self.model),
            region: shown(self.region),
            endpoint: self.endpoint.map_or_else(|| "imported".into(), |endpoint| shown(Some(endpoint))),
            time_scale: self.time_scale.unwrap_or(1),
            hidden_retries: self.hidden_retries.unwrap_or_default(),
            extra: self.extra,
        })
    }

    fn check_ranges(&self) -> Result<()> {
        for (name, at) in [("scheduled", self.scheduled), ("sent", self.sent), ("finished", self.finished)] {
            if at.is_some_and(|at| !(Timestamp::EPOCH..LATEST).contains(&at)) {
                return Err(Error::trace(format!("`{name}` is not a time from 1970 to 2199")));
            }
        }
        let amounts = [
            ("tokens_estimated", self.tokens_estimated, MOST_TOKENS),
            ("max_tokens", self.max_tokens, MOST_TOKENS),
            ("input_tokens", self.input_tokens, MOST_TOKENS),
            ("output_tokens", self.output_tokens, MOST_TOKENS),
            ("hidden_retries", self.hidden_retries.map(u64::from), MOST_RETRIES),
        ];
        match amounts.into_iter().find(|(_, amount, most)| amount.is_some_and(|amount| amount > *most)) {
            Some((name, _, most)) => Err(Error::trace(format!("`{name}` is more than {most}"))),
            None => Ok(()),
        }
    }
}

/// A text as it may be shown, empty if there is none.
fn shown(text: Option<String>) -> String {
    text.map(|text| without_account_ids(&one_line(&text))).unwrap_or_default()
}

/// A time of day on the first day, from the epoch on, that does not put it before `previous`.
fn on_a_day(time: NaiveTime, previous: Option<Timestamp>) -> Timestamp {
    let midnight_s = f64::from(time.num_seconds_from_midnight()) + f64::from(time.nanosecond()) / 1e9;
    let first = Timestamp::EPOCH.plus_seconds(midnight_s);
    let days = previous.map_or(0.0, |previous| (previous.seconds_since(first) / DAY_S).ceil().max(0.0));
    first.plus_seconds(days * DAY_S)
}
