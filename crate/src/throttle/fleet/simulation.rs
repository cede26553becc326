//! A fleet on a store that fails in every way, in virtual time: never above the quota, and it goes on.

mod store;
mod world;

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use self::store::Server;
use self::world::{Process, START, World};
use super::state::LEASE_S;
use crate::{Clock, EmulatorConfig, Mechanism, MechanismId, QuotaKind, ThrottleSettings};

fn in_virtual_time<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(test)
}

fn settings(quotas: Vec<(QuotaKind, Mechanism)>) -> ThrottleSettings {
    ThrottleSettings { quotas, clock_error_s: 0.5, ..ThrottleSettings::stated(None, None) }
}

fn requests(quota: Mechanism, latency_s: (f64, f64)) -> (ThrottleSettings, EmulatorConfig) {
    let config = EmulatorConfig { requests: Some(quota), latency_s, ..EmulatorConfig::default() };
    (settings(vec![(QuotaKind::Requests, quota)]), config)
}

/// What happens to the fleet.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A process dies, another takes its place.
    Crash(usize),
    /// The server is emptied.
    Forgets,
    /// The server saves what it keeps.
    Saves,
    /// The server restarts with what it saved last, after so many seconds.
    Restarts(f64),
    /// The server cannot be reached for so many seconds.
    StaysAway(f64),
}

fn events() -> impl Strategy<Value = Vec<(f64, Event)>> {
    let event = prop_oneof![
        3 => (0..8_usize).prop_map(Event::Crash),
        1 => Just(Event::Forgets),
        1 => Just(Event::Saves),
        1 => (0.0..20.0_f64).prop_map(Event::Restarts),
        1 => (0.0..20.0_f64).prop_map(Event::StaysAway),
    ];
    proptest::collection::vec((0.0..60.0_f64, event), 0..10)
}

fn mechanisms(limits: std::ops::Range<u64>) -> impl Strategy<Value = Mechanism> {
    (0..MechanismId::ALL.len(), limits)
        .prop_map(|(id, limit)| Mechanism::per_minute(MechanismId::ALL[id], limit))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_fleet_is_never_rejected_and_goes_on(
        (fewer, more) in (mechanisms(4..60), mechanisms(8_000..40_000)),
        processes in proptest::collection::vec(
            proptest::collection::vec((1..1_000_u64, 1..1_000_u64, 0.0..20.0_f64), 1..4), 1..8),
        events in events(),
        // A request of a process that dies has to be over before the lease is.
        latency_s in (0.0..1.0_f64, 0.0..2.0_f64).prop_map(|(least, more)| (least, least + more)),
        (loss, skew_s, seed) in (prop_oneof![Just(0.0), 0.0..0.05_f64], -0.5..0.5_f64, any::<u64>()),
    ) {
        in_virtual_time(async {
            let clock = Clock::virtual_from(START.plus_seconds(skew_s));
            let config = EmulatorConfig {
                requests: Some(fewer), tokens: Some(more), latency_s, seed, error_rate: 0.02,
                ..EmulatorConfig::default()
            };
            let settings = settings(vec![(QuotaKind::Requests, fewer), (QuotaKind::Tokens, more)]);
            let world = World::new(Server::new(clock, loss, seed), settings, config);
            let mut alive: Vec<Process> = Vec::new();
            for (index, habits) in processes.iter().enumerate() {
                alive.push(world.process(&format!("first {index}"), habits).await);
            }
            for (round, (after_s, event)) in events.iter().enumerate() {
                world.clock.sleep(Duration::from_secs_f64(*after_s)).await;
                match *event {
                    Event::Crash(index) => {
                        let index = index % alive.len();
                        drop(alive.remove(index));
                        let name = format!("{round}");
                        alive.insert(index, world.process(&name, &processes[index]).await);
                    }
                    Event::Forgets => {
                        world.server.forget();
                        // What it kept is lost if all die who have seen it before one of them looks again.
                        while world.server.is_empty() {
                            world.clock.sleep(Duration::from_millis(10)).await;
                        }
                    }
                    Event::Saves => world.server.save(),
                    Event::Restarts(down_s) => world.server.restart(down_s),
                    Event::StaysAway(down_s) => world.server.stay_away(down_s),
                }
            }
            world.clock.sleep(Duration::from_secs(240)).await;
            let before = world.tally();
            world.clock.sleep(Duration::from_secs(240)).await;
            let after = world.tally();
            prop_assert_eq!(after.throttled, 0);
            prop_assert!(after.admitted > before.admitted, "{before:?}, then {after:?}");
            TestCaseResult::Ok(())
        })?;
    }
}

/// Requests take 0.9 s on average and may be admitted anywhere within, which costs a window of relative time that part.
#[test]
fn a_fleet_wastes_almost_nothing() {
    for id in MechanismId::ALL {
        let quota = Mechanism::per_minute(id, 100);
        let is_relative = matches!(id, MechanismId::AnchoredWindow | MechanismId::SlidingLog);
        let least = if is_relative { 0.97 * 60.0 / 60.9 } else { 0.96 };
        let (settings, config) = requests(quota, (0.3, 1.5));
        let (share, looks) = in_virtual_time(async {
            let clock = Clock::virtual_from(START.plus_seconds(0.2));
            let world = World::new(Server::new(clock, 0.0, 1), settings, config);
            let mut alive = Vec::new();
            for index in 0..8 {
                alive.push(world.process(&index.to_string(), &[(1, 1, 0.0); 15]).await);
            }
            // A full bucket at the start is not what it goes on with.
            world.clock.sleep_until(START + Duration::from_secs(300)).await;
            let (first, first_looks) = (world.tally().admitted, world.server.looks());
            world.clock.sleep_until(START + Duration::from_secs(1_500)).await;
            let tally = world.tally();
            assert_eq!(tally.throttled, 0, "{id}");
            let (admitted, looks) = (tally.admitted - first, world.server.looks() - first_looks);
            (admitted as f64 / 2_000.0, looks as f64 / admitted as f64)
        });
        println!("{id}: {:.1} % of the quota, {looks:.1} looks for each request", 100.0 * share);
        assert!(share >= least, "{id}: {share} of {least}");
        assert!(looks < 15.0, "{id}: {looks} looks for each request");
    }
}

/// A process that dies takes its share with it for a lease, and for as long as the quota remembers what it may have used.
#[test]
fn what_a_dead_process_had_reserved_counts_as_used_when_its_lease_ends() {
    let (settings, config) = requests(Mechanism::per_minute(MechanismId::SlidingLog, 1), (0.1, 0.1));
    in_virtual_time(async {
        let world = World::usual(&settings, config);
        let (dies, worker) = world.throttle("dies", &settings).await.unwrap();
        let (lives, _worker) = world.throttle("lives", &settings).await.unwrap();
        let held = dies.acquire(1, 1).await.unwrap();
        world.clock.sleep(Duration::from_secs(30)).await;
        let died = world.clock.now();
        worker.abort();
        drop(held);
        lives.acquire(1, 1).await.unwrap().unknown();
        let after_s = world.clock.now().seconds_since(died) - 60.0;
        assert!((LEASE_S / 2.0..LEASE_S + 0.2).contains(&after_s), "{after_s}");
    });
}

#[test]
fn processes_take_turns_and_a_large_request_is_not_overtaken() {
    let quota = Mechanism::per_minute(MechanismId::SlidingLog, 1_000);
    let settings = settings(vec![(QuotaKind::Tokens, quota)]);
    in_virtual_time(async {
        let server = Server::new(Clock::virtual_from(START), 0.0, 1);
        let world = World::new(server, settings.clone(), EmulatorConfig::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let (first, _worker) = world.throttle("first", &settings).await.unwrap();
        first.acquire(600, 0).await.unwrap().unknown();
        let mut waiting = Vec::new();
        for (name, tokens) in [("gives up", 900), ("large", 1_000), ("small", 1), ("last", 2)] {
            let (throttle, _worker) = world.throttle(name, &settings).await.unwrap();
            let order = order.clone();
            waiting.push(tokio::spawn(async move {
                let reservation = throttle.acquire(tokens, 0).await.unwrap();
                order.lock().unwrap().push(name);
                reservation.unknown();
                // The process goes on.
                std::future::pending::<()>().await;
            }));
            world.clock.sleep(Duration::from_millis(500)).await;
        }
        waiting[0].abort();
        world.clock.sleep(Duration::from_secs(50)).await;
        assert!(order.lock().unwrap().is_empty());
        world.clock.sleep(Duration::from_secs(100)).await;
        assert_eq!(*order.lock().unwrap(), ["large", "small", "last"]);
        assert_eq!(first.stats().sent, 4);
    });
}

#[test]
fn all_have_to_agree_on_the_settings_until_nobody_is_left() {
    let (settings, config) = requests(Mechanism::per_minute(MechanismId::SlidingLog, 10), (0.1, 0.1));
    let other = ThrottleSettings { burndown: 5, ..settings.clone() };
    in_virtual_time(async {
        let world = World::usual(&settings, config);
        let (first, worker) = world.throttle("first", &settings).await.unwrap();
        first.acquire(1, 1).await.unwrap().unknown();
        let refused = world.throttle("other", &other).await.unwrap_err();
        assert!(refused.is_usage() && refused.to_string().contains("other settings"), "{refused}");
        worker.abort();
        world.clock.sleep(Duration::from_secs_f64(LEASE_S + 1.0)).await;
        let (other, _worker) = world.throttle("other", &other).await.unwrap();
        let changed = world.clock.now();
        other.acquire(1, 1).await.unwrap().unknown();
        let waited_s = world.clock.now().seconds_since(changed);
        assert!((60.0..70.0).contains(&waited_s), "nobody knows what was used: {waited_s}");
    });
}

/// The newcomer finds an empty server that has run for long, but one that lives has seen what was there.
#[test]
fn who_lives_remembers_what_the_server_forgot() {
    let (settings, config) = requests(Mechanism::per_minute(MechanismId::SlidingLog, 1), (0.1, 0.1));
    in_virtual_time(async {
        let world = World::usual(&settings, config);
        let (lives, _worker) = world.throttle("lives", &settings).await.unwrap();
        lives.acquire(1, 1).await.unwrap().unknown();
        let waited_s = world.clock.now().seconds_since(START);
        assert!((LEASE_S - 0.6..LEASE_S + 0.2).contains(&waited_s), "for those who know better: {waited_s}");
        world.clock.sleep(Duration::from_secs(1)).await;
        let forgot = world.clock.now();
        world.server.forget();
        let (newcomer, _worker) = world.throttle("newcomer", &settings).await.unwrap();
        newcomer.acquire(1, 1).await.unwrap().unknown();
        let waited_s = world.clock.now().seconds_since(forgot);
        assert!((60.0..70.0).contains(&waited_s), "{waited_s}");
    });
}

/// What a dead process had sent may be admitted later than the server forgot it.
#[test]
fn after_a_loss_nothing_passes_for_a_lease() {
    let bucket = Mechanism::TokenBucket { capacity: 10, refill_per_s: 10.0 };
    let (settings, config) = requests(bucket, (0.1, 0.1));
    in_virtual_time(async {
        let world = World::usual(&settings, config);
        let (throttle, _worker) = world.throttle("first", &settings).await.unwrap();
        throttle.acquire(1, 1).await.unwrap().unknown();
        let restarted = world.clock.now();
        world.server.restart(0.0);
        throttle.acquire(1, 1).await.unwrap().unknown();
        let waited_s = world.clock.now().seconds_since(restarted);
        assert!((LEASE_S..LEASE_S + 2.0).contains(&waited_s), "{waited_s}");
    });
}

#[test]
fn while_the_server_is_away_requests_wait_and_it_says_so() {
    let (settings, config) = requests(Mechanism::per_minute(MechanismId::SlidingLog, 10), (0.1, 0.1));
    in_virtual_time(async {
        let world = World::usual(&settings, config);
        let (throttle, _worker) = world.throttle("first", &settings).await.unwrap();
        throttle.acquire(1, 1).await.unwrap().unknown();
        assert!(throttle.outage().is_none());
        let away = world.clock.now();
        world.server.stay_away(20.0);
        let acquired = tokio::time::timeout(Duration::from_secs(19), throttle.acquire(1, 1)).await;
        assert!(acquired.is_err(), "nothing goes out unasked");
        let outage = throttle.outage().unwrap().to_string();
        assert!(outage.starts_with("no answer") && outage.contains("requests wait"), "{outage}");
        throttle.acquire(1, 1).await.unwrap().unknown();
        assert!((20.0..22.0).contains(&world.clock.now().seconds_since(away)));
        assert!(throttle.outage().is_none());
    });
}
