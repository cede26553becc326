//! Processes on one account, and the service that they call.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};

use super::store::Server;
use crate::throttle::fleet::Fleet;
use crate::throttle::fleet::state::encoded;
use crate::{Answer, Clock, EmulatorConfig, Result, Service, Throttle, ThrottleSettings, Timestamp};

pub(super) const START: Timestamp = Timestamp::from_nanos(1_752_585_600_000_000_000);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) admitted: u64,
    pub(super) throttled: u64,
}

/// Input tokens, max_tokens, and seconds of rest after each request.
pub(super) type Habit = (u64, u64, f64);

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) server: Server,
    settings: ThrottleSettings,
    service: Arc<Mutex<Service>>,
    tally: Arc<Mutex<Tally>>,
    pub(super) clock: Clock,
}

/// One that dies when dropped, with everything but the requests that have left it.
#[derive(Debug)]
pub(super) struct Process {
    worker: AbortHandle,
    _clients: JoinSet<()>,
}

impl World {
    pub(super) fn new(server: Server, settings: ThrottleSettings, service: EmulatorConfig) -> Self {
        let service = Arc::new(Mutex::new(Service::new(service).unwrap()));
        let clock = Clock::virtual_from(START);
        Self { server, settings, service, tally: Arc::default(), clock }
    }

    /// Beside a server that loses nothing and whose clock is right.
    pub(super) fn usual(settings: &ThrottleSettings, service: EmulatorConfig) -> Self {
        Self::new(Server::new(Clock::virtual_from(START), 0.0, 1), settings.clone(), service)
    }

    pub(super) fn tally(&self) -> Tally {
        *self.tally.lock().unwrap()
    }

    /// The throttle of a process `name`, and its worker.
    pub(super) async fn throttle(
        &self,
        name: &str,
        settings: &ThrottleSettings,
    ) -> Result<(Throttle, AbortHandle)> {
        let own = Throttle::new(settings.clone(), self.clock)?;
        let settings = encoded(&*own.queue.gate())?;
        let clock = Clock::virtual_from(Timestamp::EPOCH);
        let (fleet, worker) = Fleet::join(self.server.link(name), name.to_owned(), settings, clock).await?;
        let worker = tokio::spawn(worker.run()).abort_handle();
        Ok((Throttle { fleet: Some(fleet), ..own }, worker))
    }

    /// A process with a client for each of `habits`, once the server is there.
    pub(super) async fn process(&self, name: &str, habits: &[Habit]) -> Process {
        let (throttle, worker) = loop {
            match self.throttle(name, &self.settings).await {
                Ok(joined) => break joined,
                Err(_) => self.clock.sleep(Duration::from_millis(100)).await,
            }
        };
        let mut clients = JoinSet::new();
        for &habit in habits {
            clients.spawn(self.clone().client(throttle.clone(), habit));
        }
        Process { worker, _clients: clients }
    }

    async fn client(self, throttle: Throttle, (input, max_tokens, rest_s): Habit) {
        loop {
            let reservation = throttle.acquire(input, max_tokens).await.unwrap();
            match tokio::spawn(self.clone().request(input, max_tokens)).await.unwrap() {
                Answer::Admitted { usage, .. } => reservation.settle(usage),
                Answer::Throttled(kind) => reservation.throttled(Some(kind)),
                Answer::Unavailable => reservation.unknown(),
            }
            self.clock.sleep(Duration::from_secs_f64(rest_s)).await;
        }
    }

    async fn request(self, input: u64, max_tokens: u64) -> Answer {
        let latency = self.service.lock().unwrap().latency();
        self.clock.sleep(latency.until_admission).await;
        let now = self.clock.now();
        let answer = self.service.lock().unwrap().admit(now, latency.until_answer, input, max_tokens);
        self.clock.sleep(latency.until_answer).await;
        let mut tally = self.tally.lock().unwrap();
        match answer {
            Answer::Throttled(_) => tally.throttled += 1,
            Answer::Admitted { .. } | Answer::Unavailable => tally.admitted += 1,
        }
        answer
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.worker.abort();
    }
}
