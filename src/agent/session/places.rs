//! Who makes room for whom.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{Caller, Session, SessionId, Sessions};
use crate::agent::payer::{Debtor, Payer};

impl Sessions {
    /// Which of those without a media path is the first to give way to `newcomer`: one
    /// whose caller has left, else one of whoever has the most of them, else of the one
    /// with the most `debt`, else the oldest. `None` where all are here, have no more than the
    /// newcomer, and owe less.
    pub(in crate::agent) fn gives_way(
        &self,
        newcomer: &Payer,
        debt: impl Fn(&Payer) -> u32,
    ) -> Option<SessionId> {
        let half_open = || self.live.values().filter(|s| !s.is_up());
        let more = compared(half_open(), newcomer);
        let own_debt = debt(newcomer);
        let (.., oldest) = half_open()
            .map(|s| {
                let absent = s.absent.is_some();
                (absent, more(&s.payer), debt(&s.payer), Reverse(s.id))
            })
            .filter(|(left, (more, _), owes, _)| *left || *more > 0 || *owes >= own_debt)
            .max()?;
        Some(oldest.0)
    }

    /// Who with a media path makes room where all places are taken and `newcomer`, with
    /// a path of their own, comes: a call of which nothing is heard; one on hold; for who was
    /// invited, a stranger; else one of whoever has at least two places more than the
    /// newcomer. Of several the one of who has the most; of those, the one that was not
    /// heard of for the longest, or the newest. Who was invited makes no room for a
    /// stranger.
    pub(in crate::agent) fn makes_room(
        &self,
        newcomer: &Caller,
        id: Option<SessionId>,
    ) -> Option<SessionId> {
        let others = || {
            let up = self.live.values().filter(|s| s.is_up());
            up.filter(move |s| Some(s.id) != id)
        };
        let more = compared(others(), &newcomer.payer);
        let is_stranger = |s: &Session| newcomer.guest.is_some() && s.guest.is_none();
        let last = others()
            .filter(|s| newcomer.guest.is_some() || s.guest.is_none())
            .map(|s| {
                let easily = (s.is_interrupted(), s.is_on_hold(), is_stranger(s));
                (easily, more(&s.payer), Reverse(s.interrupted), s.id)
            })
            .filter(|(easily, (more, _), ..)| *easily != (false, false, false) || *more >= 2)
            .max()?;
        Some(last.3)
    }
}

/// How many more of these calls than `newcomer` somebody has, under whatever names: in
/// the widest network that is not both's. And how many they have themselves.
fn compared<'a>(
    calls: impl Iterator<Item = &'a Session>,
    newcomer: &Payer,
) -> impl Fn(&Payer) -> (i64, i64) {
    let mut counts: HashMap<Debtor, i64> = HashMap::new();
    for debtor in calls.flat_map(|call| call.payer.debtors()) {
        *counts.entry(debtor).or_default() += 1;
    }
    let own = newcomer.debtors();
    move |payer| {
        let theirs = payer.debtors();
        let held = |debtor: &Debtor| counts.get(debtor).copied().unwrap_or(0);
        let parted = theirs.iter().zip(&own).find(|(theirs, own)| theirs != own);
        let more = parted.map_or(0, |(theirs, own)| held(theirs) - held(own));
        (more, theirs.last().map_or(0, held))
    }
}
