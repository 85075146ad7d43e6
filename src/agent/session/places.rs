//! Who makes room for whom.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{Caller, Session, SessionId, Sessions};
use crate::agent::payer::Payer;

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
        let held = counted(half_open());
        let (own, own_debt) = (held(newcomer), debt(newcomer));
        let (.., oldest) = half_open()
            .map(|s| {
                let absent = s.absent.is_some();
                (absent, held(&s.payer), debt(&s.payer), Reverse(s.id))
            })
            .filter(|(left, has, owes, _)| *left || *has > own || *owes >= own_debt)
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
        let held = counted(others());
        let own = held(&newcomer.payer);
        let is_stranger = |s: &Session| newcomer.guest.is_some() && s.guest.is_none();
        let last = others()
            .filter(|s| newcomer.guest.is_some() || s.guest.is_none())
            .map(|s| {
                let easily = (s.is_interrupted(), s.is_on_hold(), is_stranger(s));
                (easily, held(&s.payer), Reverse(s.interrupted), s.id)
            })
            .filter(|(easily, has, ..)| *easily != (false, false, false) || *has >= own + 2)
            .max()?;
        Some(last.3)
    }
}

/// How many of these calls a payer has, under whatever names.
fn counted<'a>(calls: impl Iterator<Item = &'a Session>) -> impl Fn(&Payer) -> usize {
    let mut counts = HashMap::new();
    for call in calls {
        *counts.entry(call.payer.debtor()).or_insert(0) += 1;
    }
    move |payer| counts.get(&payer.debtor()).copied().unwrap_or(0)
}
