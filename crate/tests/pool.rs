//! What several quotas do together.

use bedrock_tpm::{
    Admission, Limiter, Mechanism, MechanismId, Pool, PoolDecision, QuotaKind, RejectedCost, Timestamp,
};
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_nanos(1_752_585_515_000_000_000);

fn pair() -> impl Strategy<Value = (Mechanism, Mechanism)> {
    let mechanism = |limits: std::ops::Range<u64>| {
        (0..MechanismId::ALL.len(), limits)
            .prop_map(|(index, limit)| Mechanism::per_minute(MechanismId::ALL[index], limit))
    };
    (mechanism(1..9), mechanism(100..2_000))
}

fn pool((requests, tokens): (Mechanism, Mechanism), rejected: RejectedCost) -> Pool {
    Pool::new([(QuotaKind::Requests, requests), (QuotaKind::Tokens, tokens)], rejected, Admission::Whole)
}

proptest! {
    #[test]
    fn a_request_must_pass_both_quotas(
        quotas in pair(),
        steps in proptest::collection::vec((0.0..30.0_f64, 1..1_500_u64), 1..60),
    ) {
        let mut pool = pool(quotas, RejectedCost::Nothing);
        let (mut requests, mut tokens, mut now) = (quotas.0.limiter(), quotas.1.limiter(), START);
        for (gap_s, cost) in steps {
            now = now.plus_seconds(gap_s);
            let (by_requests, by_tokens) = (requests.check(now, 1), tokens.check(now, cost));
            let (passes_requests, passes_tokens) = (by_requests.is_admitted(), by_tokens.is_admitted());
            match pool.admit(now, cost) {
                PoolDecision::Admitted => {
                    prop_assert!(passes_requests && passes_tokens);
                    requests.charge(now, 1);
                    tokens.charge(now, cost);
                }
                PoolDecision::Throttled { by, retry_at } => {
                    let expected = if passes_requests { QuotaKind::Tokens } else { QuotaKind::Requests };
                    prop_assert!(!(passes_requests && passes_tokens));
                    prop_assert_eq!(by, expected);
                    prop_assert_eq!(retry_at.is_none(), cost > quotas.1.ceiling());
                    if let Some(at) = retry_at {
                        prop_assert_eq!(pool.check(at, cost), PoolDecision::Admitted);
                        // A bucket's level is a float: a millionth of a token early is not early.
                        let wait_s = at.seconds_since(now);
                        let early = now.plus_seconds((wait_s * 0.99).min(wait_s - 1e-3).max(0.0));
                        prop_assert_ne!(pool.check(early, cost), PoolDecision::Admitted);
                    }
                }
            }
        }
    }
}

#[test]
fn a_rejected_request_costs_what_was_asked_for() {
    let quotas = (
        Mechanism::per_minute(MechanismId::FixedWindow, 5),
        Mechanism::per_minute(MechanismId::FixedWindow, 1_000),
    );
    let left = |mut pool: Pool, tokens: u64| {
        (0..99).take_while(|_| pool.admit(START, tokens) == PoolDecision::Admitted).count()
    };
    // 400 of 1,000 tokens are used when a request for 700 comes.
    for (rejected, empty_requests, requests_of_150) in
        [(RejectedCost::Nothing, 4, 4), (RejectedCost::Request, 3, 3), (RejectedCost::Everything, 0, 0)]
    {
        let used = || {
            let mut pool = pool(quotas, rejected);
            assert_eq!(pool.admit(START, 400), PoolDecision::Admitted);
            let next_minute = Some(START.next_second(0.0));
            let throttled = PoolDecision::Throttled { by: QuotaKind::Tokens, retry_at: next_minute };
            assert_eq!(pool.admit(START, 700), throttled);
            pool
        };
        assert_eq!(left(used(), 0), empty_requests, "{rejected:?}");
        assert_eq!(left(used(), 150), requests_of_150, "{rejected:?}");
    }
}

#[test]
fn settling_replaces_the_reservation_by_what_was_used() {
    let quotas = (
        Mechanism::per_minute(MechanismId::SlidingLog, 9),
        Mechanism::per_minute(MechanismId::SlidingLog, 1_000),
    );
    for (actual, left) in [(100, 900), (800, 200), (950, 50)] {
        let mut pool = pool(quotas, RejectedCost::Nothing);
        assert_eq!(pool.admit(START, 800), PoolDecision::Admitted);
        pool.settle(START.plus_seconds(1.0), START, 800, actual);
        let now = START.plus_seconds(2.0);
        assert_eq!(pool.check(now, left), PoolDecision::Admitted);
        assert_ne!(pool.check(now, left + 1), PoolDecision::Admitted);
    }
}

#[test]
fn an_empty_pool_admits_everything() {
    let mut pool = Pool::new([], RejectedCost::Everything, Admission::Whole);
    assert_eq!(pool.admit(START, u64::MAX), PoolDecision::Admitted);
}

#[test]
fn admission_until_exhausted_lets_one_request_overdraw() {
    let bucket = Mechanism::per_minute(MechanismId::TokenBucket, 600);
    let quotas = [(QuotaKind::Tokens, bucket)];
    let mut pool = Pool::new(quotas, RejectedCost::Nothing, Admission::UntilExhausted);
    assert_eq!(pool.admit(START, 599), PoolDecision::Admitted);
    assert_eq!(pool.admit(START, 301), PoolDecision::Admitted);
    // 300 are owed: 30 s at 10 a second, and a tenth of one for a first token.
    assert_ne!(pool.admit(START.plus_seconds(30.05), 1), PoolDecision::Admitted);
    assert_eq!(pool.admit(START.plus_seconds(30.15), 500), PoolDecision::Admitted);
}
