use super::Class;
use crate::analysis::draw::{USUAL_WINDOWS, clock_error, log_uniform, pick};
use crate::analysis::hypothesis::{Ban, Chance, Oddity, Shift, Slots};

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
