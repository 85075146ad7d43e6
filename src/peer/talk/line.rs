//! What a viewer's page hears of the floor, and how it asks for it.

use std::sync::Arc;

use tokio::sync::watch;

use super::{NO_SPEAKER, News, TalkBack, Talker};
use crate::agent::SessionId;
use crate::floor::Place;
use crate::reason::{Code, Reason};

const NOT_INVITED: Reason = Reason::fixed(
    Code::TalkNotInvited,
    "you may not talk at this camera; its owner can invite you to",
);

/// What a viewer hears of the floor, and how they ask for it.
pub(in crate::peer) struct FloorLine {
    talk: Option<Arc<TalkBack>>,
    talker: Option<Arc<Talker>>,
    session: SessionId,
    news: watch::Receiver<News>,
    trouble: watch::Receiver<Option<String>>,
    /// Losses that were told of.
    told: u64,
}

/// What a viewer is told of the floor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) struct FloorWords {
    pub may: bool,
    pub place: Place,
    /// Who talks.
    pub talks: Option<Arc<str>>,
    /// Why they no longer do.
    pub why: Option<Reason>,
    /// Why nothing is heard of who talks.
    pub speaker: Option<Reason>,
}

impl FloorLine {
    /// Of a viewer whose page has a channel to ask by.
    pub(in crate::peer) fn of(
        talk: Option<Arc<TalkBack>>,
        talker: Option<Arc<Talker>>,
        session: SessionId,
    ) -> Self {
        if let Some(talker) = &talker {
            talker.can_ask();
        }
        let (news, trouble) = match &talk {
            Some(talk) => (talk.news(), talk.trouble()),
            None => (watch::channel(News::default()).1, watch::channel(None).1),
        };
        let told = news.borrow().lost.as_ref().map_or(0, |(_, _, told)| *told);
        Self {
            talk,
            talker,
            session,
            news,
            trouble,
            told,
        }
    }

    /// There is a speaker to talk by.
    pub(in crate::peer) fn is_there(&self) -> bool {
        self.talk.is_some()
    }

    /// There is news.
    pub(in crate::peer) async fn changed(&mut self) {
        if self.talk.is_none() {
            return std::future::pending().await;
        }
        tokio::select! {
            _ = self.news.changed() => {}
            _ = self.trouble.changed() => {}
        }
    }

    /// What to tell.
    pub(in crate::peer) fn words(&mut self) -> FloorWords {
        let news = self.news.borrow_and_update().clone();
        let trouble = self.trouble.borrow_and_update().clone();
        let is_news =
            |(who, _, count): &(SessionId, Reason, u64)| *who == self.session && *count > self.told;
        let lost = news.lost.clone().filter(is_news);
        let place = news.place(self.session);
        let speaker = trouble.filter(|_| news.talks.is_some());
        FloorWords {
            may: self.talker.is_some() && !news.closed,
            place,
            talks: news.talks.map(|(_, name)| name),
            why: lost
                .map(|(_, why, _)| why)
                .filter(|_| place == Place::Listens),
            speaker: speaker.map(|why| Reason::new(Code::SpeakerLost, why)),
        }
    }

    /// They were told.
    pub(in crate::peer) fn told(&mut self) {
        self.told = self.news.borrow().lost.as_ref().map_or(0, |(_, _, n)| *n);
    }

    /// They want to talk, or no longer.
    ///
    /// # Errors
    ///
    /// Why they may not.
    pub(in crate::peer) fn ask(&self, on: bool, wait: bool) -> Result<(), Reason> {
        match (&self.talker, on) {
            (Some(talker), true) => talker.ask(wait),
            (Some(talker), false) => {
                talker.give_back();
                Ok(())
            }
            (None, _) if self.talk.is_none() => Err(NO_SPEAKER),
            (None, _) => Err(NOT_INVITED),
        }
    }
}
