//! The adaptive protocol on the emulator, in virtual time.

use std::sync::Arc;

use bedrock_tpm::protocol::Adaptive;
use bedrock_tpm::{
    BedrockTpmTester, Binding, Clock, Conclusion, Decision, Emulator, EmulatorConfig, Limiter, Mechanism,
    MechanismId, Outcome, QuotaKind, RejectedCost, Result, Settings, SlidingCounter, ThrottleMessage,
    Timestamp, Verdict, Wording,
};

const TPM: u64 = 8_000;

/// Measures `mechanism`, with no more tokens than `budget`.
async fn measured(mechanism: Mechanism, budget: Option<u64>) -> Result<BedrockTpmTester> {
    let emulator = EmulatorConfig { tokens: Some(mechanism), seed: 5, ..Default::default() };
    measured_on(emulator, Settings { tpm: Some(TPM), budget_tokens: budget, ..Default::default() }).await
}

async fn measured_on(emulator: EmulatorConfig, settings: Settings) -> Result<BedrockTpmTester> {
    let clock = clock();
    followed(BedrockTpmTester::simulated(emulator, clock, settings)?, clock).await
}

async fn followed(mut tester: BedrockTpmTester, clock: Clock) -> Result<BedrockTpmTester> {
    Adaptive::new(tester.settings(), clock.now())?.run(&mut tester).await?;
    Ok(tester)
}

fn clock() -> Clock {
    Clock::virtual_from(Timestamp::EPOCH.plus_seconds(86_417.0))
}

#[tokio::test(start_paused = true)]
async fn every_mechanism_is_named() -> Result<()> {
    for id in MechanismId::ALL {
        let tester = measured(Mechanism::per_minute(id, TPM), None).await?;
        let verdict = tester.verdict();
        assert_eq!(verdict.verdict, Conclusion::Mechanism(id), "{verdict}");
        assert_eq!(verdict.binding.id(), "tokens", "{verdict}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_never_passed() -> Result<()> {
    let tester = measured(Mechanism::per_minute(MechanismId::FixedWindow, TPM), Some(10_000)).await?;
    let spent: u64 = tester.trace().observations().iter().filter_map(|o| o.settled(1)).sum();
    assert!((1..=10_000).contains(&spent), "{spent}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn same_seed_same_probes() -> Result<()> {
    let bucket = Mechanism::per_minute(MechanismId::TokenBucket, TPM);
    let probes = |tester: &BedrockTpmTester| -> Vec<_> {
        tester.trace().observations().iter().map(|o| (o.sent, o.tokens_estimated, o.status)).collect()
    };
    assert_eq!(probes(&measured(bucket, None).await?), probes(&measured(bucket, None).await?));
    Ok(())
}

/// It takes twenty requests in a row until the first of them tells anything.
#[tokio::test(start_paused = true)]
async fn a_quota_of_twenty_requests() -> Result<()> {
    const RPM: u64 = 20;
    for id in [MechanismId::AnchoredWindow, MechanismId::SlidingLog, MechanismId::SlidingCounter] {
        let requests = Some(Mechanism::per_minute(id, RPM));
        let emulator = EmulatorConfig { tokens: None, requests, seed: 5, ..Default::default() };
        let settings = Settings { rpm: Some(RPM), ..Default::default() };
        let verdict = measured_on(emulator, settings).await?.verdict();
        assert_eq!(verdict.verdict, Conclusion::Mechanism(id), "{verdict}");
        assert_eq!(verdict.binding, Binding::Quota(QuotaKind::Requests), "{verdict}");
    }
    Ok(())
}

/// Where rejected requests count, those do not that were rejected for another reason than the quota.
#[tokio::test(start_paused = true)]
async fn spurious_rejections_do_not_count() -> Result<()> {
    for id in [MechanismId::AnchoredWindow, MechanismId::SlidingLog, MechanismId::ExponentialDecay] {
        for seed in 1..=3 {
            let tokens = Some(Mechanism::per_minute(id, TPM));
            let rejected = RejectedCost::Everything;
            let emulator =
                EmulatorConfig { tokens, rejected, spurious_429: 0.05, seed, ..Default::default() };
            let settings = Settings { tpm: Some(TPM), ..Default::default() };
            let verdict = measured_on(emulator, settings).await?.verdict();
            assert_eq!(verdict.verdict, Conclusion::Mechanism(id), "seed {seed}: {verdict}");
        }
    }
    Ok(())
}

fn says_that_words_are_wrong(verdict: &Verdict) -> bool {
    verdict.warnings.iter().any(|warning| warning.contains("words about another quota"))
}

/// Each rejection says which of them it was by; whichever the protocol meets are found.
#[tokio::test(start_paused = true)]
async fn two_quotas_at_once() -> Result<()> {
    const RPM: u64 = 4;
    let mut met_both = 0;
    for (id, seed) in MechanismId::ALL.into_iter().zip(1..) {
        let [tokens, requests] = [TPM, RPM].map(|limit| Some(Mechanism::per_minute(id, limit)));
        let emulator = EmulatorConfig { tokens, requests, seed, ..Default::default() };
        let settings = Settings { tpm: Some(TPM), rpm: Some(RPM), seed, ..Default::default() };
        let tester = measured_on(emulator, settings).await?;
        let verdict = tester.verdict();
        assert_eq!(verdict.verdict, Conclusion::Mechanism(id), "{verdict}");
        assert!(!says_that_words_are_wrong(&verdict), "{verdict}");
        let rejected =
            |by| tester.trace().observations().iter().any(|o| o.outcome() == Outcome::Throttled(by));
        let (kind, other, by_other) = match verdict.binding {
            Binding::Quota(QuotaKind::Tokens) => {
                (QuotaKind::Tokens, QuotaKind::Requests, ThrottleMessage::Requests)
            }
            _ => (QuotaKind::Requests, QuotaKind::Tokens, ThrottleMessage::Tokens),
        };
        assert_eq!(verdict.binding, Binding::Quota(kind), "{verdict}");
        assert_eq!(verdict.besides, rejected(by_other).then_some(other), "{verdict}");
        met_both += usize::from(verdict.besides.is_some());
    }
    assert!(met_both > 3, "both quotas rejected in {met_both} runs only");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn wrong_words_are_found_out() -> Result<()> {
    let tokens = Some(Mechanism::per_minute(MechanismId::TokenBucket, TPM));
    let emulator = EmulatorConfig { tokens, wording: Wording::Swapped, seed: 5, ..Default::default() };
    let settings = Settings { tpm: Some(TPM), ..Default::default() };
    let verdict = measured_on(emulator, settings).await?.verdict();
    assert_eq!(verdict.binding, Binding::Quota(QuotaKind::Tokens), "{verdict}");
    assert!(says_that_words_are_wrong(&verdict), "{verdict}");
    Ok(())
}

/// A measurement of an emulator whose time runs faster, say.
#[tokio::test(start_paused = true)]
async fn a_much_larger_quota_than_stated_is_pointed_out() -> Result<()> {
    let points_it_out = |verdict: &Verdict| verdict.warnings.iter().any(|it| it.contains("that were stated"));
    for (times, expected) in [(2, false), (8, true)] {
        let verdict =
            measured(Mechanism::per_minute(MechanismId::TokenBucket, times * TPM), None).await?.verdict();
        assert_eq!(verdict.verdict, Conclusion::Mechanism(MechanismId::TokenBucket), "{verdict}");
        assert_eq!(points_it_out(&verdict), expected, "{verdict}");
    }
    Ok(())
}

/// A counter of `TPM` whose windows begin with a request, rejected ones too: to be told of all. Pingora has one.
#[derive(Debug)]
struct Begun {
    /// Its windows are on the clock, so it is told the time that has passed in windows.
    counter: SlidingCounter,
    began: Timestamp,
    counted: Timestamp,
}

impl Begun {
    const WINDOW_S: f64 = 60.0;

    fn new() -> Self {
        let counter = SlidingCounter::new(TPM, Self::WINDOW_S, 0.0);
        Self { counter, began: Timestamp::EPOCH, counted: Timestamp::EPOCH }
    }

    /// What the counter takes for `now`, and whether a window begins.
    fn counted(&self, now: Timestamp) -> (Timestamp, bool) {
        let elapsed_s = now.seconds_since(self.began);
        let windows = (elapsed_s / Self::WINDOW_S).floor().min(2.0);
        let counted_s = if windows == 0.0 { elapsed_s } else { windows * Self::WINDOW_S };
        (self.counted.plus_seconds(counted_s), windows > 0.0)
    }
}

impl Limiter for Begun {
    fn check(&self, now: Timestamp, cost: u64) -> Decision {
        match self.counter.check(self.counted(now).0, cost) {
            Decision::Admitted => Decision::Admitted,
            Decision::Throttled { .. } => Decision::Throttled { retry_at: None },
        }
    }

    fn charge(&mut self, now: Timestamp, cost: u64) {
        let (counted, begins) = self.counted(now);
        if begins {
            (self.began, self.counted) = (now, counted);
        }
        if self.counter.check(counted, cost).is_admitted() {
            self.counter.charge(counted, cost);
        }
    }

    fn refund(&mut self, now: Timestamp, charged_at: Timestamp, amount: u64) {
        let since_s = now.seconds_since(charged_at);
        let counted = self.counted(now).0;
        self.counter.refund(counted, counted.plus_seconds(-since_s), amount);
    }

    fn remaining(&self, now: Timestamp) -> f64 {
        self.counter.remaining(self.counted(now).0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_counter_whose_windows_begin_with_a_request() -> Result<()> {
    for seed in 1..=3 {
        let tokens = Some(Mechanism::per_minute(MechanismId::SlidingCounter, TPM));
        let rejected = RejectedCost::Everything;
        let config = EmulatorConfig { tokens, rejected, background: 0.05, seed, ..Default::default() };
        let clock = clock();
        let limiter: Box<dyn Limiter + Send> = Box::new(Begun::new());
        let emulator = Emulator::enforcing(config, vec![(QuotaKind::Tokens, limiter)], clock)?;
        let settings = Settings { tpm: Some(TPM), seed, ..Default::default() };
        let tester = BedrockTpmTester::simulated_by(Arc::new(emulator), settings)?;
        let verdict = followed(tester, clock).await?.verdict();
        assert_eq!(verdict.verdict, Conclusion::Mechanism(MechanismId::SlidingCounter), "{verdict}");
    }
    Ok(())
}
