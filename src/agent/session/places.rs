//! Who makes room for whom.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{Caller, Session, SessionId, Sessions};
use crate::access::{Guest, Stage};
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
    /// a path of their own, comes: a call of which nothing is heard; one on hold; of whoever
    /// the newcomer [comes before](rank), strangers first; else one of whoever has at least
    /// two places more than the newcomer. Of several the one of who has the most; of those,
    /// the one that was not heard of for the longest, or the newest. Nobody makes room for
    /// whom they come before.
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
        let own = rank(newcomer.guest.as_deref());
        let last = others()
            .map(|s| (s, rank(s.guest.as_deref())))
            .filter(|(_, rank)| *rank <= own)
            .map(|(s, rank)| {
                let easily = (s.is_interrupted(), s.is_on_hold());
                let since = Reverse(s.interrupted);
                (easily, Reverse(rank), more(&s.payer), since, s.id)
            })
            .filter(|(easily, rank, (more, _), ..)| {
                *easily != (false, false) || rank.0 < own || *more >= 2
            })
            .max()?;
        Some(last.4)
    }
}

/// Who was invited comes before strangers, and who alone has their invitation before
/// those who share one.
fn rank(guest: Option<&Guest>) -> u8 {
    match guest.map(|guest| guest.stage) {
        None => 0,
        Some(Stage::Shared) => 1,
        Some(Stage::Link | Stage::Kept) => 2,
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
