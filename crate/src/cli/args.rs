use std::time::Duration;

use bedrock_tpm::{
    Admission, EmulatorConfig, Error, Mechanism, MechanismId, OtherTarget, Pools, QUOTAS, Refund,
    RejectedCost, Result, Settings, Target, Timeouts, Wording,
};
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args};
use serde_json::Value;

/// Tokens per minute of an emulator that is not told otherwise.
const EMULATED_TPM: u64 = 8_000;
/// An emulated minute then lasts a second.
const EMULATED_SCALE: u32 = 60;

/// Where requests go: the embedded emulator, or one of these.
#[derive(Args, Clone)]
pub(super) struct TargetArgs {
    /// Send to this Bedrock-compatible endpoint instead of the embedded emulator
    #[arg(long, value_name = "URL", conflicts_with = "aws")]
    pub endpoint_url: Option<String>,
    /// Send to real AWS, with the default credential and Region chain; asks before it spends
    #[arg(long)]
    pub aws: bool,
    /// Model id, inference profile or provisioned-throughput ARN [default: amazon.nova-pro-v1:0]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub model: Option<String>,
    /// AWS Region [default: from the environment or the profile]
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub region: Option<String>,
    /// How many times faster than real time the endpoint lives; loopback only [default: 60 embedded, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub time_scale: Option<u32>,
    /// Give a request up after so many seconds of real time
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub timeout: u64,
    /// Answer yes to every question
    #[arg(long)]
    pub yes: bool,
}

/// What is known of the quotas.
#[derive(Args, Clone, Copy)]
pub(super) struct QuotaArgs {
    /// Stated quota of tokens per minute [default for the emulator: 8000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(QUOTAS))]
    pub tpm: Option<u64>,
    /// Stated quota of requests per minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(QUOTAS))]
    pub rpm: Option<u64>,
}

/// What an emulator enforces; nothing that another endpoint could be told.
#[derive(Args, Clone)]
#[group(conflicts_with_all = ["endpoint_url", "aws"])]
pub(super) struct EmulatorArgs {
    /// The mechanism to enforce [default: drawn from --seed]
    #[arg(long, value_name = "ID")]
    pub mechanism: Option<MechanismId>,
    /// Length of a window in seconds [default: 60]
    #[arg(long, value_name = "S")]
    pub window_s: Option<f64>,
    /// Seconds past the full minute at which windows or ticks start [default: 0]
    #[arg(long, value_name = "S")]
    pub offset_s: Option<f64>,
    /// Capacity of a bucket [default: one minute's quota]
    #[arg(long, value_name = "N")]
    pub capacity: Option<u64>,
    /// Seconds between refills of a stepped bucket [default: 10]
    #[arg(long, value_name = "S")]
    pub tick_s: Option<f64>,
    /// Seconds in which an exponential decay forgets all but 1/e [default: 60]
    #[arg(long, value_name = "S")]
    pub time_constant_s: Option<f64>,
    /// What a rejected request consumes
    #[arg(long, value_name = "WHAT", default_value = "nothing")]
    pub rejected: RejectedCost,
    /// How much of a request must fit for it to be admitted
    #[arg(long, value_name = "WHAT", default_value = "whole")]
    pub admission: Admission,
    /// Traffic of others in the account, as a fraction of the quota
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0)]
    pub background: f64,
    /// Fraction of requests that fail with a 503
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0)]
    pub error_rate: f64,
    /// Fraction of requests that are throttled although they fit
    #[arg(long, value_name = "FRACTION", default_value_t = 0.0)]
    pub spurious_429: f64,
    /// Which requests share the quotas: all, or only those for the same model in the same Region
    #[arg(long, value_name = "WHICH", default_value = "one")]
    pub pools: Pools,
    /// Which quota a 429 names: the one that rejected, none, or another one
    #[arg(long, value_name = "HOW", default_value = "named")]
    pub wording: Wording,
    /// Whether admission reserves `max_tokens`; if not, output is charged at the end
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub reserves: bool,
    /// Quota of tokens per day
    #[arg(long, value_name = "N")]
    pub tpd: Option<u64>,
}

/// How requests are charged: what an emulator enforces, and a throttle assumes of any endpoint.
#[derive(Args, Clone, Copy, PartialEq)]
pub(super) struct ChargeArgs {
    /// When the unused part of a reservation comes back: at_end, never, or so many seconds after the end
    #[arg(long, value_name = "WHEN", default_value_t = ChargeArgs::USUAL.refund)]
    pub refund: Refund,
    /// Tokens that an output token counts for when a request is settled
    #[arg(long, value_name = "N", default_value_t = ChargeArgs::USUAL.burndown)]
    pub burndown: u64,
}

impl ChargeArgs {
    const USUAL: Self = Self { refund: Refund::AtEnd, burndown: 1 };

    /// For a measurement, which finds out what an endpoint does.
    ///
    /// # Errors
    /// A usage error if they are given.
    pub(super) fn refused(self) -> Result<()> {
        match self == Self::USUAL {
            true => Ok(()),
            false => Err(Error::usage(
                "--refund and --burndown are the emulator's: of another endpoint, --accounting measures them",
            )),
        }
    }
}

/// A second target, which may share the quota of the first: the same, but for what is given here.
#[derive(Args, Clone)]
pub(super) struct PairedArgs {
    /// Then tell whether this model or inference profile shares the quota
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub paired_model: Option<String>,
    /// Then tell whether this Region shares the quota
    #[arg(long, value_name = "REGION", value_parser = NonEmptyStringValueParser::new())]
    pub paired_region: Option<String>,
    /// Then tell whether this endpoint shares the quota
    #[arg(long, value_name = "URL")]
    pub paired_endpoint_url: Option<String>,
}

impl PairedArgs {
    /// The second target, if one is given.
    pub(super) fn other(&self) -> Option<OtherTarget> {
        let (model, region) = (self.paired_model.clone(), self.paired_region.clone());
        let other = OtherTarget { model, region, url: self.paired_endpoint_url.clone() };
        (other != OtherTarget::default()).then_some(other)
    }

    /// The second target, as a sentence goes on that names the first.
    pub(super) fn named(&self) -> String {
        let given = [&self.paired_model, &self.paired_region, &self.paired_endpoint_url];
        let given: Vec<_> = given.into_iter().flatten().map(String::as_str).collect();
        if given.is_empty() { String::new() } else { format!(", and to {}", given.join(" at ")) }
    }

    /// The flags that name the same second target again.
    pub(super) fn flags(&self) -> String {
        let flags = [
            ("--paired-model", &self.paired_model),
            ("--paired-region", &self.paired_region),
            ("--paired-endpoint-url", &self.paired_endpoint_url),
        ];
        flags.into_iter().filter_map(|(flag, value)| Some(format!(" {flag} {}", value.as_ref()?))).collect()
    }
}

impl TargetArgs {
    /// Whether the embedded emulator is the target.
    pub(super) fn is_embedded(&self) -> bool {
        !self.aws && self.endpoint_url.is_none()
    }

    pub(super) fn scale(&self) -> u32 {
        self.time_scale.unwrap_or(if self.is_embedded() { EMULATED_SCALE } else { 1 })
    }

    /// Where requests go, unless that is the embedded emulator.
    pub(super) fn target(&self) -> Option<Target> {
        let region = self.region.clone();
        match &self.endpoint_url {
            Some(url) => Some(Target::Url { url: url.clone(), region }),
            None if self.aws => Some(Target::Aws { region }),
            None => None,
        }
    }

    pub(super) fn model(&self) -> String {
        self.model.clone().unwrap_or_else(|| Settings::default().model)
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        Timeouts { attempt: Duration::from_secs(self.timeout), ..Timeouts::default() }
    }

    /// The flags that name the same target again.
    pub(super) fn flags(&self) -> String {
        match &self.endpoint_url {
            Some(url) => format!(" --endpoint-url {url}"),
            None if self.aws => " --aws".into(),
            None => String::new(),
        }
    }

    pub(super) fn settings(&self, quotas: QuotaArgs, seed: u64) -> Settings {
        let tpm = quotas.tpm.or_else(|| (self.is_embedded() && quotas.rpm.is_none()).then_some(EMULATED_TPM));
        Settings {
            model: self.model(),
            time_scale: self.scale(),
            timeouts: self.timeouts(),
            tpm,
            rpm: quotas.rpm,
            seed,
            ..Settings::default()
        }
    }
}

impl EmulatorArgs {
    /// What to enforce. Without quotas, 8,000 tokens per minute.
    pub(super) fn config(&self, quotas: QuotaArgs, charges: ChargeArgs, seed: u64) -> Result<EmulatorConfig> {
        let drawn = MechanismId::ALL[(seed % MechanismId::ALL.len() as u64) as usize];
        let id = self.mechanism.unwrap_or(drawn);
        let tpm = quotas.tpm.or_else(|| quotas.rpm.is_none().then_some(EMULATED_TPM));
        EmulatorConfig {
            tokens: tpm.map(|limit| self.shaped(Mechanism::per_minute(id, limit))).transpose()?,
            requests: quotas.rpm.map(|limit| self.shaped(Mechanism::per_minute(id, limit))).transpose()?,
            tokens_per_day: self.tpd,
            rejected: self.rejected,
            admission: self.admission,
            reserves: self.reserves,
            refund: charges.refund,
            burndown: charges.burndown,
            error_rate: self.error_rate,
            spurious_429: self.spurious_429,
            background: self.background,
            pools: self.pools,
            wording: self.wording,
            seed,
            ..EmulatorConfig::default()
        }
        .validated()
    }

    /// The mechanism with the parameters that were given, each of which it must have.
    fn shaped(&self, mechanism: Mechanism) -> Result<Mechanism> {
        let given = [
            ("--window-s", "window_s", self.window_s.map(Value::from)),
            ("--offset-s", "offset_s", self.offset_s.map(Value::from)),
            ("--capacity", "capacity", self.capacity.map(Value::from)),
            ("--tick-s", "tick_s", self.tick_s.map(Value::from)),
            ("--time-constant-s", "time_constant_s", self.time_constant_s.map(Value::from)),
        ];
        let mut shaped = serde_json::to_value(mechanism).unwrap_or_default();
        for (flag, name, value) in given {
            let Some(value) = value else { continue };
            if value.is_null() {
                return Err(Error::usage(format!("{flag} is not a finite number of seconds; give one")));
            }
            match shaped["parameters"].get_mut(name) {
                Some(parameter) => *parameter = value,
                None => {
                    return Err(Error::usage(format!("{} has no {flag}; leave it out", mechanism.id())));
                }
            }
        }
        let unreadable =
            |cause| Error::usage(format!("a parameter of the mechanism is out of range: {cause}"));
        serde_json::from_value(shaped).map_err(unreadable).and_then(Mechanism::validated)
    }
}
