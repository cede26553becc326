//! Numbers and times as people read them: shared by verdict, chart and report.

use crate::{Observation, Timestamp};

/// `8000` as `8,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 request`, `12 requests`.
pub(crate) fn requests(count: u64) -> String {
    format!("{} request{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A probability as a percentage that never rounds to a certainty: `52 %`, `99.3 %`, `>99.9 %`, `<0.1 %`.
pub(crate) fn percent(probability: f64) -> String {
    let percent = probability * 100.0;
    match percent {
        _ if percent > 99.9 => ">99.9 %".into(),
        _ if percent < 0.1 => "<0.1 %".into(),
        _ if (1.0..99.0).contains(&percent) => format!("{percent:.0} %"),
        _ => format!("{percent:.1} %"),
    }
}

/// `a token bucket`, `an exponential decay`.
pub(crate) fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// Somebody else's words, fit for a terminal: in one line, without control characters.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The days of a span, with the time zone. Imported times without a date start at the epoch.
pub(crate) fn days(first: Timestamp, last: Timestamp) -> String {
    let (first, last) = (first.to_chrono().date_naive(), last.to_chrono().date_naive());
    if first == Timestamp::EPOCH.to_chrono().date_naive() {
        "date and time zone not in the trace".into()
    } else if first == last {
        format!("{first} UTC")
    } else {
        format!("{first} to {last} UTC")
    }
}

/// The values of a field, each once and in order; empty ones left out.
pub(crate) fn distinct<'a>(
    observations: &'a [Observation],
    field: impl Fn(&'a Observation) -> &'a str,
) -> String {
    let mut values: Vec<&str> = Vec::new();
    for value in observations.iter().map(field) {
        if !value.is_empty() && !values.contains(&value) {
            values.push(value);
        }
    }
    values.join(", ")
}

/// `60 times faster than real time`, or nothing for real time.
pub(crate) fn time_scale(observations: &[Observation]) -> Option<String> {
    let scale = observations.iter().map(|observation| observation.time_scale).max()?;
    (scale > 1).then(|| format!("{scale} times faster than real time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(["0", "999", "1,000", "1,234,567"], [0, 999, 1_000, 1_234_567].map(grouped)[..]);
        let probabilities = [1.0, 0.9995, 0.995, 0.52, 0.004, 0.0];
        let texts = [">99.9 %", ">99.9 %", "99.5 %", "52 %", "0.4 %", "<0.1 %"];
        assert_eq!(texts, probabilities.map(percent)[..]);
    }
}
