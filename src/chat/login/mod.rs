//! The login: who comes with a request, and who may go on. A shell around
//! [`login`], which decides.
//!
//! Passwords are tried on threads of their own, one at a time for strangers and
//! one for those who signed in from their address before: that bounds memory
//! and CPU, whatever is sent, and no guessing stands in the way of the second.

mod answers;
mod headers;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::users::{UsersError, UsersFile, UsersStamp};
use crate::bucket::{Bucket, Rate};
use crate::lock::lock;
use crate::login::{
    self, Attempt, Brakes, Credential, Guess, Hash, LONGEST_PASSWORD, Remembered, SessionNumber,
    Sessions, Token, Users,
};
use crate::room::Source;
use crate::secret::Secret;
use crate::wire::UserName;
pub(super) use answers::{Form, IsForm, form, page, refusal, signed_in, signed_out};
use headers::Shown;

/// How often the file is looked at for a change.
const LOOK: Duration = Duration::from_millis(400);
/// Passwords that wait to be tried, of each of the two kinds.
const WAITING: usize = 8;
/// How often a stranger's password is tried, all strangers together: half a core
/// of a small board.
const STRANGERS: Rate = Rate {
    burst: 8.0,
    per_second: 2.0,
};
/// Lines about those who sign in or fail to.
const LINES: Rate = Rate {
    burst: 20.0,
    per_second: 0.2,
};
/// What those are told who come while others are tried.
const BUSY: Duration = Duration::from_secs(2);

/// Somebody who may go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) user: UserName,
    credential: Credential,
    session: Option<SessionNumber>,
}

/// What comes of a name and a password, or of what a request shows.
#[derive(Debug)]
pub(super) enum Verdict {
    In(Grant),
    /// Nothing was shown, or nothing that is good.
    Out,
    /// They are to come again after so long.
    Wait(Duration),
}

/// One kind of those who have passwords tried.
struct Lane {
    places: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(WAITING)),
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

struct State {
    users: Users,
    stamp: UsersStamp,
    /// What is wrong with the file; it was logged.
    problem: Option<String>,
    brakes: Brakes,
    sessions: Sessions,
    remembered: Remembered,
    sockets: HashMap<u64, Socket>,
    next_socket: u64,
    pace: Bucket,
    lines: Bucket,
}

/// A chat connection, and how it is ended.
struct Socket {
    grant: Grant,
    ends: CancellationToken,
}

/// Asks everybody who they are.
pub(super) struct Gate {
    file: UsersFile,
    /// What is tried where there is no password at all.
    decoy: Hash,
    strangers: Lane,
    known: Lane,
    state: Mutex<State>,
}

/// A chat connection's place; dropped when that ends.
pub(super) struct Entered {
    gate: Arc<Gate>,
    number: u64,
    /// Cancelled when its user is signed out or taken away.
    pub(super) ends: CancellationToken,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        let session = state.sockets.remove(&self.number);
        if let Some(session) = session.and_then(|socket| socket.grant.session) {
            state.sessions.closed(session, Instant::now());
        }
    }
}

/// A password that has passed the brakes and is to be tried.
struct Trial {
    attempt: Attempt,
    guess: Guess,
    hash: Hash,
    /// What it is the password of, if it is right.
    of: Option<Credential>,
    place: OwnedSemaphorePermit,
}

impl Gate {
    /// Reads the users.
    pub(super) fn open(file: UsersFile) -> Result<Self, UsersError> {
        let stamp = file.stamp();
        let users = file.read()?;
        let path = file.path().display();
        if users.is_empty() {
            warn!("nobody can sign in: `camera-agent chat-user add NAME --file {path}`");
        }
        let now = Instant::now();
        let state = State {
            users,
            stamp,
            problem: None,
            brakes: Brakes::default(),
            sessions: Sessions::default(),
            remembered: Remembered::default(),
            sockets: HashMap::new(),
            next_socket: 0,
            pace: Bucket::full(STRANGERS, now),
            lines: Bucket::full(LINES, now),
        };
        Ok(Self {
            file,
            decoy: Hash::decoy(),
            strangers: Lane::default(),
            known: Lane::default(),
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Who sends a request with these headers.
    pub(super) async fn who(&self, headers: &HeaderMap, source: Source) -> Verdict {
        match headers::shown(headers) {
            Shown::Nothing => Verdict::Out,
            Shown::Password(name, password) => self.password(&name, password, source).await,
            Shown::Token(token) => {
                let mut state = self.state();
                match state.users.token(token.expose()) {
                    Some((user, credential)) => Verdict::In(Grant {
                        user,
                        credential,
                        session: None,
                    }),
                    None => {
                        state.failed(None, source, "a token that is not known");
                        Verdict::Out
                    }
                }
            }
            Shown::Cookies(cookies) => {
                let now = Instant::now();
                let mut state = self.state();
                let mut found = cookies.iter().filter_map(|c| state.sessions.find(c, now));
                found.next().map_or(Verdict::Out, |found| {
                    Verdict::In(Grant {
                        user: found.user,
                        credential: found.credential,
                        session: Some(found.number),
                    })
                })
            }
        }
    }

    /// Tries a name and a password.
    async fn password(&self, name: &str, password: Secret, source: Source) -> Verdict {
        let Ok(name) = login::name(name) else {
            return Verdict::Out;
        };
        if password.expose().len() > LONGEST_PASSWORD {
            return Verdict::Out;
        }
        let trial = match self.prepare(&name, &password, source) {
            Ok(trial) => trial,
            Err(verdict) => return verdict,
        };
        let lane = self.lane(&trial.attempt);
        let turn = lane.turn.clone().acquire_owned().await;
        let Trial {
            attempt,
            guess,
            hash,
            of,
            place,
        } = trial;
        let tried = tokio::task::spawn_blocking(move || {
            // Until the end, whoever is still waiting for it.
            let _held = (place, turn);
            hash.is_of(&password)
        });
        let is_right = tried.await.unwrap_or(false);
        let mut state = self.state();
        let right = of.filter(|credential| is_right && state.users.has(&name, credential));
        state.remembered.tried(guess, right, Instant::now());
        match right {
            Some(credential) => {
                state.brakes.succeeded(attempt);
                state.greeted(&name, source);
                Verdict::In(Grant {
                    user: name,
                    credential,
                    session: None,
                })
            }
            None => {
                state.failed(Some(&name), source, "a wrong password");
                Verdict::Out
            }
        }
    }

    fn lane(&self, attempt: &Attempt) -> &Lane {
        match attempt.is_known() {
            true => &self.known,
            false => &self.strangers,
        }
    }

    /// What can be said without a trial, or the trial.
    fn prepare(
        &self,
        name: &UserName,
        password: &Secret,
        source: Source,
    ) -> Result<Trial, Verdict> {
        let now = Instant::now();
        let mut state = self.state();
        let granted = |credential| {
            Verdict::In(Grant {
                user: name.clone(),
                credential,
                session: None,
            })
        };
        // A token in place of the password cannot be guessed, so nothing slows it.
        if let Some((user, credential)) = state.users.token(password.expose())
            && user == *name
        {
            return Err(granted(credential));
        }
        let guess = state.remembered.guess(name, password, source);
        if state.remembered.is_wrong(&guess, now) {
            return Err(Verdict::Out);
        }
        let attempt = state.brakes.begin(name, source, now);
        let attempt = attempt.map_err(Verdict::Wait)?;
        if let Some(credential) = state.remembered.right(&guess, now) {
            state.brakes.succeeded(attempt);
            return Err(granted(credential));
        }
        let place = self.lane(&attempt).places.clone().try_acquire_owned();
        let in_pace = attempt.is_known() || state.pace.take(1.0, now);
        let (Ok(place), true) = (place, in_pace) else {
            state.brakes.take_back(attempt);
            return Err(Verdict::Wait(BUSY));
        };
        let pick = state.remembered.pick(name);
        let to_try = state.users.to_try(name, pick);
        let (hash, of) = to_try.unwrap_or_else(|| (self.decoy.clone(), None));
        Ok(Trial {
            attempt,
            guess,
            hash,
            of,
            place,
        })
    }

    /// Signs somebody in; a token for their browser, which had the ones of
    /// `cookies` before.
    pub(super) async fn sign_in(
        &self,
        form: Form,
        cookies: &HeaderMap,
        source: Source,
    ) -> Result<Token, Verdict> {
        let grant = match self.password(&form.user, form.password, source).await {
            Verdict::In(grant) => grant,
            verdict => return Err(verdict),
        };
        self.sign_out(cookies);
        let mut state = self.state();
        let now = Instant::now();
        let (token, gone) = state.sessions.begin(&grant.user, grant.credential, now);
        state.end(|socket| socket.grant.session.is_some() && socket.grant.session == gone);
        Ok(token)
    }

    /// Ends the sessions of these cookies, and their chat connections.
    pub(super) fn sign_out(&self, cookies: &HeaderMap) {
        let mut state = self.state();
        for token in headers::cookies(cookies) {
            if let Some(number) = state.sessions.end(&token) {
                state.end(|socket| socket.grant.session == Some(number));
            }
        }
    }

    /// A chat connection begins; `None` where its user was signed out meanwhile.
    pub(super) fn enter(self: &Arc<Self>, grant: Grant) -> Option<Entered> {
        let mut state = self.state();
        if !state.users.has(&grant.user, &grant.credential) {
            return None;
        }
        if let Some(session) = grant.session
            && !state.sessions.opened(session)
        {
            return None;
        }
        let (number, ends) = (state.next_socket, CancellationToken::new());
        state.next_socket += 1;
        let socket = Socket {
            grant,
            ends: ends.clone(),
        };
        state.sockets.insert(number, socket);
        drop(state);
        Some(Entered {
            gate: self.clone(),
            number,
            ends,
        })
    }

    /// Looks at the file and at the clock. `asked` is true where somebody waits
    /// for it: then the file is read in any case.
    fn look(&self, asked: bool) {
        let stamp = self.file.stamp();
        let mut state = self.state();
        if asked || stamp != state.stamp {
            state.stamp = stamp;
            let read = self.file.read();
            state.take(read, asked);
        }
        state.sweep(Instant::now());
    }

    /// Looks until it is told to stop, and whenever it is asked to.
    pub(super) async fn watch(&self, asked: &Notify, shutdown: &CancellationToken) {
        loop {
            let asked = tokio::select! {
                () = shutdown.cancelled() => return,
                () = asked.notified() => true,
                () = tokio::time::sleep(LOOK) => false,
            };
            self.look(asked);
        }
    }
}

impl State {
    /// The file was read. One that cannot be used changes nothing.
    fn take(&mut self, read: Result<Users, UsersError>, asked: bool) {
        match read {
            Ok(users) => {
                let is_another = users != self.users;
                if is_another || asked || self.problem.is_some() {
                    info!(users = users.iter().count(), "took the users anew");
                }
                self.problem = None;
                if is_another {
                    self.remembered.clear();
                    self.brakes.retain(|name| users.get(name).is_some());
                    self.users = users;
                }
            }
            Err(problem) => {
                let words = problem.to_string();
                if asked || self.problem.as_ref() != Some(&words) {
                    error!("{words}. The users read before stay in force");
                }
                self.problem = Some(words);
            }
        }
    }

    /// Ends what is over, and what belongs to nobody any more.
    fn sweep(&mut self, now: Instant) {
        let users = &self.users;
        let is_good = |user: &UserName, credential: &Credential| users.has(user, credential);
        let over = self.sessions.sweep(now, is_good);
        for socket in self.sockets.values() {
            let Grant {
                user,
                credential,
                session,
            } = &socket.grant;
            let is_over = session.is_some_and(|session| over.contains(&session));
            if is_over || !self.users.has(user, credential) {
                socket.ends.cancel();
            }
        }
    }

    /// Ends some chat connections.
    fn end(&self, which: impl Fn(&Socket) -> bool) {
        let all = self.sockets.values();
        all.filter(|s| which(s)).for_each(|s| s.ends.cancel());
    }

    fn greeted(&mut self, name: &UserName, source: Source) {
        if self.lines.take(1.0, Instant::now()) {
            info!(user = %name, %source, "signed in");
        }
    }

    /// Names that nobody has are not written: people type passwords there.
    fn failed(&mut self, name: Option<&UserName>, source: Source, why: &str) {
        if !self.lines.take(1.0, Instant::now()) {
            return;
        }
        match name.filter(|name| self.users.get(name).is_some()) {
            Some(name) => warn!(user = %name, %source, "refused to sign in: {why}"),
            None if name.is_some() => {
                warn!(%source, "refused to sign in: a name that nobody has");
            }
            None => warn!(%source, "refused to sign in: {why}"),
        }
    }
}
