use crate::QuotaKind;

/// How rejections are worded, and how often beforehand: they name a quota that rejected; or another one; or always the
/// same one, whichever it was; or any.
const WORDINGS: [f64; 4] = [0.955, 0.02, 0.02, 0.005];
/// How often a rejection is worded otherwise all the same.
const SLIP: f64 = 0.02;
/// How often one of several quotas is named by chance.
const BY_CHANCE: f64 = 0.5;

/// What the words of the rejections so far say about how they are worded: whoever words one of them wrongly does it every
/// time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    wordings: [f64; 4],
    last: Option<QuotaKind>,
}

impl Default for Words {
    fn default() -> Self {
        Self { wordings: WORDINGS, last: None }
    }
}

impl Words {
    /// Takes in that a rejection by these quotas, or by nobody knows which if they are none, named one. Returns the
    /// probability of that.
    pub(super) fn hear(&mut self, named: QuotaKind, rejected_by: [Option<QuotaKind>; 2]) -> f64 {
        let mut by = rejected_by.into_iter().flatten().peekable();
        let unknown = by.peek().is_none();
        let (is_true, is_other) = by.fold((unknown, unknown), |(is_true, is_other), by| {
            (is_true || by == named, is_other || by != named)
        });
        let expected = |is_so: bool| if is_so { 1.0 - SLIP } else { SLIP };
        let [truthful, swapped, same, any] = &mut self.wordings;
        *truthful *= expected(is_true);
        *swapped *= expected(is_other);
        *same *= self.last.map_or(BY_CHANCE, |last| expected(last == named));
        *any *= BY_CHANCE;
        self.last = Some(named);
        let probability = self.wordings.iter().sum::<f64>();
        self.wordings.iter_mut().for_each(|wording| *wording /= probability);
        probability
    }
}
