use bedrock_tpm::Timestamp;

/// The client-side rate limiter of the adaptive retry mode of the AWS SDKs: a token bucket whose rate follows the 429s as
/// the window of TCP CUBIC follows losses.
///
/// Source: the algorithm and its constants as botocore and the SDK for Rust publish them.
pub struct AdaptiveRetry {
    fill_rate: f64,
    capacity: f64,
    level: f64,
    filled: f64,
    is_enabled: bool,
    measured_rate: f64,
    counted: f64,
    counted_until: f64,
    last_max_rate: f64,
    last_throttled: f64,
}

const MIN_FILL_RATE: f64 = 0.5;
const MIN_CAPACITY: f64 = 1.0;
const SMOOTH: f64 = 0.8;
const BETA: f64 = 0.7;
const SCALE: f64 = 0.4;

impl AdaptiveRetry {
    pub fn new(now: Timestamp) -> Self {
        let now_s = seconds(now);
        Self {
            fill_rate: 0.0,
            capacity: 0.0,
            level: 0.0,
            filled: now_s,
            is_enabled: false,
            measured_rate: 0.0,
            counted: 0.0,
            counted_until: half_second(now_s),
            last_max_rate: 0.0,
            last_throttled: now_s,
        }
    }

    /// Takes a token, or says how many seconds to wait for one.
    pub fn acquire(&mut self, now: Timestamp) -> Option<f64> {
        if !self.is_enabled {
            return None;
        }
        self.refill(seconds(now));
        if self.level < 1.0 {
            // A little more, so that rounding does not make it wait twice.
            return Some((1.0 - self.level) / self.fill_rate + 1e-6);
        }
        self.level -= 1.0;
        None
    }

    /// Learns from an answer.
    pub fn ended(&mut self, now: Timestamp, throttled: bool) {
        let now_s = seconds(now);
        self.measure(now_s);
        let rate = if throttled {
            let rate =
                if self.is_enabled { self.measured_rate.min(self.fill_rate) } else { self.measured_rate };
            (self.last_max_rate, self.last_throttled, self.is_enabled) = (rate, now_s, true);
            rate * BETA
        } else {
            let window_s = (self.last_max_rate * (1.0 - BETA) / SCALE).cbrt();
            SCALE * (now_s - self.last_throttled - window_s).powi(3) + self.last_max_rate
        };
        let rate = rate.min(2.0 * self.measured_rate);
        self.refill(now_s);
        self.fill_rate = rate.max(MIN_FILL_RATE);
        self.capacity = rate.max(MIN_CAPACITY);
        self.level = self.level.min(self.capacity);
    }

    fn refill(&mut self, now_s: f64) {
        self.level = (self.level + (now_s - self.filled) * self.fill_rate).min(self.capacity);
        self.filled = now_s;
    }

    fn measure(&mut self, now_s: f64) {
        let until = half_second(now_s);
        self.counted += 1.0;
        if until > self.counted_until {
            let rate = self.counted / (until - self.counted_until);
            self.measured_rate = rate * SMOOTH + self.measured_rate * (1.0 - SMOOTH);
            (self.counted, self.counted_until) = (0.0, until);
        }
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.seconds_since(Timestamp::EPOCH)
}

fn half_second(now_s: f64) -> f64 {
    (now_s * 2.0).floor() / 2.0
}
