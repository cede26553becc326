//! Nobody waits.

use std::hint::black_box;

use bedrock_tpm::{Clock, Mechanism, MechanismId, QuotaKind, Throttle, ThrottleSettings};
use governor::RateLimiter;
use governor::clock::MonotonicClock;
use throttle_net::SlidingWindowLog;

use super::{AMPLE, RESERVED, Subject, ample, check_n, governor, median, print, ratio, send, stated, timed};

/// Requests of one limiter, none of which waits: as many as a busy client sends in a few minutes.
const REQUESTS: u64 = 8_192;
/// A quota that they do not use up, but of which too little is left over for the throttle to give out parts of it.
const TOO_SMALL: u32 = 16_000_000;
/// Tokens that a request does not use of what it reserves.
const UNUSED: u32 = 300;

pub(crate) fn subjects() -> Vec<Subject> {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let ours = |name: &str, settings: ThrottleSettings| {
        let runtime = runtime();
        Subject::new(name, REQUESTS, move || {
            let throttle = Throttle::new(settings.clone(), Clock::system()).unwrap();
            timed(&runtime, async {
                for _ in 0..REQUESTS {
                    send(&throttle).await;
                }
            })
        })
    };
    let [one, slow, two, bucket_of_net, log_of_net, two_of_net] = [0; 6].map(|_| runtime());
    vec![
        ours("ours, tokens", stated(true, false)),
        ours("ours, tokens known to be a bucket", bucket(AMPLE)),
        ours("ours, tokens of a bucket that is not given out in parts", bucket(TOO_SMALL)),
        ours("ours, tokens and requests", stated(true, true)),
        Subject::new("governor, one limiter", REQUESTS, move || {
            let tokens = governor();
            timed(&one, async { (0..REQUESTS).for_each(|_| check_n(&tokens, RESERVED)) })
        }),
        Subject::new("governor, one limiter on the system's clock", REQUESTS, move || {
            let tokens = RateLimiter::direct_with_clock(ample(), MonotonicClock);
            timed(&slow, async { (0..REQUESTS).for_each(|_| check_n(&tokens, RESERVED)) })
        }),
        Subject::new("governor, two limiters", REQUESTS, move || {
            let (tokens, requests) = (governor(), governor());
            timed(&two, async {
                for _ in 0..REQUESTS {
                    check_n(&requests, 1);
                    check_n(&tokens, RESERVED);
                }
            })
        }),
        Subject::new("throttle-net, bucket and refund", REQUESTS, move || {
            let tokens = throttle_net::Throttle::per_minute(AMPLE);
            timed(&bucket_of_net, async {
                for _ in 0..REQUESTS {
                    tokens.acquire_with_cost(black_box(RESERVED)).await.unwrap();
                    tokens.refund(UNUSED);
                }
            })
        }),
        Subject::new("throttle-net, log and refund", REQUESTS, move || {
            let tokens = SlidingWindowLog::per_minute(AMPLE);
            timed(&log_of_net, async {
                for _ in 0..REQUESTS {
                    tokens.acquire_with_cost(black_box(RESERVED)).await.unwrap();
                    tokens.refund(UNUSED);
                }
            })
        }),
        Subject::new("throttle-net, two logs and refund", REQUESTS, move || {
            let (tokens, requests) =
                (SlidingWindowLog::per_minute(AMPLE), SlidingWindowLog::per_minute(AMPLE));
            timed(&two_of_net, async {
                for _ in 0..REQUESTS {
                    requests.acquire().await.unwrap();
                    tokens.acquire_with_cost(black_box(RESERVED)).await.unwrap();
                    tokens.refund(UNUSED);
                }
            })
        }),
    ]
}

pub(crate) fn figures(times: &[Vec<f64>]) {
    let [tokens, bucket, small, both, one, slow, two, net_bucket, net_log, net_logs] = times else {
        unreachable!("ten subjects")
    };
    print("acquire + settle, tokens / governor's check_n", "<= 2", ratio(tokens, one));
    print("acquire + settle, tokens / check_n on the system's clock", "", ratio(tokens, slow));
    print("acquire + settle, tokens known as a bucket / check_n", "", ratio(bucket, one));
    print("acquire + settle, tokens, not given out in parts / check_n", "", ratio(small, one));
    print("acquire + settle, tokens and requests / check_n", "", ratio(both, one));
    print("acquire + settle, tokens and requests / two check_n", "<= 2", ratio(both, two));
    print("acquire + settle, tokens / throttle-net's bucket", "< 1", ratio(tokens, net_bucket));
    print("acquire + settle, tokens / throttle-net's log", "< 1", ratio(tokens, net_log));
    print("acquire + settle, tokens and requests / two of its logs", "< 1", ratio(both, net_logs));
    print("nanoseconds: ours, tokens", "", median(tokens.clone()));
    print("nanoseconds: governor's check_n", "", median(one.clone()));
}

fn bucket(tpm: u32) -> ThrottleSettings {
    let quota = Mechanism::per_minute(MechanismId::TokenBucket, u64::from(tpm));
    ThrottleSettings { quotas: vec![(QuotaKind::Tokens, quota)], ..stated(false, false) }
}
