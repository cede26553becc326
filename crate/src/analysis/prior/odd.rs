use super::Class;
use crate::Mechanism;
use crate::analysis::draw::{USUAL_WINDOWS, clock_error, log_uniform, pick, scaled};
use crate::analysis::oddity::{Ban, Begun, Chance, Doubling, Oddity, Shift, Slots};

/// What a window may become at most, in seconds.
const LONGEST_S: [f64; 5] = [300.0, 600.0, 900.0, 1_800.0, 3_600.0];

impl Class {
    /// What is odd about a quota of the class, at these coordinates.
    pub(super) fn oddity(self, [phase, period, second, other]: [f64; 4]) -> Oddity {
        match self {
            Self::SlottedLog => Oddity::Slotted(slots(period, phase)),
            Self::Shifting => {
                let period_s = log_uniform(second, 20.0, 120.0);
                let offset_s = 2.0 * period_s * period;
                Oddity::Shifting(Shift { withheld: 0.1 + 0.8 * other, period_s, offset_s })
            }
            Self::AtRandom if other < 0.5 => Oddity::AtRandom(Chance::Even(0.2 + 1.4 * other)),
            Self::AtRandom => Oddity::AtRandom(Chance::Falling(2.0 * other - 1.0)),
            Self::Banning => {
                let seconds = log_uniform(second, 3.0, 120.0);
                Oddity::Banning(Ban { seconds, prolonged: other < 0.5 })
            }
            Self::Doubling => {
                let longest_s = pick(&LONGEST_S, second);
                Oddity::Doubling(Doubling { window_s: doubled_window_s(period), longest_s })
            }
            Self::BegunCounter => {
                let window_s = 60.0;
                Oddity::Begun(Begun { window_s, offset_s: phase * window_s })
            }
            _ => Oddity::None,
        }
    }
}

/// On the clock, or from any other instant.
fn slots(period: f64, phase: f64) -> Slots {
    let slot_s = pick(USUAL_WINDOWS, period);
    let offset_s = if phase < 0.6 { clock_error(phase / 0.6) } else { (phase - 0.6) / 0.4 * slot_s };
    Slots { slot_s, offset_s }
}

/// A window from first use that may come to last longer: of a minute, or shorter and then mostly with the same rate.
pub(super) fn doubled_window(limit: u64, rate: f64, period: f64) -> Mechanism {
    let window_s = doubled_window_s(period);
    let share = if rate < 0.8 { window_s / 60.0 } else { 1.0 };
    Mechanism::AnchoredWindow { limit: scaled(limit, share), window_s }
}

fn doubled_window_s(period: f64) -> f64 {
    if period < 0.4 { 60.0 } else { pick(USUAL_WINDOWS, (period - 0.4) / 0.6) }
}
